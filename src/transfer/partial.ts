/**
 * The file that a download fills: under a hidden name in the target's folder, so that the last step is a rename. Of a
 * large one a sidecar says which version it is and which bytes are there, so that a later run (after Ctrl-C, kill -9 or a lost
 * network) goes on where this one stopped, but only with the same version. The digest of the whole is still taken from
 * what is on the disk at the end.
 */
import { createHash, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { open, opendir, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { CellsNode } from '../cells/types.js'
import { ByteRanges } from './byte-ranges.js'
import { MIB } from './parts.js'
import { isLeftBehind, readRecord, WorkRecord } from './record.js'

/** Smaller files are cheaper to fetch again than to keep books about. */
const WORTH_KEEPING = 1 * MIB
const SAVE_EVERY_MS = 250
const SAVE_EVERY_BYTES = 8 * MIB

/** Names that this module gives, and no transfer or comparison takes for content. */
export const isPartialName = (name: string): boolean => /^\.cec-[0-9a-f]{12,16}\.(?:part|json)(?:\.[0-9a-f-]+|\.taking|\.new)?$/.test(name)

/** What runs of this transfer that have died may have left in a folder: files too small for a record, named after their run. */
export class Leftovers {
  readonly #runs: ReadonlySet<string>

  constructor(runs: readonly string[]) {
    this.#runs = new Set(runs)
  }

  get possible(): boolean {
    return this.#runs.size > 0
  }

  /** Never throws: what is still there then hurts nobody. */
  async remove(folder: string): Promise<void> {
    if (!this.possible) return
    try {
      for await (const { name } of await opendir(folder)) {
        const [, run] = /^\.cec-([0-9a-f]{8})[0-9a-f]{8}\.part$/.exec(name) ?? []
        if ((run !== undefined && this.#runs.has(run)) || (isPartialName(name) && isLeftBehind(name))) await unlink(join(folder, name)).catch(() => {})
      }
    } catch {
      // Not there yet, or not to be read.
    }
  }
}

let named = 0

/** A new name beside `target`, for what has no record. @param run eight hexadecimal digits */
export const temporaryPath = (target: string, run: string = randomBytes(4).toString('hex')): string =>
  join(dirname(target), `.cec-${run}${(named++ % 2 ** 32).toString(16).padStart(8, '0')}.part`)

interface Facts {
  readonly path: string
  readonly uuid: string
  readonly etag: string
  readonly size: number
  readonly ranges: ByteRanges
}

export class PartialFile {
  readonly path: string
  readonly handle: FileHandle
  readonly ranges = new ByteRanges()
  readonly #record: WorkRecord | undefined
  #version: CellsNode | undefined
  #lastSave = 0
  #unsaved = 0
  /** There may be bytes in the file. */
  #touched: boolean
  #closed = false

  private constructor(path: string, handle: FileHandle, record: WorkRecord | undefined) {
    this.#touched = record !== undefined
    this.path = path
    this.handle = handle
    this.#record = record
  }

  /**
   * @param account whose view of the server `node` is; '' for no resume
   * @param run eight hexadecimal digits, the name of this run (unfinished.ts)
   */
  static async open(node: CellsNode, target: string, account: string, run?: string): Promise<PartialFile> {
    if (account !== '' && node.size >= WORTH_KEEPING) {
      const kept = keptPath(node, target, account)
      const record = await WorkRecord.claim(`${kept}.json`, null)
      if (record !== undefined) {
        const path = `${kept}.part`
        try {
          const partial = new PartialFile(path, await openKept(path), record)
          await partial.#recall(record.found)
          return partial
        } catch (error) {
          await record.remove()
          throw error
        }
      }
    }
    const path = temporaryPath(target, run)
    return new PartialFile(path, await open(path, 'wx+', 0o600), undefined)
  }

  /** The file is complete, but the run that renamed it may have died before it removed the sidecar. */
  static async forget(node: CellsNode, target: string, account: string): Promise<void> {
    if (account === '' || node.size < WORTH_KEEPING) return
    const path = `${keptPath(node, target, account)}.json`
    if (await readRecord(path) !== undefined) await (await WorkRecord.claim(path, null))?.remove()
  }

  async #recall(found: unknown): Promise<void> {
    const facts = found as { path?: unknown; uuid?: unknown; etag?: unknown; size?: unknown; ranges?: unknown } | null | undefined
    if (typeof facts?.uuid !== 'string' || typeof facts.etag !== 'string' || typeof facts.size !== 'number' || facts.etag === '') return
    const there = (await this.handle.stat()).size
    const kept = ByteRanges.parse(facts.ranges, Math.min(facts.size, there))
    for (const [start, end] of kept.toJSON()) this.ranges.add(start, end)
    this.#version = { uuid: facts.uuid, etag: facts.etag, size: facts.size } as CellsNode
  }

  /**
   * From now on it holds this version: what is there of another one is dropped.
   * @returns bytes that are there already
   */
  async prepare(node: CellsNode): Promise<number> {
    const old = this.#version
    const same = old !== undefined && old.uuid === node.uuid && old.etag === node.etag && old.size === node.size && node.etag !== ''
    if (!same) await this.restart()
    this.#version = node
    return this.ranges.total
  }

  /** Nothing is there any more. */
  async restart(): Promise<void> {
    this.#version = undefined
    this.ranges.clear()
    if (this.#touched) await this.handle.truncate(0)
    await this.#record?.save(null)
  }

  /** Chunks that follow one another, from `position` on. */
  async write(chunks: readonly Buffer[], position: number): Promise<void> {
    const size = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    this.#touched = true
    let { bytesWritten: done } = await this.handle.writev(chunks, position)
    if (done < size) {
      const rest = Buffer.concat(chunks)
      while (done < size) done += (await this.handle.write(rest, done, size - done, position + done)).bytesWritten
    }
    this.ranges.add(position, position + size)
    const now = performance.now()
    this.#unsaved += size
    if (this.#record === undefined || (now - this.#lastSave < SAVE_EVERY_MS && this.#unsaved < SAVE_EVERY_BYTES)) return
    this.#lastSave = now
    this.#unsaved = 0
    await this.save()
  }

  /** Writes down what is there; a piece that has come to its end is not fetched again. */
  async save(): Promise<void> {
    const version = this.#version
    if (this.#record === undefined || version === undefined) return
    const facts: Facts = { path: version.path, uuid: version.uuid, etag: version.etag, size: version.size, ranges: this.ranges }
    await this.#record.save(facts)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.handle.close()
  }

  /** After the rename: the sidecar goes. */
  async done(): Promise<void> {
    await this.#record?.remove()
  }

  /**
   * The download has failed.
   * @param keep another try later may go on with what is there
   */
  async leave(keep: boolean): Promise<void> {
    if (keep && this.#record !== undefined && this.ranges.total >= WORTH_KEEPING) {
      // The bytes first, then the word that they are there.
      await this.handle.datasync().catch(() => {})
      await this.save().catch(() => {})
      await this.close()
      return
    }
    await this.close()
    await unlink(this.path).catch(() => {})
    await this.#record?.remove()
  }
}

/** Without its ending: where the partial file and the sidecar of a large file lie. */
function keptPath(node: CellsNode, target: string, account: string): string {
  const key = createHash('sha256').update([account, node.path, basename(target)].join('\0')).digest('hex').slice(0, 16)
  return join(dirname(target), `.cec-${key}`)
}

/** An own file of an earlier run, or a new one; never through a link that somebody put there. */
async function openKept(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx+', 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  const handle = await open(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(async (error: unknown) => {
    await unlink(path)
    if ((error as NodeJS.ErrnoException).code !== 'ELOOP') throw error
    return open(path, 'wx+', 0o600)
  })
  const info = await handle.stat()
  if (info.isFile() && info.nlink === 1 && info.uid === process.getuid?.()) return handle
  await handle.close()
  await unlink(path)
  return open(path, 'wx+', 0o600)
}

