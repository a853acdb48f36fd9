/**
 * Content on disk: immutable blobs named by a random id, never by anything a user typed. A body is streamed into a
 * temporary file and renamed when it is complete, its md5 computed on the way. A blob may consist of several
 * segments (the parts of a multipart upload), so completing an upload copies nothing; a server-side copy is a hard link.
 */
import { createHash, randomUUID } from 'node:crypto'
import { closeSync, createReadStream, openSync, readSync, renameSync, writeFileSync } from 'node:fs'
import { link, mkdir, open, readdir, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'

export interface Segment {
  readonly id: string
  readonly size: number
}

/** One version of a file's content. */
export interface Blob {
  readonly segments: readonly Segment[]
  readonly size: number
  /** Hex md5 of the whole content; '' until it has been computed (multipart, contract section 4). */
  readonly md5: string
  /** The storage's own tag: the md5, or `hex-N` after a multipart upload. */
  readonly storageEtag: string
  /** `x-cells-hash` (newer-servers 3.4), '' if not computed. */
  readonly hash: string
  /** Seconds since the epoch. */
  readonly mtime: number
  readonly contentType: string
}

/** A body that has been stored. */
export interface Written extends Segment {
  readonly md5: string
  readonly sha256: string
  /** Raw md5 of each 10 MiB block, hex, in order. */
  readonly blocks: readonly string[]
}

const HASH_BLOCK = 10 * 1024 * 1024
/** Up to this size content is written and read at once: handing each call of thousands to a thread costs many times the call. */
const SMALL = 64 * 1024

/** md5 over the raw md5s of the 10 MiB blocks: the value of `x-cells-hash`. */
export function cellsHash(blocks: readonly string[]): string {
  const hash = createHash('md5')
  for (const block of blocks) hash.update(Buffer.from(block, 'hex'))
  return hash.digest('hex')
}

class BlockHasher {
  readonly blocks: string[] = []
  #hash = createHash('md5')
  #filled = 0

  update(chunk: Buffer): void {
    let rest = chunk
    while (this.#filled + rest.length >= HASH_BLOCK) {
      const head = rest.subarray(0, HASH_BLOCK - this.#filled)
      this.#hash.update(head)
      this.#next()
      rest = rest.subarray(head.length)
    }
    this.#hash.update(rest)
    this.#filled += rest.length
  }

  end(): readonly string[] {
    if (this.#filled > 0 || this.blocks.length === 0) this.#next()
    return this.blocks
  }

  #next(): void {
    this.blocks.push(this.#hash.digest('hex'))
    this.#hash = createHash('md5')
    this.#filled = 0
  }
}

/** The bytes of a small piece; fewer where the file ends. */
function readPiece(path: string, start: number, length: number): Buffer {
  const fd = openSync(path, 'r')
  try {
    const piece = Buffer.allocUnsafe(length)
    let done = 0
    for (let read = -1; done < length && read !== 0; done += read) read = readSync(fd, piece, done, length - done, start + done)
    return piece.subarray(0, done)
  } finally {
    closeSync(fd)
  }
}

export class BlobStore {
  readonly #dir: string
  readonly #withBlocks: boolean

  private constructor(dir: string, withBlocks: boolean) {
    this.#dir = dir
    this.#withBlocks = withBlocks
  }

  /** Opens the folder `dir`, creating it. `withBlocks`: also compute `x-cells-hash` (twice the hashing). */
  static async open(dir: string, withBlocks: boolean): Promise<BlobStore> {
    await mkdir(join(dir, 'tmp'), { recursive: true, mode: 0o700 })
    // What a dead process was writing belongs to nobody.
    for (const name of await readdir(join(dir, 'tmp'))) await unlink(join(dir, 'tmp', name))
    for (let i = 0; i < 256; i++) await mkdir(join(dir, i.toString(16).padStart(2, '0')), { recursive: true, mode: 0o700 })
    return new BlobStore(dir, withBlocks)
  }

  /**
   * Stores a body.
   * @throws what `source` throws; nothing is left behind then
   */
  async write(source: AsyncIterable<Buffer>, options: { sha256?: boolean } = {}): Promise<Written> {
    const id = randomUUID()
    const temporary = join(this.#dir, 'tmp', id)
    const md5 = createHash('md5')
    const sha256 = options.sha256 ? createHash('sha256') : undefined
    const blocks = this.#withBlocks ? new BlockHasher() : undefined
    let file: FileHandle | undefined
    let size = 0
    let held: Buffer[] = []
    try {
      for await (const chunk of source) {
        md5.update(chunk)
        sha256?.update(chunk)
        blocks?.update(chunk)
        size += chunk.length
        if (file === undefined && size <= SMALL) {
          held.push(chunk)
          continue
        }
        file ??= await open(temporary, 'wx', 0o600)
        for (const each of [...held, chunk]) for (let done = 0; done < each.length; ) done += (await file.write(each, done)).bytesWritten
        held = []
      }
      if (file === undefined) writeFileSync(temporary, Buffer.concat(held), { flag: 'wx', mode: 0o600 })
      else await file.close()
      renameSync(temporary, this.#path(id))
    } catch (error) {
      await file?.close().catch(() => {})
      await unlink(temporary).catch(() => {})
      throw error
    }
    return { id, size, md5: md5.digest('hex'), sha256: sha256?.digest('hex') ?? '', blocks: blocks?.end() ?? [] }
  }

  writeText(text: string | Buffer): Promise<Written> {
    return this.write(Readable.from([Buffer.from(text)]))
  }

  /** The bytes from `start` to `end` (inclusive); ends early where the content ends. */
  async *read(blob: Pick<Blob, 'segments'>, start: number, end: number): AsyncGenerator<Buffer> {
    let base = 0
    for (const segment of blob.segments) {
      const from = Math.max(start - base, 0)
      const to = Math.min(end - base, segment.size - 1)
      base += segment.size
      if (from > to) continue
      if (to - from < SMALL) {
        yield readPiece(this.#path(segment.id), from, to - from + 1)
        continue
      }
      yield* createReadStream(this.#path(segment.id), { start: from, end: to, highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>
    }
  }

  /** md5 of a whole blob, read from disk. */
  async md5(blob: Blob): Promise<string> {
    const hash = createHash('md5')
    for await (const chunk of this.read(blob, 0, blob.size - 1)) hash.update(chunk)
    return hash.digest('hex')
  }

  /** The same content under new ids. */
  async copy(blob: Blob): Promise<Blob> {
    const segments = await Promise.all(blob.segments.map(async segment => {
      const id = randomUUID()
      await link(this.#path(segment.id), this.#path(id))
      return { id, size: segment.size }
    }))
    return { ...blob, segments }
  }

  /** Reads that have begun go on. Missing files are no error. */
  async remove(segments: readonly Segment[]): Promise<void> {
    await Promise.all(segments.map(segment => unlink(this.#path(segment.id)).catch(() => {})))
  }

  /** Removes every blob whose id is not in `used`: left over from uploads that a dead process never finished. */
  async sweep(used: ReadonlySet<string>): Promise<number> {
    let removed = 0
    for (const folder of await readdir(this.#dir)) {
      if (folder === 'tmp') continue
      for (const name of await readdir(join(this.#dir, folder))) {
        if (used.has(name)) continue
        await unlink(join(this.#dir, folder, name))
        removed++
      }
    }
    return removed
  }

  #path(id: string): string {
    return join(this.#dir, id.slice(0, 2), id)
  }
}
