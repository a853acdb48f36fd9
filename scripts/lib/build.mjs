/**
 * dist/ as the sources want it, manual pages included. tsc runs only when a source has changed (by content), and outputs of deleted
 * sources go, so that no test of yesterday runs.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SetupError } from './system.mjs'

const SOURCES = ['bin', 'src', 'integration-tests', 'bench', 'scripts']
const SETTINGS = ['tsconfig.json', 'package-lock.json', 'package.json']
const PROGRAMS = ['dist/bin/cellsfs.js', 'dist/bin/cec.js']

/** The manual pages, which `npm install --global` puts where man(1) finds them. */
function makeManual(root) {
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'dist/scripts/man.js')], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] })
  if (status !== 0) throw new SetupError(`the manual pages could not be made:\n${stderr.trim()}`)
}

/** Files below `folders` that end in `ending`, as paths relative to `root`. */
export function filesBelow(root, folders, ending) {
  return folders.filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) => readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length + 1)))
    .sort()
}

function fingerprint(root, sources) {
  const hash = createHash('sha256')
  for (const file of [...SETTINGS, ...sources]) hash.update(`${file}\0`).update(readFileSync(join(root, file))).update('\0')
  return hash.digest('hex')
}

export function ensureBuilt(root, say) {
  const sources = filesBelow(root, SOURCES, '.ts').filter((file) => !file.endsWith('.d.ts'))
  const stamp = join(root, 'dist', '.built')
  const wanted = fingerprint(root, sources)
  const outputs = new Set(sources.map((file) => join('dist', file.replace(/\.ts$/, '.js'))))
  const present = filesBelow(root, SOURCES.map((folder) => join('dist', folder)), '.js')
  const complete = [...outputs].every((file) => existsSync(join(root, file)))

  for (const file of present.filter((each) => !outputs.has(each))) {
    for (const each of [file, `${file}.map`]) rmSync(join(root, each), { force: true })
  }
  if (complete && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return

  say('building ...')
  mkdirSync(join(root, 'dist'), { recursive: true })
  rmSync(stamp, { force: true })
  // tsc believes its notes, not the folder.
  if (!complete) rmSync(join(root, 'dist', '.tsbuildinfo'), { force: true })
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json', '--pretty', 'false'], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  if (status !== 0) throw new SetupError(`the build failed:\n${`${stdout}${stderr}`.trim().split('\n').slice(0, 40).join('\n')}`)
  for (const program of PROGRAMS) if (existsSync(join(root, program))) chmodSync(join(root, program), 0o755)
  makeManual(root)
  writeFileSync(stamp, wanted)
}
