/**
 * A locally modified file: a sparse file on disk over the version it was opened on. Only what is needed
 * of the base is ever downloaded: a program that rewrites a file from its start downloads nothing.
 *
 * While an upload reads the file it must not change under it (design, invariant 3), and a writer must not wait for the
 * network: the first write during an upload moves the draft to a copy of its file and leaves the
 * old one to the upload.
 */
import { randomUUID } from 'node:crypto'
import { contentBuffers } from '../cache/buffer-pool.js'
import type { PartialUpload } from '../cache/store.js'
import { crashPoint } from '../crashpoints.js'
import { DraftFile, type Readable } from './draft-file.js'
import { RangeSet } from './ranges.js'

/** Anything that can be read by position: the base of a draft. */
export interface Content {
  readonly size: number
  read(offset: number, length: number, signal?: AbortSignal): Promise<Buffer>
}

/** Bytes fetched from the base at a time when a draft is completed. */
const FILL_STEP = 1 << 20

/** A draft's content at one moment, fixed until `done()`. */
export interface Snapshot {
  readonly size: number
  readonly generation: number
  readonly handle: Readable
  done(): Promise<void>
}

export class Draft {
  size: number
  /** Counts changes; what the server has is `committed`. */
  generation = 0
  committed = 0
  /** The generation up to which the bytes and a record of them survive a crash. */
  secured = 0
  /** The generation whose content stands in the record; -1: none. */
  recorded = -1
  /** What the server has taken of a large content. */
  upload: PartialUpload | undefined
  private file: DraftFile
  /** Earlier files of which a record may still speak: each until a content that is at least of `until` is secured. */
  private kept: Array<{ readonly file: DraftFile; readonly until: number }> = []
  private emptied = false
  private readonly fileFor: (id: string) => string
  private readonly base: Content | undefined
  /** Bytes of the base that are still the file's: shrinks with truncate, never grows again. */
  private baseLimit: number
  /** Bytes that are in the file. Beyond baseLimit what is not written is zero, and so is the sparse file. */
  private readonly written: RangeSet
  /** Tail of the queue of changes to the file: two writes at once have no order. */
  private tail: Promise<unknown> = Promise.resolve()

  private constructor(file: DraftFile, fileFor: (id: string) => string, base: Content | undefined, size: number, baseLimit: number, written = new RangeSet()) {
    this.file = file
    this.fileFor = fileFor
    this.base = base
    this.size = size
    this.baseLimit = baseLimit
    this.written = written
  }

  /** A new draft over `base` (or over nothing), with the base's size. */
  static create(fileFor: (id: string) => string, base: Content | undefined): Draft {
    return new Draft(newFile(fileFor), fileFor, base, base?.size ?? 0, base?.size ?? 0)
  }

  /**
   * A draft that an earlier process left. `missing`: what of its base is not in the file, and the base. A file shorter than `size` was cut
   * after it was recorded, by a program that was not answered any more: what was cut is gone.
   */
  static async reopen(fileFor: (id: string) => string, id: string, size: number, missing?: { base: Content; baseLimit: number; written: ReadonlyArray<readonly [number, number]> }): Promise<Draft> {
    const file = await DraftFile.reopen(id, fileFor(id))
    const kept = Math.min(size, file.length)
    await file.truncate(kept)
    const written = RangeSet.from(missing?.written ?? [])
    written.truncate(kept)
    const draft = new Draft(file, fileFor, missing?.base, kept, Math.min(missing?.baseLimit ?? 0, kept), written)
    draft.generation = 1
    draft.secured = 1
    // Which parts of it are holes is forgotten.
    if (missing === undefined) draft.written.add(0, kept)
    return draft
  }

  /** What a record must say so that `reopen` can go on with an incomplete draft. */
  get parts(): { readonly baseLimit: number; readonly written: ReadonlyArray<readonly [number, number]> } {
    return { baseLimit: this.baseLimit, written: this.written.ranges() }
  }

