/**
 * A file that records are appended to, so that "safe on this disk" costs one write over blocks that are there already and one fdatasync: the
 * database (database.ts), which needs two and a thread to begin with, follows in its own time. After a crash what the log has and the
 * database does not is brought in.
 *
 * Two halves, each a row of frames from its beginning. A frame is written whole or not at all (checksum), and says the number of the one before it, so
 * that one that is missing is noticed. A half is used again when the database has all of it: what is left of earlier rows behind the last frame
 * is known by its lower numbers.
 * The file is filled with zeros beforehand: on a full disk there is room for what has happened, and no write changes what the file system
 * knows of the file.
 */
import { closeSync, constants, fdatasync, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'

const MAGIC = Buffer.from('cfsL\x00\x01\xd9\x77', 'latin1')
/** Magic, checksum of what follows it, bytes of the records, the last number in them, the number of the frame before. */
const HEADER = MAGIC.length + 4 + 4 + 8 + 8
const HALF = 2 ** 20
/** Of a log. */
export const LOG_BYTES = 2 * HALF
/** Records that became durable together. */
export interface Frame {
  /** Of the last of them. */
  readonly number: number
  /** That of the frame that was appended before. */
  readonly previous: number
  /** One after the other, as records.ts makes them. */
  readonly records: Buffer
}

/** What an earlier process left. */
export interface Found {
  /** Oldest first. */
  readonly frames: readonly Frame[]
  /** All of the file: where a frame is damaged, records in it may be whole. */
  readonly raw: Buffer
}

interface Half {
  readonly start: number
  /** Bytes used. */
  used: number
  /** Of the last frame in it; 0: there is nothing in it. */
  last: number
}

export class WriteAheadLog {
  private readonly fd: number
  private readonly halves: readonly [Half, Half]
  private current: Half
  /** Everything up to this number is in the database, durably. */
  private released = 0
  /** Number of the last frame. */
  private last: number

  private constructor(fd: number, frames: readonly Frame[]) {
    this.fd = fd
    const last = frames.at(-1)?.number ?? 0
    this.last = last
    // What is in it is not written over before it is released.
    this.halves = [{ start: 0, used: HALF, last }, { start: HALF, used: HALF, last }]
    this.current = this.halves[0]
  }

  /** Opens or makes the log. Undefined where there is no room for one, or none can be written: then the database is all there is. */
  static open(file: string): { readonly log: WriteAheadLog; readonly found: Found } | undefined {
    let fd: number | undefined
    try {
      fd = openSync(file, constants.O_RDWR | constants.O_CREAT, 0o600)
      const { size } = fstatSync(fd)
      const bytes = readAll(fd, size)
      if (size < LOG_BYTES) writeSync(fd, Buffer.alloc(LOG_BYTES - size), 0, LOG_BYTES - size, size)
      const found = { frames: framesOf(bytes), raw: bytes }
      return { log: new WriteAheadLog(fd, found.frames), found }
    } catch {
      if (fd !== undefined) closeSync(fd)
      return undefined
    }
  }

  /**
   * Appends one frame. It survives the end of this process from now on, and a power cut from the next `sync()`. False, and nothing is written: the
   * database has to take what is in the log first. @throws what the file system throws
   */
  append(records: readonly Buffer[], number: number): boolean {
    const frame = encodeFrame(records, number, this.last)
    if (frame.length > HALF) return false
    if (this.current.used + frame.length > HALF && !this.turn()) return false
    writeSync(this.fd, frame, 0, frame.length, this.current.start + this.current.used)
    this.current.used += frame.length
    this.current.last = this.last = number
    return true
  }

  /** Half of the room is used: it is time that the database follows. */
  get isFilling(): boolean {
    return this.current.used > HALF / 2
  }

  /** Goes on at the beginning of a half whose frames are all in the database. */
  private turn(): boolean {
    const free = this.halves.find((it) => it.last <= this.released)
    if (free === undefined) return false
    free.used = 0
    free.last = 0
    this.current = free
    return true
  }

  /** Resolves when all that was appended is on the disk. @throws what the file system throws */
  sync(): Promise<void> {
    return new Promise((resolve, reject) => fdatasync(this.fd, (error) => error === null ? resolve() : reject(error)))
  }

  /** The database has everything up to this number, durably. */
  release(number: number): void {
    this.released = number
  }

  /** `empty`: the database has everything. */
  close(empty: boolean): void {
    if (empty) writeSync(this.fd, Buffer.alloc(LOG_BYTES), 0, LOG_BYTES, 0)
    closeSync(this.fd)
  }
}

function readAll(fd: number, size: number): Buffer {
  const bytes = Buffer.alloc(Math.min(size, LOG_BYTES))
  for (let at = 0; at < bytes.length;) {
    const got = readSync(fd, bytes, at, bytes.length - at, at)
    if (got === 0) return bytes.subarray(0, at)
    at += got
  }
  return bytes
}

function encodeFrame(records: readonly Buffer[], number: number, previous: number): Buffer {
  const length = records.reduce((sum, it) => sum + it.length, 0)
  const frame = Buffer.allocUnsafe(HEADER + length)
  MAGIC.copy(frame)
  frame.writeUInt32BE(length, MAGIC.length + 4)
  frame.writeDoubleBE(number, MAGIC.length + 8)
  frame.writeDoubleBE(previous, MAGIC.length + 16)
  let at = HEADER
  for (const record of records) at += record.copy(frame, at)
  frame.writeUInt32BE(crc32(frame.subarray(MAGIC.length + 4)), MAGIC.length)
  return frame
}

/** All frames of a log, oldest first. */
function framesOf(bytes: Buffer): Frame[] {
  return [...rowOf(bytes.subarray(0, HALF)), ...rowOf(bytes.subarray(HALF))].sort((one, other) => one.number - other.number)
}

/**
 * What of it a database does not have that has everything up to the number `applied`. `gap`: a frame is missing among them. (After a power cut it
 * may be one that was never safe; then nobody was told that those behind it are.)
 */
export function missing(frames: readonly Frame[], applied: number): { readonly frames: Frame[]; readonly gap: boolean } {
  let [last, gap] = [applied, false]
  const rest = frames.filter((it) => it.number > applied)
  for (const { number, previous } of rest) {
    gap ||= previous > last
    last = number
  }
  return { frames: rest, gap }
}

/** Frames of one half that are whole. */
function * rowOf(bytes: Buffer): Generator<Frame> {
  let before = 0
  for (let at = bytes.indexOf(MAGIC); at >= 0 && at + HEADER <= bytes.length;) {
    const number = bytes.readDoubleBE(at + MAGIC.length + 8)
    const end = at + HEADER + bytes.readUInt32BE(at + MAGIC.length + 4)
    const whole = end <= bytes.length && number > before && crc32(bytes.subarray(at + MAGIC.length + 4, end)) === bytes.readUInt32BE(at + MAGIC.length)
    if (whole) {
      yield { number, previous: bytes.readDoubleBE(at + MAGIC.length + 16), records: bytes.subarray(at + HEADER, end) }
      before = number
    }
    at = bytes.indexOf(MAGIC, whole ? end : at + 1)
  }
}
