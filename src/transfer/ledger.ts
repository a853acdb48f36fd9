/**
 * The book of one upload in parts, kept here because a server's own list of parts cannot be relied on (newer-servers 3.4): what is
 * in it was answered by the server. Without a record (no state folder, or another process has it) it is kept in memory only. A
 * book that cannot be written stops nothing: a later run then sends more than it had to.
 */
import type { Part } from './parts.js'
import type { WorkRecord } from './record.js'
import type { SentPart, UploadFacts } from './state.js'

export class Ledger {
  readonly #parts = new Map<number, SentPart>()
  #facts: UploadFacts
  #record: WorkRecord | undefined
  readonly #onTrouble: (error: unknown) => void

  /** @param onTrouble told once when the book can no longer be written */
  constructor(facts: UploadFacts, record: WorkRecord | undefined, onTrouble: (error: unknown) => void) {
    this.#facts = facts
    this.#record = record
    this.#onTrouble = onTrouble
    for (const part of facts.parts) this.#parts.set(part.number, part)
  }

  get uploadId(): string {
    return this.#facts.uploadId
  }

  /** A later run will find it. */
  get isKept(): boolean {
    return this.#record !== undefined
  }

  /** The server has been told to join the parts. */
  get isJoining(): boolean {
    return this.#facts.joining
  }

  get refusals(): number {
    return this.#facts.refusals
  }

  get orphans(): readonly string[] {
    return this.#facts.orphans
  }

  get count(): number {
    return this.#parts.size
  }

  has(part: Part): boolean {
    return this.#parts.get(part.number)?.size === part.size
  }

  inOrder(): SentPart[] {
    return [...this.#parts.values()].sort((a, b) => a.number - b.number)
  }

  /**
   * Before the server is asked for a new upload. From now on a file that appears at the target without content is known
   * to be ours, even if the answer with its id never arrives.
   */
  async starting(orphans: readonly string[]): Promise<void> {
    this.#parts.clear()
    await this.#save({ uploadId: '', joining: false, refusals: 0, orphans, began: Date.now() })
  }

  async started(uploadId: string): Promise<void> {
    await this.#save({ uploadId })
  }

  async sent(part: SentPart): Promise<void> {
    this.#parts.set(part.number, part)
    await this.#save({ refusals: 0 })
  }

  async joining(): Promise<void> {
    await this.#save({ joining: true })
  }

  async refused(): Promise<void> {
    await this.#save({ refusals: this.refusals + 1 })
  }

  /** The upload is given up, but the server could not be told: the next run, or a sweep, does that. */
  async abandoned(): Promise<void> {
    const orphans = this.uploadId === '' ? this.orphans : [...this.orphans, this.uploadId]
    this.#parts.clear()
    await this.#save({ uploadId: '', joining: false, orphans, began: 0 })
  }

  async forget(): Promise<void> {
    await this.#record?.remove()
  }

  async #save(change: Partial<UploadFacts>): Promise<void> {
    this.#facts = { ...this.#facts, ...change, parts: this.inOrder() }
    try {
      await this.#record?.save(this.#facts)
    } catch (error) {
      if (this.#record === undefined) return
      this.#record = undefined
      this.#onTrouble(error)
    }
  }
}
