/**
 * Requests of the kernel: bytes to typed arguments, and back (for tests and for whoever plays the kernel).
 *
 * Every body is a structure, then strings that end with a zero byte, then data whose length stands in the structure's
 * `size`. Data is a view into the message, valid as long as the message is.
 */
import { ProtocolError } from './errors.js'
import * as layouts from './layouts.js'
import { IN_HEADER_BYTES, OPCODES, type OpName } from './protocol.js'
import type { Struct } from './struct.js'

export interface Header {
  readonly opcode: number
  /** Names the request; comes back in its reply. */
  readonly unique: bigint
  readonly nodeid: number
  readonly uid: number
  readonly gid: number
  readonly pid: number
}

/** How much of a message is its body. */
export interface Lengths {
  readonly length: number
  readonly extensions: number
}

interface BodyCodec<A> {
  decode(message: Buffer, at: number, end: number): A
  encode(args: A): Buffer
}

type None = Record<never, never>
type Strings<N extends string> = { readonly [K in N]: string }

const NUL = Buffer.alloc(1)

function body<T extends object = None, const N extends string = never, const D extends boolean = false>(
  layout: Struct<T> | undefined, strings: readonly N[] = [], data?: D,
): BodyCodec<T & Strings<N> & (D extends true ? { readonly data: Buffer } : unknown)> {
  type Args = T & Strings<N> & (D extends true ? { readonly data: Buffer } : unknown)
  return {
    decode: (message, start, end) => {
      const source = end === message.length ? message : message.subarray(0, end)
      const args = (layout === undefined ? {} : layout.decode(source, start)) as Record<string, unknown>
      let at = start + (layout?.size ?? 0)
      for (const name of strings) {
        const stop = source.indexOf(0, at)
        if (stop < 0) throw new ProtocolError(`${name} does not end`)
        args[name] = source.toString('utf8', at, stop)
        at = stop + 1
      }
      if (data === true) {
        const size = args['size'] as number
        if (at + size > end) throw new ProtocolError(`${size} bytes of data announced, ${end - at} sent`)
        args['data'] = source.subarray(at, at + size)
      }
      return args as Args
    },
    encode: (args) => {
      const head = Buffer.alloc(layout?.size ?? 0)
      layout?.encode(head, 0, args)
      const values = args as Record<string, unknown>
      return Buffer.concat([
        head, ...strings.flatMap((name) => [Buffer.from(values[name] as string), NUL]), ...(data === true ? [values['data'] as Buffer] : []),
      ])
    },
  }
}

export interface Forgotten {
  readonly nodeid: number
  readonly nlookup: number
}

const batchForget: BodyCodec<{ readonly items: readonly Forgotten[] }> = {
  decode: (message, start, end) => {
    const { count } = layouts.BatchForgetIn.decode(message, start)
    const first = start + layouts.BatchForgetIn.size
    if (first + count * layouts.ForgetOne.size > end) throw new ProtocolError(`${count} items announced in ${end - first} bytes`)
    return { items: Array.from({ length: count }, (_, index) => layouts.ForgetOne.decode(message, first + index * layouts.ForgetOne.size)) }
  },
  encode: ({ items }) => {
    const bytes = Buffer.alloc(layouts.BatchForgetIn.size + items.length * layouts.ForgetOne.size)
    layouts.BatchForgetIn.encode(bytes, 0, { count: items.length })
    items.forEach((item, index) => layouts.ForgetOne.encode(bytes, layouts.BatchForgetIn.size + index * layouts.ForgetOne.size, item))
    return bytes
  },
}

export interface InitArgs {
  readonly major: number
  readonly minor: number
  readonly maxReadahead: number
  readonly flags: number
  /** Flags 32 to 63; 0 from a kernel that has none. */
  readonly flags2: number
}