  get id(): string {
    return this.file.id
  }

  get dirty(): boolean {
    return this.generation !== this.committed
  }

  /** True if nothing of the base is needed any more. */
  get complete(): boolean {
    return this.written.covers(0, this.baseLimit)
  }

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Buffer> {
    const end = Math.min(offset + length, this.size)
    if (offset >= end) return Buffer.alloc(0)
    const gaps = offset < this.baseLimit ? this.written.gaps(offset, Math.min(end, this.baseLimit)) : []
    const whole = gaps.length === 1 && gaps[0]![0] === offset && gaps[0]![1] === end
    if (whole) return this.fromBase(offset, end, signal)
    const buffer = contentBuffers.take(end - offset)
    const { file } = this
    // A short read is the hole after the file's last written byte: zeros.
    if (file.readNow(buffer, offset) < buffer.length) buffer.fill(0, (await file.read(buffer, 0, buffer.length, offset)).bytesRead)
    for (const [from, to] of gaps) (await this.fromBase(from, to, signal)).copy(buffer, from - offset)
    return buffer
  }

  /** Where data, or a hole, begins at or after `offset`; undefined: no more data. A hole is what was never written and never was the base's. */
  seek(offset: number, whence: 'data' | 'hole'): number | undefined {
    const solid = RangeSet.from([...this.written.ranges(), [0, this.baseLimit]])
    const gap = solid.gaps(offset, this.size)[0]
    if (whence === 'hole') return gap?.[0] ?? this.size
    if (gap === undefined || gap[0] > offset) return offset
    return gap[1] < this.size ? gap[1] : undefined
  }

  /** Writes all of `data`. @throws ENOSPC and other local errors, with nothing acknowledged */
  write(offset: number | 'end', data: Buffer): Promise<void> {
    return this.change(async () => {
      const start = offset === 'end' ? this.size : offset
      await this.file.write(data, start)
      this.written.add(start, start + data.length)
      this.size = Math.max(this.size, start + data.length)
      this.generation++
    })
  }

  truncate(size: number): Promise<void> {
    return this.change(async () => {
      // A save that begins from nothing: until it is secured itself, a crash must find the last one, so it gets a file of its own.
      if (size === 0 && this.size > 0 && this.secured === this.generation && this.secured > 0) await this.beginAnew()
      const kept = Math.min(size, this.size)
      if (kept < this.file.length) await this.file.truncate(kept)
      if (size < this.size) {
        this.written.truncate(size)
        this.baseLimit = Math.min(this.baseLimit, size)
      }
      this.size = size
      this.generation++
    })
  }

  /** Fetches what is missing of the base, so that the file holds every byte. Writers may go on meanwhile. */
  async fill(signal?: AbortSignal): Promise<void> {
    for (;;) {
      const gap = this.written.gaps(0, this.baseLimit)[0]
      if (gap === undefined) return
      const [from, to] = [gap[0], Math.min(gap[1], gap[0] + FILL_STEP)]
      const data = await this.fromBase(from, to, signal)
      await this.inTurn(async () => {
        // Only what nobody has written or cut off while the base was asked.
        for (const [a, b] of this.written.gaps(from, Math.max(from, Math.min(to, this.baseLimit)))) {
          await this.file.write(data.subarray(a - from, b - from), a)
          this.written.add(a, b)
        }
      })
    }
  }

  /** Fixes the present content for an upload; undefined if the draft is not complete (any more). */
  snapshot(): Promise<Snapshot | undefined> {
    return this.inTurn(async () => {
      if (!this.complete) return undefined
      await this.fillEnd()
      return this.fix()
    })
  }

  /** A hole at the end exists only in `size` so far: from now on in the file as well. */
  private async fillEnd(): Promise<void> {
    if (this.file.length !== this.size) await this.file.truncate(this.size)
  }

