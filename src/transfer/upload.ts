/** Uploads a file or a tree: plan, make room, make folders, send files, confirm (cec-reference 7). */
import { isCellsError } from '../cells/errors.js'
import { baseOf } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import { Confirmer } from './confirm.js'
import { compareWithNode, needsCellsHash } from '../cells/digest.js'
import type { ContentDigest } from '../cells/digest.js'
import type { CellsNode } from '../cells/types.js'
import { digestOfFile } from './compare.js'
import { partRules } from './parts.js'
import type { PartRules } from './parts.js'
import { TransferRun } from './run.js'
import { TransferError } from './types.js'
import type { TransferOptions, TransferReport } from './types.js'
import { uploadFile } from './upload-file.js'
import { planUpload } from './upload-plan.js'
import type { UploadPlanOptions, UploadStep, UploadTarget } from './upload-plan.js'
import { asUnfinished } from './unfinished.js'

/** Folders in one request, as cec sends them. */
const FOLDER_BATCH = 100
/** Files sent but not yet confirmed, about ten kilobytes each. Then the sending rests until half of them are: an index may show nothing before. */
const UNCONFIRMED = 4000
/** For the server to index content: a floor, and a slow disk's rate on top. */
const CONFIRM_MS = 60_000
const CONFIRM_BYTES_PER_MS = 10_000

class Upload {
  readonly #server: CellsServer
  readonly #run: TransferRun
  readonly #rules: PartRules
  readonly #confirmer: Confirmer
  readonly #confirmMs: number
  readonly #options: TransferOptions
  /** Folders planned but not yet asked for. */
  #folders: string[] = []

  constructor(server: CellsServer, options: TransferOptions) {
    this.#server = server
    this.#rules = partRules(options.parts)
    this.#run = new TransferRun(options, this.#rules.concurrency)
    this.#confirmer = new Confirmer(server, this.#run.signal)
    this.#confirmMs = options.confirmTimeoutMs ?? CONFIRM_MS
    this.#options = options
  }

  async carryOut(plan: AsyncIterable<UploadStep>): Promise<TransferReport> {
    this.#confirmer.leisure = true
    for await (const step of this.#run.steps(plan, step => (step.kind === 'file' ? step.size : 0))) {
      if (step.kind === 'extra') continue
      if (step.kind === 'same') {
        // Joined by a run that died before it could say so.
        if (step.size > this.#rules.threshold) await this.#options.state?.dropUpload(step.source, step.path)
        this.#run.isSame(step.path)
        continue
      }
      if (step.kind === 'folder') {
        this.#folders.push(step.path)
        if (this.#folders.length >= FOLDER_BATCH) await this.#makeFolders()
        continue
      }
      await this.#makeFolders()
      if (step.kind === 'remove') await this.#remove(step.path)
      else if (step.kind === 'file') await this.#startFile(step)
      else this.#run.fail(step.path, step.error)
    }
    if (!this.#run.signal.aborted) await this.#makeFolders()
    this.#confirmer.leisure = false
    return this.#run.finish()
  }

  async #makeRoom(): Promise<void> {
    if (this.#confirmer.size < UNCONFIRMED) return
    this.#confirmer.leisure = false
    await this.#run.drain(UNCONFIRMED / 2)
    this.#confirmer.leisure = true
  }

  /** Without waiting until they show: a PUT below a folder that is not indexed yet works (contract, section 4). */
  async #makeFolders(): Promise<void> {
    const folders = this.#folders
    if (folders.length === 0) return
    this.#folders = []
    await this.#makeRoom()
    try {
      await this.#server.mkdir(folders, { signal: this.#run.signal })
      for (const path of folders) this.#folderMade(path)
    } catch (error) {
      if (folders.length === 1 || !isCellsError(error, 'invalid', 'forbidden', 'exists', 'unavailable', 'timeout')) this.#loseAll(folders, error)
      else await this.#makeOneByOne(folders)
    }
  }

  /** One bad name must not cost its whole batch. */
  async #makeOneByOne(folders: readonly string[]): Promise<void> {
    for (const path of folders) {
      if (this.#run.signal.aborted) return
      try {
        await this.#server.mkdir([path], { signal: this.#run.signal })
        this.#folderMade(path)
      } catch (error) {
        this.#loseAll([path], error)
      }
    }
  }

  #loseAll(folders: readonly string[], error: unknown): void {
    for (const path of folders) {
      this.#run.lose(path)
      this.#run.fail(path, error)
    }
  }

  #folderMade(path: string): void {
    this.#run.did('folder', path)
    this.#run.background(path, this.#confirmer.confirm(path, node => node?.kind === 'folder', this.#confirmMs))
  }

