/** node_modules as package-lock.json wants it: `npm ci`, only when it is not. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SetupError } from './system.mjs'

function json(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}

/** Packages of the lock file that are not installed, as `path@version`. npm notes at the end of each installation what it has put there. */
function missing(root) {
  const wanted = json(join(root, 'package-lock.json'))?.packages
  if (wanted === undefined) throw new SetupError('package-lock.json is missing or damaged.')
  const present = json(join(root, 'node_modules', '.package-lock.json'))?.packages ?? {}
  return Object.entries(wanted)
    .filter(([path, { version }]) => path !== '' && present[path]?.version !== version)
    .map(([path, { version }]) => `${path}@${version}`)
}

/**
 * Installs when something is missing that was not tried yet: optional packages cannot be had everywhere
 * (keytar without its library, binaries of other systems), and what npm left out once is not tried again.
 */
export function ensurePackages(root, say) {
  const noteFile = join(root, 'node_modules', '.left-out.json')
  const leftOut = new Set(json(noteFile) ?? [])
  if (missing(root).every((each) => leftOut.has(each))) return
  say('installing packages (npm ci) ...')
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error']
  const npm = process.env.npm_execpath
  const { status, stdout, stderr, error } = spawnSync(npm === undefined ? 'npm' : process.execPath, npm === undefined ? args : [npm, ...args], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  if (status !== 0) throw new SetupError(`npm ci failed${error === undefined ? '' : ` (${error.message})`}:\n${`${stdout ?? ''}${stderr ?? ''}`.trim().split('\n').slice(-20).join('\n')}`)
  writeFileSync(noteFile, JSON.stringify(missing(root)))
}
