/**
 * What the machine must offer: Node, FUSE's helper program, libfuse 2, the device. Plain JavaScript with
 * built-ins only: nothing is installed yet when this runs.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readFileSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Something a person (or an administrator) must do first. `message` says what, with the exact command. */
export class SetupError extends Error {}

const NODE = [20, 19]

export function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > NODE[0] || (major === NODE[0] && minor >= NODE[1])) return
  throw new SetupError(`cellsfs needs Node.js ${NODE.join('.')} or later, and this is ${process.version}.`)
}

const isRoot = () => process.getuid?.() === 0

function usable(path, mode) {
  try {
    accessSync(path, mode)
    return true
  } catch {
    return false
  }
}

function hasProgram(name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/bin', '/bin', '/usr/sbin', '/sbin', '/usr/local/bin']
  return folders.some((folder) => folder !== '' && usable(join(folder, name), constants.X_OK))
}

/** The loader's cache knows every library that dlopen would find; the folders are for machines without ldconfig. */
function hasLibrary(name) {
  const cache = spawnSync('ldconfig', ['-p'], { encoding: 'utf8', env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` } })
  if (cache.status === 0 && cache.stdout.includes(`${name} `)) return true
  const folders = ['/lib', '/usr/lib', '/lib64', '/usr/lib64', '/usr/local/lib']
  const triplets = (folder) => (existsSync(folder) ? readdirSync(folder).filter((entry) => entry.endsWith('-linux-gnu')).map((entry) => join(folder, entry)) : [])
  return [...folders, ...folders.flatMap(triplets)].some((folder) => existsSync(join(folder, name)))
}

/** `libfuse2`, or its name since Debian 13 and Ubuntu 24.04. */
function libfusePackage() {
  let release = ''
  try {
    release = readFileSync('/etc/os-release', 'utf8')
  } catch {
    // Some other system: the old name.
  }
  const field = (name) => new RegExp(`^${name}="?([^"\n]*)`, 'm').exec(release)?.[1] ?? ''
  const version = Number(field('VERSION_ID'))
  return (field('ID') === 'debian' && (version >= 13 || field('VERSION_ID') === '')) || (field('ID') === 'ubuntu' && version >= 24.04) ? 'libfuse2t64' : 'libfuse2'
}

function apt(...args) {
  return spawnSync('apt-get', ['-q', ...args], {
    encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
  })
}

function install(packages) {
  const updated = apt('update')
  const installed = apt('install', '-y', '--no-install-recommends', ...packages)
  if (installed.status === 0) return
  throw new SetupError(`apt-get could not install ${packages.join(' ')}:\n${[updated, installed].flatMap(({ stderr }) => (stderr ?? '').trim().split('\n').slice(-5)).join('\n')}`)
}

/** fuse3 and libfuse 2: installs them as root, else says the command. */
export function ensureFusePackages(say) {
  if (process.platform !== 'linux') throw new SetupError('Mounting works on Linux only; cec works everywhere (`npm ci && npm run build`).')
  const missing = [
    ...(hasProgram('fusermount') ? [] : ['fuse3']),
    ...(hasLibrary('libfuse.so.2') ? [] : [libfusePackage()]),
  ]
  if (missing.length === 0) return
  if (!hasProgram('apt-get')) throw new SetupError(`This machine has no ${missing.join(' and no ')}: install fuse3 (fusermount) and libfuse 2 (libfuse.so.2) with its package manager.`)
  if (!isRoot()) throw new SetupError(`System packages are missing; an administrator must run:\n\n    sudo apt-get update && sudo apt-get install -y ${missing.join(' ')}\n`)
  say(`installing ${missing.join(', ')} ...`)
  install(missing)
}

/** The device, usable by this user. */
export function ensureDevice() {
  if (!existsSync('/dev/fuse') && isRoot()) spawnSync('modprobe', ['fuse'])
  if (!existsSync('/dev/fuse')) {
    throw new SetupError('There is no /dev/fuse; an administrator must run:\n\n    sudo modprobe fuse\n\n(in a container: start it with --device /dev/fuse --cap-add SYS_ADMIN)')
  }
  if (!usable('/dev/fuse', constants.R_OK | constants.W_OK)) {
    throw new SetupError('You may not use /dev/fuse; an administrator must run:\n\n    sudo chmod 666 /dev/fuse\n')
  }
}

/** keytar, where it could be installed, keeps secrets in the desktop's keyring through libsecret. Never a failure. */
export function ensureKeyringLibrary(root, say) {
  if (!existsSync(join(root, 'node_modules', 'keytar')) || hasLibrary('libsecret-1.so.0')) return
  if (isRoot() && hasProgram('apt-get')) {
    apt('install', '-y', '--no-install-recommends', 'libsecret-1-0')
    return
  }
  say('optional, for secrets in the keyring: sudo apt-get install -y libsecret-1-0')
}
