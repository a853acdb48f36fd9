/**
 * What the machine must offer: Node, FUSE's helper program, a driver that loads, the device. Plain JavaScript with
 * built-ins only: nothing is installed yet when this runs.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
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

/** FUSE's helper program, which every driver needs: installs it as root, else says the command. */
export function ensureFusePackages(say) {
  if (process.platform !== 'linux') throw new SetupError('Mounting works on Linux only; cec works everywhere (`npm ci && npm run build`).')
  if (hasProgram('fusermount3') || hasProgram('fusermount')) return
  if (!hasProgram('apt-get')) throw new SetupError('This machine has no fusermount3: install fuse3 with its package manager.')
  if (!isRoot()) throw new SetupError('System packages are missing; an administrator must run:\n\n    sudo apt-get update && sudo apt-get install -y fuse3\n')
  say('installing fuse3 ...')
  install(['fuse3'])
}

/**
 * libfuse 2, for the driver fuse-native. The usual driver does without, so only where that one's package koffi does not load
 * (no build for this machine) is its absence a failure. Root gets it installed, tried once.
 */
export function ensureDriver(root, say) {
  if (hasLibrary('libfuse.so.2')) return
  const name = libfusePackage()
  const tried = join(root, 'node_modules', '.libfuse2-tried')
  if (isRoot() && hasProgram('apt-get') && !existsSync(tried)) {
    say(`installing ${name} ...`)
    try {
      return install([name])
    } catch {
      writeFileSync(tried, '')
    }
  }
  if (spawnSync(process.execPath, ['-e', 'require("koffi")'], { cwd: root, stdio: 'ignore' }).status === 0) {
    say(`optional, for --driver fuse-native: sudo apt-get install -y ${name}`)
    return
  }
  throw new SetupError(`The package koffi does not load on this machine, so mounting needs libfuse 2 (libfuse.so.2); an administrator must run:\n\n    sudo apt-get update && sudo apt-get install -y ${name}\n`)
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