const init: BodyCodec<InitArgs> = {
  decode: (message, start, end) => {
    const args = layouts.InitIn.decode(message, start)
    const extended = end - start >= layouts.InitIn.size + layouts.InitInExtension.size
    return { ...args, flags2: extended ? layouts.InitInExtension.decode(message, start + layouts.InitIn.size).flags2 : 0 }
  },
  encode: (args) => {
    const bytes = Buffer.alloc(layouts.InitIn.size + layouts.InitInExtension.size)
    layouts.InitIn.encode(bytes, 0, args)
    layouts.InitInExtension.encode(bytes, layouts.InitIn.size, args)
    return bytes
  },
}

const BODIES = {
  lookup: body(undefined, ['name']),
  forget: body(layouts.ForgetIn),
  getattr: body(layouts.GetattrIn),
  setattr: body(layouts.SetattrIn),
  readlink: body(undefined),
  symlink: body(undefined, ['name', 'target']),
  mknod: body(layouts.MknodIn, ['name']),
  mkdir: body(layouts.MkdirIn, ['name']),
  unlink: body(undefined, ['name']),
  rmdir: body(undefined, ['name']),
  rename: body(layouts.RenameIn, ['name', 'newname']),
  link: body(layouts.LinkIn, ['newname']),
  open: body(layouts.OpenIn),
  read: body(layouts.ReadIn),
  write: body(layouts.WriteIn, [], true),
  statfs: body(undefined),
  release: body(layouts.ReleaseIn),
  fsync: body(layouts.FsyncIn),
  setxattr: body(layouts.SetxattrIn, ['name'], true),
  getxattr: body(layouts.GetxattrIn, ['name']),
  listxattr: body(layouts.GetxattrIn),
  removexattr: body(undefined, ['name']),
  flush: body(layouts.FlushIn),
  init,
  opendir: body(layouts.OpenIn),
  readdir: body(layouts.ReadIn),
  releasedir: body(layouts.ReleaseIn),
  fsyncdir: body(layouts.FsyncIn),
  access: body(layouts.AccessIn),
  create: body(layouts.CreateIn, ['name']),
  interrupt: body(layouts.InterruptIn),
  destroy: body(undefined),
  batchForget,
  fallocate: body(layouts.FallocateIn),
  readdirplus: body(layouts.ReadIn),
  rename2: body(layouts.Rename2In, ['name', 'newname']),
  lseek: body(layouts.LseekIn),
  copyFileRange: body(layouts.CopyFileRangeIn),
  statx: body(layouts.StatxIn),
  copyFileRange64: body(layouts.CopyFileRangeIn),
} satisfies Record<OpName, unknown>

export type Args<N extends OpName> = (typeof BODIES)[N] extends BodyCodec<infer A> ? A : never

const NAMES = new Map<number, OpName>(Object.entries(OPCODES).map(([name, code]) => [code, name as OpName]))

/** @returns undefined for an operation that is not known here */
export function opName(opcode: number): OpName | undefined {
  return NAMES.get(opcode)
}

/** @throws ProtocolError when the message is shorter than a header */
export function decodeHeader(message: Buffer): Header & Lengths {
  return layouts.InHeader.decode(message)
}

/** Arguments of the request in `message`, whose header says that it is `name`. `lengths`: that header's. @throws ProtocolError */
export function decodeArgs<N extends OpName>(name: N, message: Buffer, lengths: Lengths = layouts.InHeader.decode(message)): Args<N> {
  const { length, extensions } = lengths
  if (length !== message.length) throw new ProtocolError(`the header announces ${length} bytes, ${message.length} were read`)
  const end = length - extensions * 8
  if (end < IN_HEADER_BYTES) throw new ProtocolError(`${extensions} extensions in ${length} bytes`)
  return BODIES[name].decode(message, IN_HEADER_BYTES, end) as Args<N>
}

/** A request as the kernel would send it. */
export function encodeRequest<N extends OpName>(name: N, header: Omit<Header, 'opcode'>, args: Args<N>): Buffer {
  const bytes = (BODIES[name] as unknown as BodyCodec<Args<N>>).encode(args)
  const head = Buffer.alloc(IN_HEADER_BYTES)
  layouts.InHeader.encode(head, 0, { ...header, opcode: OPCODES[name], length: IN_HEADER_BYTES + bytes.length, extensions: 0 })
  return Buffer.concat([head, bytes])
}