  private fix(): Snapshot {
    const file = this.file
    file.readers++
    let done = false
    return {
      size: this.size,
      generation: this.generation,
      handle: file,
      done: async () => {
        if (done) return
        done = true
        file.readers--
        if (file.orphan && file.readers === 0) await file.discard()
      },
    }
  }

  /** Makes the file's bytes survive a power cut. */
  sync(): Promise<void> {
    return this.inTurn(async () => {
      await this.fillEnd()
      crashPoint('before a draft is synced')
      await this.file.sync()
      crashPoint('after a draft is synced')
    })
  }

  /** A record is to speak of it that does not hold it: from now on it is in its file. @throws errors of the disk */
  toDisk(): void {
    this.file.toDisk()
  }

  /** The whole content and its generation, if nothing of it is missing and it has at most `limit` bytes. */
  small(limit: number): Promise<{ readonly data: Buffer; readonly generation: number } | undefined> {
    return this.inTurn(async () => {
      if (this.size > limit || !this.complete) return undefined
      const { generation } = this
      const data = Buffer.alloc(this.size)
      if (this.file.readNow(data, 0) < data.length) data.fill(0, (await this.file.read(data, 0, data.length, 0)).bytesRead)
      return { data, generation }
    })
  }

  /** A record vouches for `generation` now: an earlier content that was kept for the last record is no longer needed. */
  async dropKept(generation: number): Promise<void> {
    const over = this.kept.filter(({ until }) => until <= generation)
    if (over.length === 0) return
    this.kept = this.kept.filter((it) => !over.includes(it))
    if (this.kept.length === 0) this.emptied = false
    for (const { file } of over) await letGo(file)
  }

  /** What is secured is in an earlier file: a record must not speak of this one yet. */
  get recordStays(): boolean {
    const last = this.kept.at(-1)
    return last !== undefined && this.secured < last.until
  }

  /** Cut to nothing after it was secured, and not secured again since. */
  get begunAnew(): boolean {
    return this.emptied
  }

  private async beginAnew(): Promise<void> {
    const old = this.file
    this.file = newFile(this.fileFor)
    this.emptied = true
    await this.keepForRecord(old)
  }

  /** The draft goes on in another file. If a record vouches for the old one, it stays until the new one is secured. */
  private async keepForRecord(old: DraftFile): Promise<void> {
    if (this.secured === 0 || this.recordStays) return letGo(old)
    this.kept.push({ file: old, until: this.generation + 1 })
  }

  async discard(): Promise<void> {
    await this.dropKept(Infinity)
    this.file.orphan = true
    if (this.file.readers === 0) await this.file.discard()
  }

  /** Closes the file and leaves it on disk. */
  async close(): Promise<void> {
    for (const { file } of this.kept) await file.close()
    await this.file.close()
  }

  private async fromBase(from: number, to: number, signal: AbortSignal | undefined): Promise<Buffer> {
    const data = await this.base!.read(from, to - from, signal)
    if (data.length !== to - from) throw new Error('The base of a draft is shorter than it was')
    return data
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.tail.then(work)
    this.tail = result.catch(() => {})
    return result
  }

  /** A change of the content: if an upload reads the file, goes on with a copy of it. */
  private change(work: () => Promise<void>): Promise<void> {
    return this.inTurn(async () => {
      if (this.file.readers > 0) await this.moveToCopy()
      await work()
    })
  }

  private async moveToCopy(): Promise<void> {
    const old = this.file
    const id = randomUUID()
    this.file = await old.copy(id, this.fileFor(id))
    await this.keepForRecord(old)
  }
}

/** Removes a file once no upload reads it. */
async function letGo(file: DraftFile): Promise<void> {
  file.orphan = true
  if (file.readers === 0) await file.discard()
}

function newFile(fileFor: (id: string) => string): DraftFile {
  const id = randomUUID()
  return DraftFile.create(id, fileFor(id))
}
