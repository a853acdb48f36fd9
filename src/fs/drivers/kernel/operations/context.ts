/** What the operations share: the engine, and a record of what the kernel holds of it. */
import type { Logger } from '../../../../log.js'
import type { Entry, FileSystem, Ino } from '../../driver.js'
import type { Agreement } from '../features.js'

export interface OpenFile {
  readonly ino: Ino
  /** open(2) flags that the engine was given. */
  readonly flags: number
  /** Bytes written since the last flush: how long saving may take. */
  unsaved: number
  /** A second handle without O_APPEND, for pages (files.ts). */
  pages?: Promise<number>
}

export interface ContextDeps extends Pick<Context, 'fs' | 'agreement' | 'errnoOf' | 'attributesChanged'> {
  readonly log: Logger
}

export class Context {
  readonly fs: FileSystem
  readonly agreement: Agreement
  /** Positive errno of anything that the engine throws. */
  readonly errnoOf: (error: unknown) => number
  /** The kernel's attributes of this inode are wrong from now on. Before the reply goes out, not after it. */
  readonly attributesChanged: (ino: Ino) => void
  readonly files = new Map<number, OpenFile>()
  readonly folders = new Map<number, Ino>()
  readonly #lookups = new Map<Ino, number>()
  readonly #log: Logger

  constructor({ fs, agreement, errnoOf, attributesChanged, log }: ContextDeps) {
    this.fs = fs
    this.agreement = agreement
    this.errnoOf = errnoOf
    this.attributesChanged = attributesChanged
    this.#log = log
  }

  get held(): { readonly lookups: number; readonly handles: number } {
    let lookups = 0
    for (const count of this.#lookups.values()) lookups += count
    return { lookups, handles: this.files.size + this.folders.size }
  }

  /** The engine has counted a lookup for an entry that goes to the kernel. */
  given({ attr: { ino } }: Entry): void {
    this.#lookups.set(ino, (this.#lookups.get(ino) ?? 0) + 1)
  }

  /** The kernel does not hold `count` lookups any more. More than it was given is a mistake of its, and stays without effect. */
  forget(ino: Ino, count: number): void {
    const held = this.#lookups.get(ino) ?? 0
    const dropped = Math.min(count, held)
    if (dropped === 0) return
    if (held === dropped) this.#lookups.delete(ino)
    else this.#lookups.set(ino, held - dropped)
    this.fs.forget(ino, dropped)
  }

  async release(fh: number): Promise<void> {
    const file = this.files.get(fh)
    if (file === undefined) return
    this.files.delete(fh)
    const pages = await file.pages?.catch(() => undefined)
    if (pages !== undefined) await this.fs.release(file.ino, pages)
    await this.fs.release(file.ino, fh)
  }

  releaseFolder(fh: number): void {
    const ino = this.folders.get(fh)
    if (ino === undefined) return
    this.folders.delete(fh)
    this.fs.releasedir(ino, fh)
  }

  /** After the last request: gives everything back to the engine. */
  async close(): Promise<void> {
    const failed = (error: unknown): void => this.#log.error('could not close what was open at the end of the mount', { error })
    await Promise.all([...this.files.keys()].map((fh) => this.release(fh).catch(failed)))
    for (const fh of this.folders.keys()) this.releaseFolder(fh)
    for (const [ino, count] of [...this.#lookups]) this.forget(ino, count)
  }
}
