/**
 * The C binding inside the fuse-native package, typed, without the JavaScript around it.
 *
 * The package's own index.js is left out because it loses what this driver needs: fgetattr's handle,
 * opendir's flags, ERANGE of getxattr, the mount options `big_writes`, `use_ino`, `ro`, and, worst,
 * the mtime of utimens: fuse-native.c hands the *atime* over twice. The right value still
 * stands in the record of the calling thread, which is a Buffer made on this side (`malloc`), so it is read
 * from there (`mtimeOf`), and only if the atime beside it proves that the layout is the expected one.
 *
 * What fuse-native.c fixes, and nobody above can change:
 * - libfuse 2, high level: paths instead of inodes, one worker thread blocked per request.
 * - Who asks (uid, pid) is not passed on, nor are create's open flags.
 * - Handles are positive 32-bit integers, inode numbers and statfs counts unsigned 32-bit; offsets and sizes come in
 *   two halves and are safe above 4 GiB; times are milliseconds and not before 1970.
 * - Buffers of read, write and xattrs belong to libfuse and are valid until the reply, which detaches them.
 * - Worker threads that libfuse ends (more than ten idle ones) leave their small record behind.
 */
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { MountError } from '../../mount-error.js'

/** Record of one libfuse worker thread; also names the thread. */
export type Thread = Buffer

/** Arguments as fuse-native.c passes them, and the values its reply takes after the result. */
export interface NativeOps {
  init: { args: []; reply: [] }
  statfs: { args: [path: string]; reply: [counts: Uint32Array] }
  getattr: { args: [path: string]; reply: [stat: Uint32Array] }
  fgetattr: { args: [path: string, fd: number]; reply: [stat: Uint32Array] }
  flush: { args: [path: string, fd: number]; reply: [] }
  fsync: { args: [path: string, dataOnly: number, fd: number]; reply: [] }
  fsyncdir: { args: [path: string, dataOnly: number, fd: number]; reply: [] }
  readdir: { args: [path: string]; reply: [names: string[], stats: Uint32Array[]] }
  truncate: { args: [path: string, low: number, high: number]; reply: [] }
  ftruncate: { args: [path: string, fd: number, low: number, high: number]; reply: [] }
  utimens: { args: [path: string, atimeLow: number, atimeHigh: number, ...wrong: number[]]; reply: [] }
  readlink: { args: [path: string]; reply: [target: string] }
  chown: { args: [path: string, uid: number, gid: number]; reply: [] }
  chmod: { args: [path: string, mode: number]; reply: [] }
  mknod: { args: [path: string, mode: number, device: number]; reply: [] }
  setxattr: { args: [path: string, name: string, value: Buffer, position: number, flags: number]; reply: [value: ArrayBufferLike] }
  getxattr: { args: [path: string, name: string, value: Buffer, position: number]; reply: [value: ArrayBufferLike] }
  listxattr: { args: [path: string, list: Buffer]; reply: [list: ArrayBufferLike] }
  removexattr: { args: [path: string, name: string]; reply: [] }
  open: { args: [path: string, flags: number]; reply: [fd: number] }
  create: { args: [path: string, mode: number]; reply: [fd: number] }
  read: { args: [path: string, fd: number, buffer: Buffer, length: number, low: number, high: number]; reply: [unused: number, buffer: ArrayBufferLike] }
  write: { args: [path: string, fd: number, buffer: Buffer, length: number, low: number, high: number]; reply: [unused: number, buffer: ArrayBufferLike] }
  release: { args: [path: string, fd: number]; reply: [] }
  unlink: { args: [path: string]; reply: [] }
  rename: { args: [from: string, to: string]; reply: [] }
  link: { args: [path: string, to: string]; reply: [] }
  symlink: { args: [target: string, path: string]; reply: [] }
  mkdir: { args: [path: string, mode: number]; reply: [] }
  rmdir: { args: [path: string]; reply: [] }
}
export type OpName = keyof NativeOps

/** Called on the main thread; the worker thread sleeps until `reply` is called, once. Must not throw. */
export type Handler<N extends OpName> = (thread: Thread, ...args: NativeOps[N]['args']) => void
export type Handlers = { [N in OpName]: Handler<N> }

