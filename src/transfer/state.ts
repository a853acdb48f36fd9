/**
 * What cec remembers of transfers that did not come to their end, below the state folder: for each upload in parts its
 * upload id and the parts that the server has confirmed (its own list of parts cannot be relied on, newer-servers 3.4), and
 * for each transfer that it is under way, so that the same command goes on instead of refusing what it made itself, and
 * which runs of it there were, so that their temporary files are known.
 * Named after account, source and target; nothing in it is secret.
 */
import { createHash } from 'node:crypto'
import type { BigIntStats } from 'node:fs'
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { CellsServer } from '../cells/server.js'
import type { MultipartPart } from '../cells/types.js'
import { isLeftBehind, readRecord, WorkRecord } from './record.js'

/** A server sweeps left-over parts after two days (newer-servers 3.4); what is older is given up. */
const GIVEN_UP_MS = 7 * 24 * 3_600_000

/** Which content a local file has, as far as its inode tells. Times as text: nanoseconds do not fit a number. */
export interface FileVersion {
  readonly size: number
  readonly mtimeNs: string
  /** An edit that puts the old mtime back still shows here. */
  readonly ctimeNs: string
  readonly ino: string
  readonly dev: string
}

export const versionOf = (stats: BigIntStats): FileVersion => ({
  size: Number(stats.size), mtimeNs: String(stats.mtimeNs), ctimeNs: String(stats.ctimeNs), ino: String(stats.ino), dev: String(stats.dev),
})

export const isSameVersion = (a: FileVersion, b: FileVersion): boolean =>
  a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs && a.ino === b.ino && a.dev === b.dev

export interface SentPart extends MultipartPart {
  /** Of what was sent; its etag is the same where the server speaks md5. */
  readonly md5: string
}

export interface UploadFacts {
  readonly account: string
  readonly source: string
  readonly target: string
  readonly file: FileVersion
  /** '' from before the server is asked for one until it has answered. */
  readonly uploadId: string
  readonly partSize: number
  readonly parts: readonly SentPart[]
  /** All parts were there and the server was told to join them. */
  readonly joining: boolean
  /** Runs in a row that the server's answers ended without a single new part. */
  readonly refusals: number
  /** Uploads of this file that were given up while the server could not be told. */
  readonly orphans: readonly string[]
  /** Milliseconds since the epoch. */
  readonly began: number
}

export class TransferState {
  readonly account: string
  readonly #folder: string

  /** @param account whose view of which server (the path `personal-files/x` means another file to each user) */
  constructor(folder: string, account: string) {
    this.#folder = folder
    this.account = account
  }

  #file(kind: 'upload' | 'tree', source: string, target: string): string {
    const key = createHash('sha256').update([kind, this.account, source, target].join('\0')).digest('hex').slice(0, 32)
    return join(this.#folder, `${key}.${kind}.json`)
  }

  /** @returns undefined while another process sends the same file to the same place, and when nothing can be written there */
  async claimUpload(source: string, target: string): Promise<{ readonly record: WorkRecord; readonly found: UploadFacts | undefined } | undefined> {
    const record = await this.#claim(this.#file('upload', source, target), null)
    return record === undefined ? undefined : { record, found: asUpload(record.found, source, target) }
  }

