/**
 * C structures as data: a layout names the fields in their order, and reads or writes them at an
 * offset of a Buffer without copying anything. Sizes follow from the fields, so padding is written down too.
 *
 * Numbers of 64 bits are JavaScript numbers: exact up to 2^53, which covers every inode, handle and
 * offset that this side has made. A larger one from outside decodes to a value that `Number.isSafeInteger`
 * refuses, and is never encoded. `id` is the kind for what must come back bit by bit.
 *
 * The protocol has the machine's byte order; only little-endian machines are supported.
 */
import { ProtocolError } from './errors.js'

/** Signed and unsigned integers; `id` is 64 bits as a bigint. A number stands for that many bytes of padding. */
export type Kind = 'u16' | 'u32' | 'i32' | 'u64' | 'i64' | 'id'
type Field = Kind | number | Struct<object>
type Fields = Readonly<Record<string, Field>>

type ValueOf<F extends Field> = F extends 'id' ? bigint : F extends Kind ? number : F extends Struct<infer T> ? T : never
export type Values<F extends Fields> = { readonly [K in keyof F as F[K] extends number ? never : K]: ValueOf<F[K]> }

export interface Struct<T extends object> {
  readonly name: string
  /** Bytes, padding included. */
  readonly size: number
  readonly fields: Fields
  /** @throws ProtocolError when `source` ends before the structure does */
  decode(source: Buffer, at?: number): T
  /** Writes every byte of the structure; padding is zero. @throws RangeError for a value that does not fit */
  encode(target: Buffer, at: number, value: T): void
}

interface Codec {
  readonly size: number
  read(source: Buffer, at: number): unknown
  write(target: Buffer, at: number, value: never): void
}

const HIGH = 2 ** 32

function writeInteger(target: Buffer, at: number, value: number, lowest: number): void {
  if (!Number.isSafeInteger(value) || value < lowest) throw new RangeError(`${value} is not a 64-bit integer that can be sent`)
  const high = Math.floor(value / HIGH)
  target.writeUInt32LE(value - high * HIGH, at)
  target.writeInt32LE(high, at + 4)
}

const KINDS: Readonly<Record<Kind, Codec>> = {
  u16: { size: 2, read: (source, at) => source.readUInt16LE(at), write: (target, at, value: number) => { target.writeUInt16LE(value, at) } },
  u32: { size: 4, read: (source, at) => source.readUInt32LE(at), write: (target, at, value: number) => { target.writeUInt32LE(value, at) } },
  i32: { size: 4, read: (source, at) => source.readInt32LE(at), write: (target, at, value: number) => { target.writeInt32LE(value, at) } },
  u64: {
    size: 8,
    read: readU64,
    write: (target, at, value: number) => writeInteger(target, at, value, 0),
  },
  i64: {
    size: 8,
    read: (source, at) => source.readUInt32LE(at) + source.readInt32LE(at + 4) * HIGH,
    write: (target, at, value: number) => writeInteger(target, at, value, Number.MIN_SAFE_INTEGER),
  },
  id: { size: 8, read: (source, at) => source.readBigUInt64LE(at), write: (target, at, value: bigint) => { target.writeBigUInt64LE(value, at) } },
}

function codecOf(field: Kind | Struct<object>): Codec {
  if (typeof field === 'string') return KINDS[field]
  return { size: field.size, read: (source, at) => field.decode(source, at), write: (target, at, value: object) => field.encode(target, at, value) }
}

/** An unsigned integer of 64 bits. */
export function readU64(source: Buffer, at: number): number {
  return source.readUInt32LE(at) + source.readUInt32LE(at + 4) * HIGH
}

/**
 * A layout. Field names are free; the order and the kinds are the C structure's.
 * @param decode the same by hand, for what comes with every request: an object whose fields are stored by name takes twice the time
 */
export function struct<const F extends Fields>(name: string, fields: F, decode?: (source: Buffer, at: number) => Values<F>): Struct<Values<F>> {
  const placed: { readonly key: string; readonly at: number; readonly codec: Codec }[] = []
  const padding: { readonly at: number; readonly bytes: number }[] = []
  let size = 0
  for (const [key, field] of Object.entries<Field>(fields)) {
    if (typeof field === 'number') {
      padding.push({ at: size, bytes: field })
      size += field
    } else {
      const codec = codecOf(field)
      placed.push({ key, at: size, codec })
      size += codec.size
    }
  }
  return {
    name, size, fields,
    decode: (source, at = 0) => {
      if (at < 0 || at + size > source.length) throw new ProtocolError(`${name} needs ${size} bytes at ${at}, there are ${source.length}`)
      if (decode !== undefined) return decode(source, at)
      const value: Record<string, unknown> = {}
      for (const { key, at: offset, codec } of placed) value[key] = codec.read(source, at + offset)
      return value as Values<F>
    },
    encode: (target, at, value) => {
      if (at < 0 || at + size > target.length) throw new RangeError(`${name} needs ${size} bytes at ${at}, there are ${target.length}`)
      for (const { key, at: offset, codec } of placed) codec.write(target, at + offset, (value as Record<string, never>)[key]!)
      for (const { at: offset, bytes } of padding) target.fill(0, at + offset, at + offset + bytes)
    },
  }
}