interface Native {
  readonly sizeof_fuse_thread_t: number
  fuse_native_mount(
    mountpoint: string, options: string, mount: Buffer, context: object,
    malloc: (size: number) => Buffer, handlers: readonly unknown[], implemented: Uint32Array,
  ): void
  fuse_native_unmount(mountpoint: string, mount: Buffer): void
  readonly [name: string]: unknown
}

/** Longest mountpoint and option string, bytes: char[1024] in fuse-native.c, cut without a word. */
const MAX_TEXT = 1000
/** Size of the operation table in fuse-native.c. */
const OPERATIONS = 35

// Offsets in fuse_thread_locals_t on 64-bit machines; `mtimeOf` checks before it believes them.
const ATIME_OFFSET = 104
const MTIME_OFFSET = 112

export interface Binding {
  reply<N extends OpName>(name: N, thread: Thread, result: number, ...values: NativeOps[N]['reply']): void
  /** mtime of the running utimens call in milliseconds since the epoch, undefined when the layout is not the known one. */
  mtimeOf(thread: Thread, atimeMs: number): number | undefined
  /**
   * Mounts; blocks while libfuse asks the kernel or fusermount. The first request is `init`.
   * The returned function frees what keeps the event loop alive, after the mount has ended.
   *
   * @throws MountError
   */
  mount(mountpoint: string, options: string, handlers: Handlers): () => void
}

/** @throws MountError `no-binding` or `no-libfuse`, with the command that helps */
export function loadBinding(): Binding {
  const native = load()
  const signals = {} as Record<OpName, (thread: Thread, result: number, ...values: unknown[]) => void>
  return {
    reply: (name, thread, result, ...values) => {
      const signal = signals[name] ??= native[`fuse_native_signal_${name}`] as typeof signals[OpName]
      signal(thread, result, ...values)
    },
    mtimeOf: (thread, atimeMs) => {
      if (thread.length < MTIME_OFFSET + 8) return undefined
      if (thread.readBigInt64LE(ATIME_OFFSET) !== BigInt(atimeMs)) return undefined
      return Number(thread.readBigInt64LE(MTIME_OFFSET))
    },
    mount: (mountpoint, options, handlers) => {
      if (Buffer.byteLength(mountpoint) > MAX_TEXT) throw new MountError('failed', `The path of the mountpoint is longer than ${MAX_TEXT} bytes.`)
      if (Buffer.byteLength(options) > MAX_TEXT) throw new MountError('failed', `The mount options are longer than ${MAX_TEXT} bytes.`)
      const table = new Array<unknown>(OPERATIONS).fill(() => {})
      const implemented = new Uint32Array(OPERATIONS)
      for (const [name, handler] of Object.entries(handlers)) {
        const op = native[`op_${name}`] as number
        implemented[op] = 1
        // C passes (thread, opcode, ...arguments).
        table[op] = (thread: Thread, _op: number, ...args: unknown[]) => (handler as (...all: unknown[]) => void)(thread, ...args)
      }
      const mount = Buffer.alloc(native.sizeof_fuse_thread_t)
      const threads: Buffer[] = []
      const malloc = (size: number): Buffer => {
        const record = Buffer.alloc(size)
        threads.push(record)
        return record
      }
      try {
        native.fuse_native_mount(mountpoint, options, mount, { threads }, malloc, table, implemented)
      } catch (cause) {
        throw new MountError('failed', `Could not mount at ${mountpoint}: the system refused (libfuse wrote the reason above, if it knew one).`, { cause })
      }
      return () => native.fuse_native_unmount(mountpoint, mount)
    },
  }
}

function load(): Native {
  const require = createRequire(import.meta.url)
  let root: string
  try {
    root = dirname(require.resolve('fuse-native/package.json'))
  } catch (cause) {
    throw new MountError('no-binding', 'The package fuse-native is not installed (it is optional and needs an x86-64 machine): run `npm install fuse-native` in the folder of cellsfs.', { cause })
  }
  try {
    const build = createRequire(`${root}/index.js`)('node-gyp-build') as (folder: string) => Native
    return build(root)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    if (message.includes('libfuse.so.2')) {
      throw new MountError('no-libfuse', 'The system library libfuse.so.2 is missing: run `sudo apt-get install libfuse2` (`libfuse2t64` on Ubuntu 24.04 and Debian 13).', { cause })
    }
    throw new MountError('no-binding', `The package fuse-native does not load on this machine (${message.split('\n')[0]}).`, { cause })
  }
}
