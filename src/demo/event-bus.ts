/**
 * Changes of the tree as they leave the server. CREATE, UPDATE_CONTENT and UPDATE_META wait a moment and are merged by
 * node; UPDATE_PATH and DELETE go at once, UPDATE_PATH three times and DELETE twice, as recorded (contract, section 7).
 * A listener gets snapshots, because by the time it writes the message the node may be gone. On a structured source nothing
 * is told of nodes whose own name begins with a dot (observed on a real server; what is below such a folder is told of).
 */
import type { Place, Tree, NodeRecord } from './tree.js'

/** UPDATE_USER_META is known from 4.x on. */
export type ChangeType = 'CREATE' | 'UPDATE_CONTENT' | 'UPDATE_META' | 'UPDATE_USER_META'

export interface Snapshot {
  readonly node: NodeRecord
  readonly totalSize: number
  readonly place: Place
}

export type BusEvent =
  | { readonly kind: 'node'; readonly type: ChangeType; readonly target: Snapshot }
  | { readonly kind: 'node'; readonly type: 'UPDATE_PATH'; readonly source: Snapshot; readonly target: Snapshot }
  | { readonly kind: 'node'; readonly type: 'DELETE'; readonly source: Snapshot }
  /** A message that only this user gets, ready to be sent (tasks). */
  | { readonly kind: 'user'; readonly login: string; readonly message: object }
  /** A message for everybody (rights). */
  | { readonly kind: 'all'; readonly message: object }

export type BusListener = (event: BusEvent) => void

const RANK: Readonly<Record<ChangeType, number>> = { CREATE: 2, UPDATE_CONTENT: 1, UPDATE_META: 0, UPDATE_USER_META: 0 }

/** Newer servers send at most this many "silent" events a second (those below a deleted folder) and drop the rest. */
const SILENT_PER_SECOND = 20

export class EventBus {
  readonly #tree: Tree
  readonly #delayMs: number
  readonly #flat: boolean
  readonly #listeners = new Set<BusListener>()
  readonly #batch = new Map<string, { type: ChangeType; timer: NodeJS.Timeout }>()
  readonly #repeats = new Set<NodeJS.Timeout>()

  #silentSecond = 0
  #silentSent = 0

  /** `flat`: drops "silent" events beyond a rate, as 4.x and 5.x do (newer-servers 3.7). */
  constructor(tree: Tree, delayMs: number, flat: boolean) {
    this.#tree = tree
    this.#delayMs = delayMs
    this.#flat = flat
  }

  /** Returns the function that ends the subscription. */
  subscribe(listener: BusListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  close(): void {
    for (const { timer } of this.#batch.values()) clearTimeout(timer)
    for (const timer of this.#repeats) clearTimeout(timer)
    this.#batch.clear()
    this.#repeats.clear()
    this.#listeners.clear()
  }

  snapshot(node: NodeRecord): Snapshot {
    return { node, totalSize: this.#tree.totalSize(node), place: this.#tree.place(node) }
  }

  changed(type: ChangeType, node: NodeRecord): void {
    const waiting = this.#batch.get(node.uuid)
    if (waiting) {
      if (RANK[type] > RANK[waiting.type]) waiting.type = type
      return
    }
    const entry = { type, timer: setTimeout(() => {
      this.#batch.delete(node.uuid)
      const now = this.#tree.get(node.uuid)
      if (now && !now.hidden) this.emit({ kind: 'node', type: entry.type, target: this.snapshot(now) })
    }, this.#delayMs) }
    this.#batch.set(node.uuid, entry)
  }

  /** `source` is the snapshot from before the move. Only the moved node is announced, not what is below it. */
  moved(source: Snapshot, target: NodeRecord): void {
    const event: BusEvent = { kind: 'node', type: 'UPDATE_PATH', source, target: this.snapshot(target) }
    this.emit(event)
    for (const ms of [14, 18]) this.#repeat(ms, event)
    this.changed('UPDATE_META', target)
  }

  /** Call before the nodes leave the tree, the topmost first. */
  deleted(nodes: readonly NodeRecord[]): void {
    for (const [i, node] of nodes.entries()) {
      if (i > 0 && this.#flat && !this.#silentAllowed()) return
      const event: BusEvent = { kind: 'node', type: 'DELETE', source: this.snapshot(node) }
      this.emit(event)
      this.#repeat(1, event)
    }
  }

  #silentAllowed(): boolean {
    const second = Math.floor(Date.now() / 1000)
    if (second !== this.#silentSecond) this.#silentSent = 0
    this.#silentSecond = second
    return this.#silentSent++ < SILENT_PER_SECOND
  }

  emit(event: BusEvent): void {
    if (event.kind === 'node' && !this.#flat && ends(event).every(({ node }) => node.name.startsWith('.'))) return
    for (const listener of this.#listeners) listener(event)
  }

  #repeat(ms: number, event: BusEvent): void {
    const timer = setTimeout(() => {
      this.#repeats.delete(timer)
      this.emit(event)
    }, ms)
    this.#repeats.add(timer)
  }
}

function ends(event: Extract<BusEvent, { kind: 'node' }>): Snapshot[] {
  if (event.type === 'UPDATE_PATH') return [event.source, event.target]
  return [event.type === 'DELETE' ? event.source : event.target]
}
