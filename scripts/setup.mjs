/**
 * Set-up: from a fresh clone to something that runs. `npm run demo` and `npm test` begin with it. Does only
 * what is missing, so it costs a moment the second time. `node scripts/setup.mjs` exits with 1 and one
 * clear message when a person must do something first.
 */
import { fileURLToPath } from 'node:url'
import { ensureBuilt } from './lib/build.mjs'
import { ensurePackages } from './lib/packages.mjs'
import { SetupError, checkNode, ensureDevice, ensureDriver, ensureFusePackages, ensureKeyringLibrary } from './lib/system.mjs'

export const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')

const say = (line) => process.stderr.write(`set-up: ${line}\n`)

/** Runs set-up; ends the process with 1 and a message when it cannot. */
export function setUp() {
  try {
    checkNode()
    ensureFusePackages(say)
    ensureDevice()
    ensurePackages(ROOT, say)
    ensureDriver(ROOT, say)
    ensureKeyringLibrary(ROOT, say)
    ensureBuilt(ROOT, say)
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    process.stderr.write(`\n${error.message}\n`)
    process.exit(1)
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  setUp()
  say('ready')
}
