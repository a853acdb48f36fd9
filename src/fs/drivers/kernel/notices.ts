/**
 * What the kernel is told unasked, one after the other, from a queue of its own.
 *
 * The kernel takes locks to carry a notice out: a folder's for a name in it, a page's for content. Whoever holds such a lock
 * may be waiting for a reply of ours. So a notice is written by another thread, never by the one that replies;
 * and it is held back while a request works on the same inode, because one that waits holds up
 * all behind it. Held back for `PATIENCE_MS` at most: a busy folder must not keep its old names. Only a notice about pages waits for
 * as long as one is being read: nothing but the reply unlocks it, and a thread that waits for a lock which only this process can
 * open outlives even its SIGKILL, and with it the mount. The attributes are told of meanwhile.
 *
 * Notices for the same thing coalesce while they wait. Whatever the kernel answers is no error: what it does not know (ENOENT) needs no notice.
 */
import type { Ino, KernelNotices } from '../driver.js'
import type { Agreement } from './features.js'
import * as layouts from './layouts.js'
import { EXPIRE_ONLY, NOTICES, OUT_HEADER_BYTES } from './protocol.js'
import type { Parts } from './replies.js'
import type { Struct } from './struct.js'

const PATIENCE_MS = 1_000
/** More than this at a time, and all names are declared stale instead, where the kernel can do that. */
const MANY = 10_000

/** How many held-back notices are passed over in one go. */
const LOOK = 100

interface Notice {
  /** Inode whose lock the kernel needs. */
  readonly node: Ino
  readonly since: number
  readonly message: Parts
}

function notice<T extends object>(code: number, layout: Struct<T>, value: T, name?: string): Parts {
  const tail = name === undefined ? 0 : Buffer.byteLength(name) + 1
  const bytes = Buffer.alloc(OUT_HEADER_BYTES + layout.size + tail)
  layouts.OutHeader.encode(bytes, 0, { length: bytes.length, error: code, unique: 0n })
  layout.encode(bytes, OUT_HEADER_BYTES, value)
  if (name !== undefined) bytes.write(name, OUT_HEADER_BYTES + layout.size)
  return [bytes]
}

/** Attributes only: the one notice that waits for no lock. */
export function attributesNotice(ino: Ino): Parts {
  return notice(NOTICES.invalInode, layouts.InvalInodeOut, { ino, offset: -1, length: 0 })
}

export interface NoticeDeps {
  readonly send: (message: Parts) => Promise<number>
  /** Does a request work on this inode? */
  readonly busy: (ino: Ino) => boolean
  /** Is content of this inode being read? */
  readonly reading: (ino: Ino) => boolean
  readonly agreement: Agreement
}

export class NoticeQueue implements Required<KernelNotices> {
  readonly #deps: NoticeDeps
  /** Expired, not dropped, where the kernel can: a dropped folder is lost to the programs that work inside it. */
  readonly #entryFlags: number
  readonly #waiting = new Map<string, Notice>()
  #sending: Promise<unknown> | undefined
  #sendingKey = ''
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(deps: NoticeDeps) {
    this.#deps = deps
    this.#entryFlags = deps.agreement.features.has('expireOnly') ? EXPIRE_ONLY : 0
  }

  get size(): number {
    return this.#waiting.size + (this.#sending === undefined ? 0 : 1)
  }

  invalidateInode(ino: Ino): void {
    this.#waiting.delete(`a${ino}`)
    if (this.#deps.reading(ino)) this.#add(`a${ino}`, ino, () => attributesNotice(ino))
    this.#add(`i${ino}`, ino, () => notice(NOTICES.invalInode, layouts.InvalInodeOut, { ino, offset: 0, length: 0 }))
  }

  invalidateAttributes(ino: Ino): void {
    if (this.#waiting.has(`i${ino}`)) return
    this.#add(`a${ino}`, ino, () => attributesNotice(ino))
  }

  invalidateEntry(parent: Ino, name: string): void {
    this.#add(`n${parent}/${name}`, parent, () => notice(NOTICES.invalEntry, layouts.InvalEntryOut, { parent, namelen: Buffer.byteLength(name), flags: this.#entryFlags }, name))
  }

  removed(parent: Ino, ino: Ino, name: string): void {
    this.#add(`n${parent}/${name}`, parent, () => notice(NOTICES.delete, layouts.DeleteOut, { parent, child: ino, namelen: Buffer.byteLength(name) }, name))
  }

  invalidateAll(): void {
    if (this.#deps.agreement.incEpoch) {
      for (const key of this.#waiting.keys()) if (key.startsWith('n')) this.#waiting.delete(key)
      this.#add('*', 0, () => {
        const bytes = Buffer.alloc(OUT_HEADER_BYTES)
        layouts.OutHeader.encode(bytes, 0, { length: bytes.length, error: NOTICES.incEpoch, unique: 0n })
        return [bytes]
      })
    }
  }

  stillHolds(ino: Ino): boolean {
    return this.#waiting.has(`i${ino}`) || this.#sendingKey === `i${ino}`
  }

  /** A request has been answered: something may be sent that was held back. */
  wake(): void {
    if (this.#waiting.size > 0 && this.#sending === undefined) this.#next()
  }

  /** No more notices. Resolves when none is being written. */
  async close(): Promise<void> {
    this.#closed = true
    this.#waiting.clear()
    clearTimeout(this.#timer)
    await this.#sending
  }

  #add(key: string, node: Ino, make: () => Parts): void {
    if (this.#closed) return
    const since = this.#waiting.get(key)?.since ?? performance.now()
    this.#waiting.set(key, { node, since, message: make() })
    if (this.#waiting.size > MANY && this.#deps.agreement.incEpoch && key.startsWith('n')) this.invalidateAll()
    if (this.#sending === undefined) this.#next()
  }

  #next(): void {
    if (this.#closed) return
    clearTimeout(this.#timer)
    const late = performance.now() - PATIENCE_MS
    let looked = 0
    for (const [key, { node, since, message }] of this.#waiting) {
      const pages = key === `i${node}` && this.#deps.reading(node)
      if (pages || (since > late && this.#deps.busy(node))) {
        if (++looked === LOOK) break
        continue
      }
      this.#waiting.delete(key)
      this.#sendingKey = key
      this.#sending = this.#deps.send(message).finally(() => {
        this.#sending = undefined
        this.#sendingKey = ''
        if (this.#waiting.size > 0) this.#next()
      })
      return
    }
    // All are held back. `wake` comes sooner, as a rule.
    if (this.#waiting.size > 0) this.#timer = setTimeout(() => this.#next(), PATIENCE_MS / 4)
  }
}
