/** `npm run build`, and before `npm pack`: dist/ without the rest of set-up. */
import { ensureBuilt } from './lib/build.mjs'
import { SetupError } from './lib/system.mjs'
import { ROOT } from './setup.mjs'

try {
  ensureBuilt(ROOT, () => {})
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}
