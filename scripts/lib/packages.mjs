/** node_modules as package-lock.json wants it: `npm ci`, only when it is not. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SetupError } from './system.mjs'

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages ?? {}
  } catch {
    return undefined
  }
}

/** npm notes at the end of each installation what it installed; optional packages may be missing (keytar, where it does not build). */
function isInstalled(root) {
  const wanted = packagesOf(join(root, 'package-lock.json'))
  const present = packagesOf(join(root, 'node_modules', '.package-lock.json'))
  if (wanted === undefined) throw new SetupError('package-lock.json is missing or damaged.')
  if (present === undefined) return false
  return Object.entries(wanted).every(([path, { version, optional, devOptional, peer }]) =>
    path === '' || present[path]?.version === version || (present[path] === undefined && (optional || devOptional || peer)))
}

export function ensurePackages(root, say) {
  if (isInstalled(root)) return
  say('installing packages (npm ci) ...')
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error']
  const npm = process.env.npm_execpath
  const { status, stdout, stderr, error } = spawnSync(npm === undefined ? 'npm' : process.execPath, npm === undefined ? args : [npm, ...args], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  if (status !== 0) throw new SetupError(`npm ci failed${error === undefined ? '' : ` (${error.message})`}:\n${`${stdout ?? ''}${stderr ?? ''}`.trim().split('\n').slice(-20).join('\n')}`)
}
