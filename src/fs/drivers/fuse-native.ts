/**
 * The engine behind libfuse 2, through the optional package fuse-native.
 *
 * What the pieces in fuse-native/ do: binding.ts is the typed C binding, operations.ts and its three tables
 * translate, dentries.ts turns paths into inodes, hidden.ts keeps unlinked open files off the server,
 * calls.ts gives every request a deadline.
 *
 * The mount options, and why:
 * - `big_writes`: without it the kernel sends 4 KiB a write (59 instead of 350 MB/s).
 * - `max_write`, `max_read`, `max_readahead`: 128 KiB, the most that libfuse 2 can take.
 * - `use_ino`, `readdir_ino`: the engine's inode numbers, which survive renames and remounts.
 * - `attr_timeout`, `entry_timeout` of a second, `negative_timeout` 0: libfuse 2 cannot be told to forget, so
 *   a colleague's change is seen at most this late.
 * - `default_permissions`: the kernel judges by the mode bits, with no request.
 * - `noatime`: reading must not write.
 * - No `auto_unmount`: if this process is killed, programs must see ENOTCONN and not write into the empty
 *   folder below. The next mount cleans the dead one away (mountpoint.ts).
 * - No `kernel_cache` or `auto_cache`: the page cache is dropped at each open, because only the engine knows versions.
 *
 * What it cannot do, because libfuse 2 or the binding cannot (the kernel driver can):
 * - One time alone: libfuse passes utimens on only when both times are set, so `touch -m` and GNU tar's mtime of
 *   unpacked files are lost in silence. cp -p, rsync -a, touch -d and unzip set both.
 * - Notices, fallocate, copy_file_range, rename flags, the caller's uid, times finer than a millisecond.
 *
 * The end of the mount is seen at the descriptor that libfuse holds on /dev/fuse, which it closes when the kernel
 * lets go of the connection: after umount by anybody, and with `-z` after the last file is closed. The binding has no callback for it.
 */
import { readdirSync, readlinkSync } from 'node:fs'
import { readlink } from 'node:fs/promises'
import type { Logger } from '../../log.js'
import { checkFuse, checkMountpoint, detach, kernelAnswers } from '../mountpoint.js'
import { MountError } from '../mount-error.js'
import type { Driver, FileSystem, MountOptions, Mounted } from './driver.js'
import { loadBinding, type Binding, type Handlers } from './fuse-native/binding.js'
import { Context } from './fuse-native/context.js'
import { createHandlers } from './fuse-native/operations.js'

const TRANSFER_BYTES = 131_072
const CACHE_SECONDS = 1
/** How often the end of the mount is looked for. */
const WATCH_MS = 250

/** Option string for libfuse 2; commas and backslashes in values are escaped as fuse_opt_parse takes them. */
export function mountOptions(options: MountOptions): string {
  const value = (text: string): string => text.replace(/[\\,]/g, '\\$&')
  return '-o' + [
    'big_writes', `max_write=${TRANSFER_BYTES}`, `max_read=${TRANSFER_BYTES}`, `max_readahead=${TRANSFER_BYTES}`,
    'use_ino', 'readdir_ino',
    `attr_timeout=${CACHE_SECONDS}`, `entry_timeout=${CACHE_SECONDS}`, 'negative_timeout=0',
    'default_permissions', 'noatime',
    `fsname=${value(options.fsname)}`, 'subtype=cellsfs',
    ...(options.allowOther ? ['allow_other'] : []),
    ...(options.readOnly ? ['ro'] : []),
    ...(options.noExec === true ? ['noexec'] : []),
    ...(options.debug ? ['debug'] : []),
  ].join(',')
}

/** @throws MountError when this machine has no fuse-native or no libfuse 2 */
export function createFuseNativeDriver(log: Logger): Driver {
  if (process.platform !== 'linux') throw new MountError('unsupported', 'The driver fuse-native works on Linux only.')
  const binding = loadBinding()
  return { name: 'fuse-native', mount: (fs, options) => mount(fs, options, binding, log) }
}

async function mount(fs: FileSystem, options: MountOptions, binding: Binding, log: Logger): Promise<Mounted> {
  const mountpoint = await checkMountpoint(options.mountpoint)
  // libfuse 2 starts it by this very name.
  await checkFuse({ allowOther: options.allowOther, fusermounts: ['fusermount'] })

  const context = new Context(fs, binding, log)
  let ready: () => void
  const initialised = new Promise<void>((resolve) => { ready = resolve })
  const handlers: Handlers = {
    ...createHandlers(context, log),
    init: (thread) => {
      binding.reply('init', thread, 0)
      ready()
    },
  }

  const before = new Set(fuseDescriptors())
  const free = binding.mount(mountpoint, mountOptions(options), handlers)
  const descriptor = fuseDescriptors().find((fd) => !before.has(fd))
  const ended = watch(descriptor).finally(async () => {
    await context.close().catch((error: unknown) => log.error('could not close what was open at the end of the mount', { error }))
    free()
  })

  const early = ended.then(() => { throw new MountError('failed', `The mount at ${options.mountpoint} ended before it was ready.`) })
  try {
    await kernelAnswers(Promise.race([initialised, early]), options.mountpoint)
  } catch (error) {
    await detach(mountpoint, { lazy: true }).catch(() => {})
    throw error
  }
  return {
    // libfuse 2 cannot tell the kernel to forget; what this driver remembers itself goes.
    notices: { invalidateEntry: (parent, name) => context.dentries.drop({ parent, name }) },
    unmount: async ({ lazy = false } = {}) => {
      await detach(mountpoint, { lazy })
      if (!lazy) await ended
    },
    ended,
  }
}

/** Our descriptors on /dev/fuse. Reads links in /proc only, never a mount. */
function fuseDescriptors(): string[] {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === '/dev/fuse'
    } catch {
      return false // the descriptor of this very listing
    }
  })
}

async function watch(descriptor: string | undefined): Promise<void> {
  if (descriptor === undefined) throw new MountError('failed', 'libfuse holds no descriptor on /dev/fuse.')
  while (await readlink(`/proc/self/fd/${descriptor}`).then((target) => target === '/dev/fuse', () => false)) {
    await new Promise((resolve) => setTimeout(resolve, WATCH_MS))
  }
}