  async #remove(path: string): Promise<void> {
    try {
      await this.#server.remove([path], { permanently: this.#options.removeToBin !== true, signal: this.#run.signal })
      // A PUT onto a key that is still being deleted leaves the index stale for good (trap 6).
      await this.#server.waitFor(path, node => node === undefined, { signal: this.#run.signal })
      this.#run.did('removal', path)
    } catch (error) {
      this.#run.lose(path)
      this.#run.fail(path, error)
    }
  }

  async #startFile(step: UploadStep & { kind: 'file' }): Promise<void> {
    await this.#makeRoom()
    await this.#run.start(step.source, step.path, baseOf(step.path), step.size, async (task, finished) => {
      const digest = await uploadFile(step.source, step.path, {
        server: this.#server,
        rules: this.#rules,
        requests: this.#run.requests,
        signal: this.#run.signal,
        limiter: this.#options.limiter,
        state: this.#options.state,
        onProgress: bytes => this.#run.listener.onProgress?.(task, bytes),
        onDetail: message => this.#run.listener.onDetail?.(message),
      })
      finished()
      const shown = await this.#confirmer.confirm(step.path, node => {
        if (node === undefined) return false
        return compareWithNode(digest, node) !== 'other' || needsCellsHash(digest, node) || (this.#options.skipDigest === true && node.size === digest.size)
      }, this.#confirmMs + digest.size / CONFIRM_BYTES_PER_MS)
      if (shown !== undefined && this.#options.skipDigest !== true && needsCellsHash(digest, shown)) await demandSame(step.source, digest, shown)
    })
  }
}

/** Reads the file once more, for the hash that this server compares by. @throws TransferError `mismatch` */
async function demandSame(source: string, sent: ContentDigest, node: CellsNode): Promise<void> {
  const now = await digestOfFile(source)
  if (now.md5 !== sent.md5) throw new TransferError('changed', 'the file changed after it was sent')
  if (compareWithNode(now, node) === 'other') throw new TransferError('mismatch', `the server reports other content (etag ${node.etag})`)
}

/**
 * Sends what `target` describes (see resolveUpload) and returns when the server reports all of it.
 * Failures of single items are in the report.
 * @throws TransferError `usage` for part sizes that cannot be; the abort reason of `options.signal`
 */
export async function upload(server: CellsServer, target: UploadTarget, options: TransferOptions = {}): Promise<TransferReport> {
  const plan = planUpload(server, target, uploadPlanOptions(target, options))
  return asUnfinished(target.source, target.path, options, () => carryOutUpload(server, plan, options))
}

/** How `upload` plans, for those who only want to see the plan. */
export const uploadPlanOptions = (target: UploadTarget, options: TransferOptions): UploadPlanOptions => ({
  signal: options.signal, select: options.select,
  ...(target.resumed ? { compare: 'hash', keepOthers: options.force !== true } as const : {}),
})

/** Carries out a plan; `same` steps are counted, `extra` steps passed over. */
export async function carryOutUpload(server: CellsServer, plan: AsyncIterable<UploadStep>, options: TransferOptions = {}): Promise<TransferReport> {
  return new Upload(server, options).carryOut(plan)
}