  /** A home that is read-only or full costs the resume, not the transfer. */
  async #claim(path: string, initial: unknown): Promise<WorkRecord | undefined> {
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 })
      return await WorkRecord.claim(path, initial)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === undefined) throw error
      return undefined
    }
  }

  /** Forgets an upload that has come to its end unnoticed: its content is there. */
  async dropUpload(source: string, target: string): Promise<void> {
    if (await this.findUpload(source, target) === undefined) return
    await (await this.claimUpload(source, target))?.record.remove()
  }

  /** The unfinished upload of a file, without taking it over. */
  async findUpload(source: string, target: string): Promise<UploadFacts | undefined> {
    return asUpload((await readRecord(this.#file('upload', source, target)).catch(() => undefined))?.facts, source, target)
  }

  /** Whether a transfer was begun and not ended (nor is it under way in another process). */
  async isUnfinished(source: string, target: string): Promise<boolean> {
    const record = await readRecord(this.#file('tree', source, target)).catch(() => undefined)
    return record !== undefined && !record.inUse
  }

  /**
   * Notes that a transfer is under way, and the name of this run; undefined while another process is at it.
   * @returns with the names of the runs before, which have died
   */
  async begin(source: string, target: string, run: string): Promise<{ readonly record: WorkRecord; readonly before: readonly string[] } | undefined> {
    const fresh: Unfinished = { source, target, began: Date.now(), runs: [run] }
    const record = await this.#claim(this.#file('tree', source, target), fresh)
    if (record === undefined) return undefined
    const before = runsOf(record.found)
    if (before.length > 0) await record.save({ ...fresh, runs: [...before, run] }).catch(() => {})
    return { record, before }
  }

  /** Gives up what nobody went on with for long: uploads are aborted on the server. Never throws. */
  async sweep(server: CellsServer, now: number = Date.now()): Promise<void> {
    const names = await readdir(this.#folder).catch(() => [])
    for (const name of names) {
      const path = join(this.#folder, name)
      if (!name.endsWith('.json')) {
        // Left behind in the middle of a step by kill -9.
        const info = await stat(path).catch(() => undefined)
        if (isLeftBehind(name) || (info !== undefined && now - info.mtimeMs > GIVEN_UP_MS)) await rm(path, { force: true }).catch(() => {})
        continue
      }
      const seen = await readRecord(path).catch(() => undefined)
      const facts = seen?.facts as Partial<UploadFacts> | null | undefined
      if (seen === undefined || seen.inUse || typeof facts?.began !== 'number' || now - facts.began < GIVEN_UP_MS) continue
      const upload = asUpload(facts, facts.source ?? '', facts.target ?? '')
      // The upload of another account can only be aborted by that account.
      if (upload !== undefined && upload.account !== this.account) continue
      for (const id of upload === undefined ? [] : [upload.uploadId, ...upload.orphans]) {
        if (id !== '') await server.multipartAbort(upload?.target ?? '', id, { timeoutMs: 10_000 }).catch(() => {})
      }
      await rm(path, { force: true }).catch(() => {})
    }
  }
}

interface Unfinished {
  readonly source: string
  readonly target: string
  readonly began: number
  readonly runs: readonly string[]
}

/** More than a person has patience for; a record must not grow without an end. */
const MOST_RUNS = 200

function runsOf(found: unknown): string[] {
  const runs = (found as Partial<Unfinished> | null | undefined)?.runs
  return Array.isArray(runs) ? (runs as unknown[]).filter((run): run is string => typeof run === 'string' && /^[0-9a-f]{8}$/.test(run)).slice(-MOST_RUNS) : []
}

/** The facts, if they are whole and about just this; a file on disk is only input. */
function asUpload(value: unknown, source: string, target: string): UploadFacts | undefined {
  const facts = value as UploadFacts | null | undefined
  if (facts?.source !== source || facts.target !== target || typeof facts.uploadId !== 'string' || typeof facts.joining !== 'boolean') return undefined
  if (!Number.isSafeInteger(facts.partSize) || facts.partSize <= 0 || typeof facts.file !== 'object' || facts.file === null || !Array.isArray(facts.parts)) return undefined
  if (!Number.isSafeInteger(facts.refusals) || !Array.isArray(facts.orphans) || !facts.orphans.every(id => typeof id === 'string')) return undefined
  const sound = (facts.parts as readonly Partial<SentPart>[]).every(part => Number.isSafeInteger(part?.number) && typeof part.etag === 'string' && typeof part.md5 === 'string' && Number.isSafeInteger(part.size))
  return sound ? facts : undefined
}
