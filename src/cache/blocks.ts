/**
 * File content on disk, by version, in blocks of 1 MiB, each a file that describes itself: a header
 * with the version it belongs to, its number, its length and a checksum. A block that does not agree with its header is
 * a miss, never an error and never data. Blocks survive the process. The total is bounded: room is made before
 * a block is written. A full disk costs only the cache. What is pinned is not part of that bound, and stays.
 */
import { createHash } from 'node:crypto'
import { mkdir, open, readdir, rm, stat, unlink, writeFile, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { LRUCache } from 'lru-cache'
import type { Logger } from '../log.js'
import { BLOCK_SIZE, DIGEST, header, HEADER_SIZE } from './block-file.js'
import { blockMemory } from './block-memory.js'
import { writeBlockAside } from './block-writer.js'
import { contentBuffers } from './buffer-pool.js'
import { loadReadNow } from './read-now.js'

export { BLOCK_SIZE }
/** Blocks kept in memory, so that the 128 KiB requests of a kernel do not each go to the disk. */
const MEMORY_BLOCKS = 24
/** Block files kept open: to open and to close one costs more than to read a few pages of it. */
const OPEN_FILES = 128
/** A file beside the blocks of a pinned version. */
const PIN = 'keep'

/** One version of a file: nothing with the same three values can have other bytes. */
export interface VersionKey {
  readonly uuid: string
  readonly etag: string
  readonly size: number
}

interface OnDisk {
  readonly bytes: number
  /** The checksum was compared in this process. */
  verified: boolean
}

/** Length of block `index` of a file of `size` bytes. */
export function blockLength(size: number, index: number): number {
  return Math.max(0, Math.min(BLOCK_SIZE, size - index * BLOCK_SIZE))
}

export class BlockCache {
  private readonly dir: string
  private readonly logger: Logger
  private readonly entries: LRUCache<string, OnDisk>
  private readonly memory = new LRUCache<string, Buffer>({ max: MEMORY_BLOCKS, dispose: (data) => blockMemory.give(data) })
  private readonly files = new LRUCache<string, FileHandle>({ max: OPEN_FILES, dispose: (handle) => void handle.close().catch(() => {}) })
  private readonly readNow = loadReadNow()
  private readonly evictions = new Set<Promise<void>>()
  /** Blocks of pinned versions, which stay. */
  private readonly kept = new Map<string, OnDisk>()
  private keptBytes = 0
  /** Digests of pinned versions. */
  private readonly pinned = new Set<string>()
  /** Reads that found their block, and that did not. */
  hits = 0
  misses = 0
  private warnedFull = false
  private counter = 0

  private constructor(dir: string, maxBytes: number, logger: Logger) {
    this.dir = dir
    this.logger = logger
    this.entries = new LRUCache<string, OnDisk>({
      maxSize: Math.max(maxBytes, BLOCK_SIZE + HEADER_SIZE),
      sizeCalculation: (entry) => entry.bytes,
      dispose: (_entry, id, reason) => {
        if (reason === 'set' || this.kept.has(id)) return
        this.memory.delete(id)
        this.files.delete(id)
        const eviction = unlink(this.file(id)).catch(() => {}).finally(() => this.evictions.delete(eviction))
        this.evictions.add(eviction)
      },
    })
  }

  /**
   * Opens the cache folder and takes stock of the blocks of earlier processes, least recently written first.
   * @param maxBytes bound of the folder's content
   */
  static async open(dir: string, maxBytes: number, logger: Logger): Promise<BlockCache> {
    const cache = new BlockCache(dir, maxBytes, logger)
    await rm(join(dir, 'tmp'), { recursive: true, force: true })
    await mkdir(join(dir, 'tmp'), { recursive: true, mode: 0o700 })
    const found: Array<{ id: string; bytes: number; at: number }> = []
    for (const version of await readdir(dir)) {
      if (version === 'tmp' || !/^[0-9a-f]{40}$/.test(version)) continue
      const names = await readdir(join(dir, version))
      if (names.includes(PIN)) cache.pinned.add(version)
      for (const name of names) {
        if (name === PIN) continue
        const id = `${version}/${name}`
        const facts = await stat(join(dir, id))
        found.push({ id, bytes: facts.size, at: facts.mtimeMs })
      }
    }
    found.sort((a, b) => a.at - b.at)
    for (const it of found) cache.enter(it.id, { bytes: it.bytes, verified: false })
    return cache
  }

  /** `pinned` comes on top of `bytes`, and is not bounded by `limit`. */
  get usage(): { bytes: number; limit: number; pinned: number; blocks: number } {
    return { bytes: this.entries.calculatedSize, limit: this.entries.maxSize, pinned: this.keptBytes, blocks: this.entries.size + this.kept.size }
  }

  has(key: VersionKey, index: number): boolean {
    const id = blockId(key, index)
    return this.kept.has(id) || this.entries.has(id)
  }

  /** Bytes of a version that are not here. */
  missing(key: VersionKey): number {
    let bytes = 0
    for (let index = 0; index * BLOCK_SIZE < key.size; index++) if (!this.has(key, index)) bytes += blockLength(key.size, index)
    return bytes
  }

  // -- what stays

  private enter(id: string, entry: OnDisk): void {
    if (!this.pinned.has(id.slice(0, DIGEST))) {
      this.entries.set(id, entry)
      return
    }
    this.keptBytes += entry.bytes - (this.kept.get(id)?.bytes ?? 0)
    this.kept.set(id, entry)
  }

  private find(id: string): OnDisk | undefined {
    return this.kept.get(id) ?? this.entries.get(id)
  }

  private leave(id: string): void {
    const entry = this.kept.get(id)
    if (entry !== undefined) {
      this.kept.delete(id)
      this.keptBytes -= entry.bytes
      // Through the other map, so that it goes the same way.
      this.entries.set(id, entry)
    }
    this.entries.delete(id)
  }

  /** From now on the blocks of this version stay, those that come as well, until `keepOnly`; also over a restart. Never throws. */
  async keep(key: VersionKey): Promise<void> {
    const digest = versionDigest(key)
    if (this.pinned.has(digest)) return
    this.pinned.add(digest)
    for (let index = 0; index * BLOCK_SIZE < key.size; index++) {
      const id = blockId(key, index)
      const entry = this.entries.peek(id)
      if (entry === undefined) continue
      this.enter(id, entry)
      this.entries.delete(id)
    }
    try {
      await mkdir(join(this.dir, digest), { mode: 0o700, recursive: true })
      await writeFile(join(this.dir, digest, PIN), '', { mode: 0o600 })
    } catch (error) {
      this.logger.warn('a pinned version could not be marked', { error })
    }
  }

  /** All other pinned versions are ordinary ones again. Never throws. */
  async keepOnly(keys: Iterable<VersionKey>): Promise<void> {
    const wanted = new Set<string>()
    for (const key of keys) wanted.add(versionDigest(key))
    const gone = [...this.pinned].filter((digest) => !wanted.has(digest))
    if (gone.length === 0) return
    for (const digest of gone) {
      this.pinned.delete(digest)
      await unlink(join(this.dir, digest, PIN)).catch(() => {})
    }
    for (const [id, entry] of [...this.kept]) {
      if (this.pinned.has(id.slice(0, DIGEST))) continue
      this.kept.delete(id)
      this.keptBytes -= entry.bytes
      this.entries.set(id, entry)
    }
  }

  // -- reading and writing

  /**
   * The bytes `[from, to)` of a block, or undefined; of `contentBuffers`, where they may be given back.
   */
  async read(key: VersionKey, index: number, from: number, to: number): Promise<Buffer | undefined> {
    const id = blockId(key, index)
    const hot = this.memory.get(id)
    const entry = hot === undefined ? this.find(id) : undefined
    if (hot === undefined && entry === undefined) this.misses++
    else this.hits++
    if (hot !== undefined) return copyOf(hot, from, to)
    if (entry === undefined) return undefined
    try {
      const handle = this.files.get(id) ?? await this.openFile(id, entry)
      if (entry.verified) {
        const part = contentBuffers.take(to - from)
        const at = HEADER_SIZE + from
        if (this.readNow(handle.fd, part, at) === part.length) return part
        const { bytesRead } = await handle.read(part, 0, part.length, at)
        if (bytesRead === part.length) return part
      }
      const length = blockLength(key.size, index)
      const whole = Buffer.allocUnsafe(HEADER_SIZE + length)
      const { bytesRead } = await handle.read(whole, 0, whole.length, 0)
      const data = whole.subarray(HEADER_SIZE)
      if (bytesRead === whole.length && whole.compare(header(id, index, data), 0, HEADER_SIZE, 0, HEADER_SIZE) === 0) {
        entry.verified = true
        this.remember(id, data)
        return copyOf(data, from, to)
      }
      this.logger.warn('damaged cache block dropped', { block: id })
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // Its file was closed in favour of others: it is asked for again.
      if (code === 'EBADF') return undefined
      if (code !== 'ENOENT') this.logger.warn('cache block cannot be read', { block: id, error })
    }
    if (this.present(id) === entry) this.leave(id)
    return undefined
  }

  private present(id: string): OnDisk | undefined {
    return this.kept.get(id) ?? this.entries.peek(id)
  }

  private async openFile(id: string, entry: OnDisk): Promise<FileHandle> {
    const handle = await open(this.file(id), 'r')
    // Evicted meanwhile, perhaps written anew, or opened twice at once.
    if (this.present(id) !== entry || this.files.has(id)) {
      await handle.close()
      throw Object.assign(new Error('The block has changed'), { code: 'EBADF' })
    }
    this.files.set(id, handle)
    return handle
  }

  /**
   * Keeps a whole block, best of `blockMemory`. Never throws: a cache that cannot be written is only slower. `data` must not change afterwards; what
   * the caller has of it he gives back himself.
   */
  async put(key: VersionKey, index: number, data: Buffer): Promise<void> {
    const id = blockId(key, index)
    this.remember(id, data)
    if (this.find(id) !== undefined) return
    blockMemory.share(data)
    try {
      const temporary = join(this.dir, 'tmp', String(this.counter++))
      // Room first, so that the bound is a bound.
      this.enter(id, { bytes: HEADER_SIZE + data.length, verified: true })
      await Promise.all(this.evictions)
      await writeBlockAside({ id, index, data, temporary, file: this.file(id) })
      // Evicted while being written.
      if (this.present(id) === undefined) await unlink(this.file(id)).catch(() => {})
    } catch (error) {
      this.leave(id)
      if (!this.warnedFull) this.logger.warn('the block cache cannot be written, going on without', { error })
      this.warnedFull = true
    } finally {
      blockMemory.give(data)
    }
  }

  private remember(id: string, data: Buffer): void {
    blockMemory.share(data)
    this.memory.set(id, data)
  }

  /** Keeps a whole local file as a version's content (what was just uploaded need not be downloaded). */
  async adopt(key: VersionKey, source: { read(buffer: Buffer, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }> }): Promise<void> {
    for (let index = 0; index * BLOCK_SIZE < key.size; index++) {
      if (this.has(key, index)) continue
      const data = blockMemory.take(blockLength(key.size, index))
      const { bytesRead } = await source.read(data, 0, data.length, index * BLOCK_SIZE)
      if (bytesRead === data.length) await this.put(key, index, data)
      blockMemory.give(data)
      if (bytesRead !== data.length) return
    }
  }

  /** Closes the files. Reading and writing go on to work. */
  close(): void {
    this.files.clear()
  }

  /** Resolves when evictions under way are done. */
  async settled(): Promise<void> {
    await Promise.all(this.evictions)
  }

  private file(id: string): string {
    return join(this.dir, id)
  }
}

/** Of `contentBuffers`: a block's memory is used again as soon as the cache lets it go. */
export function copyOf(block: Buffer, from: number, to: number): Buffer {
  const part = contentBuffers.take(to - from)
  block.copy(part, 0, from, to)
  return part
}

const keyDigests = new WeakMap<VersionKey, string>()

function blockId(key: VersionKey, index: number): string {
  return `${versionDigest(key)}/${index}`
}

function versionDigest(key: VersionKey): string {
  let digest = keyDigests.get(key)
  if (digest === undefined) {
    digest = createHash('sha1').update(`${key.uuid}\0${key.etag}\0${key.size}`).digest('hex')
    keyDigests.set(key, digest)
  }
  return digest
}
