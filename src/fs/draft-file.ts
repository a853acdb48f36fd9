/**
 * The bytes of a draft. Small ones live in memory: their record holds them (durability.ts), so a file that would be made, written, read and
 * deleted again within a second needs not be there at all. They go to a file when they grow, when they are to be synced,
 * before a record speaks of them without holding them, and when they are not sent within a second (`toDisk`).
 */
import { constants, rmSync, writeFileSync } from 'node:fs'
import { copyFile, open, unlink, type FileHandle } from 'node:fs/promises'
import { loadReadNow } from '../cache/read-now.js'

/** The largest content in memory, bytes. */
const MEMORY_BYTES = 8_192
/** Contents in memory, over all drafts; further ones are files from the start. */
const MOST_IN_MEMORY = 1_000

const readNow = loadReadNow()
let inMemory = 0

/** What can be read by position. */
export interface Readable {
  read(buffer: Buffer, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>
  /** Of what is on disk: anything larger than 8 KiB is. */
  readonly fd: number
}

export class DraftFile implements Readable {
  readonly id: string
  readonly path: string
  /** Where it ends. */
  length = 0
  /** Uploads reading it. */
  readers = 0
  /** No longer the draft's own: goes when the last reader goes. */
  orphan = false
  #handle: FileHandle | undefined
  /** `#handle`, while the file is being opened. */
  #opening: Promise<FileHandle> | undefined
  /** The content, zeros behind its end; undefined: in the file only. */
  #memory: Buffer | undefined
  /** There is a file, as long as `#memory` is there with the same bytes. */
  #onDisk = false

  private constructor(id: string, path: string) {
    this.id = id
    this.path = path
  }

  /** A new one, empty. */
  static create(id: string, path: string): DraftFile {
    const file = new DraftFile(id, path)
    if (inMemory < MOST_IN_MEMORY) file.#remember(Buffer.alloc(0))
    return file
  }

  static async reopen(id: string, path: string): Promise<DraftFile> {
    const file = new DraftFile(id, path)
    file.#handle = await open(path, 'r+')
    file.#onDisk = true
    file.length = (await file.#handle.stat()).size
    return file
  }

  /** Another one with the same bytes. */
  async copy(id: string, path: string): Promise<DraftFile> {
    const copy = new DraftFile(id, path)
    if (this.#memory !== undefined && inMemory < MOST_IN_MEMORY) {
      copy.#remember(Buffer.from(this.#memory))
    } else {
      this.toDisk()
      await copyFile(this.path, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
      copy.#handle = await open(path, 'r+')
      copy.#onDisk = true
    }
    copy.length = this.length
    return copy
  }

  get fd(): number {
    if (this.#handle === undefined) throw new Error('A content in memory has no descriptor')
    return this.#handle.fd
  }

  /** Bytes that are at hand without waiting, from `position` on; fewer than `buffer` holds where that would take a wait, or at the end. */
  readNow(buffer: Buffer, position: number): number {
    if (this.#memory !== undefined) return copied(this.#memory, buffer, 0, position, this.length)
    return this.#handle === undefined ? 0 : readNow(this.#handle.fd, buffer, position)
  }

  async read(buffer: Buffer, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }> {
    if (this.#memory !== undefined) return { bytesRead: copied(this.#memory, buffer, offset, position, Math.min(this.length, position + length)) }
    return (this.#handle ?? await this.#open()).read(buffer, offset, length, position)
  }

  // -- changes, one after the other

  /** Writes all of `data`. @throws ENOSPC and other local errors */
  async write(data: Buffer, position: number): Promise<void> {
    const end = position + data.length
    if (this.#memory !== undefined && !this.#onDisk && end <= MEMORY_BYTES) {
      this.#room(end)
      data.copy(this.#memory, position)
      this.length = Math.max(this.length, end)
      return
    }
    const handle = await this.#open()
    for (let done = 0; done < data.length;) {
      const { bytesWritten } = await handle.write(data, done, data.length - done, position + done)
      done += bytesWritten
      this.length = Math.max(this.length, position + done)
    }
  }

  /** Shorter, or longer with zeros. */
  async truncate(length: number): Promise<void> {
    if (this.#memory !== undefined && !this.#onDisk && length <= MEMORY_BYTES) {
      this.#memory.fill(0, Math.min(length, this.#memory.length))
      this.#room(length)
    } else {
      await (await this.#open()).truncate(length)
    }
    this.length = length
  }

  /** Makes it survive a power cut. */
  async sync(): Promise<void> {
    await (await this.#open()).datasync()
  }

  /** Makes sure that there is a file with it, which a crash of this process leaves. @throws errors of the disk */
  toDisk(): void {
    if (this.#memory === undefined || this.#onDisk) return
    try {
      writeFileSync(this.path, this.#memory.subarray(0, this.length), { mode: 0o600 })
    } catch (error) {
      rmSync(this.path, { force: true })
      throw error
    }
    this.#onDisk = true
  }

  /** Closes it and leaves it on disk. */
  async close(): Promise<void> {
    this.toDisk()
    this.#forget()
    await (await this.#opened())?.close()
  }

  async discard(): Promise<void> {
    this.#forget()
    await (await this.#opened())?.close()
    if (this.#onDisk) await unlink(this.path)
  }

  async #open(): Promise<FileHandle> {
    if (this.#handle !== undefined) return this.#handle
    this.#opening ??= this.#openNow().finally(() => { this.#opening = undefined })
    return this.#opening
  }

  async #openNow(): Promise<FileHandle> {
    // Also if `toDisk` comes first, which writes the same.
    const handle = await open(this.path, constants.O_RDWR | constants.O_CREAT, 0o600)
    try {
      if (this.#memory !== undefined && !this.#onDisk) {
        for (let done = 0; done < this.length;) done += (await handle.write(this.#memory, done, this.length - done, done)).bytesWritten
      }
    } catch (error) {
      await handle.close()
      if (!this.#onDisk) await unlink(this.path).catch(() => {})
      throw error
    }
    this.#onDisk = true
    this.#handle = handle
    this.#forget()
    return handle
  }

  async #opened(): Promise<FileHandle | undefined> {
    return this.#handle ?? await this.#opening?.catch(() => undefined)
  }

  #room(bytes: number): void {
    if (this.#memory!.length >= bytes) return
    const larger = Buffer.alloc(Math.min(MEMORY_BYTES, Math.max(256, bytes, 2 * this.#memory!.length)))
    this.#memory!.copy(larger, 0, 0, this.length)
    this.#memory = larger
  }

  #remember(memory: Buffer): void {
    this.#memory = memory
    inMemory++
  }

  #forget(): void {
    if (this.#memory === undefined) return
    this.#memory = undefined
    inMemory--
  }
}

/** As Buffer.copy, and 0 behind the end. */
function copied(from: Buffer, to: Buffer, at: number, start: number, end: number): number {
  return start < end ? from.copy(to, at, start, end) : 0
}
