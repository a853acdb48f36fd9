/**
 * The tree index: what Cells keeps in its database. Nodes know their parent, so a folder's move is one change.
 * A node holds two views of a file: the *index's* (size, etag, mtime: what stat says and what the S3 gateway puts into
 * its headers) and the *storage's* (`blob`: the bytes that are really there). They differ for about a second after a
 * write on a structured data source; indexer.ts decides when one catches up with the other.
 *
 * Only data structure and persistence here: no rights, no timing, no wire.
 */
import { randomUUID } from 'node:crypto'
import type { Blob } from './blobs.js'
import { isPattern, liker } from './like.js'
import { Slots } from './slots.js'
import type { Store, Table } from './store.js'

export interface NodeRecord {
  readonly uuid: string
  /** '' for a data source. */
  readonly parent: string
  readonly name: string
  readonly folder: boolean
  readonly size: number
  readonly mtime: number
  readonly etag: string
  /** Mode 511 is shown once a file is indexed. */
  readonly indexed: boolean
  /** Made by mkdir, not in the index yet: stat says 404 (trap 12). */
  readonly hidden?: boolean
  /** Deleted from the storage, the index does not know yet (traps 1 and 6). */
  readonly deleting?: boolean
  /** The index will never catch up (trap 6). */
  readonly stale?: boolean
  /** A folder that came into being without a `.pydio` marker (target of a move, child of a ghost): adds no bytes. */
  readonly unmarked?: boolean
  /** A folder that the storage has no marker of: made in the index only, by a job or by the beginning of an upload in parts. A job takes along what is in it, and leaves it. */
  readonly bare?: boolean
  readonly blob?: Blob
  /** Where it was before it went to the recycle bin: uuid of the folder. */
  readonly origin?: string
}

/** A path's beginning (the data source's root uuid) and names, for events after the node has gone. */
export interface Place {
  /** Uuids from the data source down to the node itself. */
  readonly chain: readonly string[]
  /** Names below the data source; `names[i]` belongs to `chain[i + 1]`. */
  readonly names: readonly string[]
}

export const FOLDER_MARKER = 36

export function compareNames(a: string, b: string): number {
  // Byte order of UTF-8 = code point order; JavaScript's < compares UTF-16 units, which differs above U+FFFF.
  if (a === b) return 0
  const [x, y] = [[...a], [...b]]
  for (let i = 0; i < x.length && i < y.length; i++) {
    if (x[i] !== y[i]) return (x[i]?.codePointAt(0) ?? 0) - (y[i]?.codePointAt(0) ?? 0)
  }
  return x.length - y.length
}

const SURROGATE = /[\ud800-\udfff]/
const fastCompare = (a: string, b: string): number => (SURROGATE.test(a) || SURROGATE.test(b) ? compareNames(a, b) : a < b ? -1 : a > b ? 1 : 0)

export class Tree {
  readonly #rows: Table<NodeRecord>
  readonly #children = new Map<string, Map<string, string>>()
  readonly #sorted = new Map<string, readonly string[]>()
  /** Sum of the file sizes (and folder markers) below a folder, itself included. */
  readonly #sums = new Map<string, number>()
  readonly #marker: number
  readonly #slots = new Slots()
  readonly #patterns: boolean

  /** `marker`: bytes that the hidden `.pydio` file adds to each folder (36 on a structured source, else 0). `patterns`: names are looked for by SQL LIKE. */
  constructor(store: Store, marker: number, patterns = false) {
    this.#marker = marker
    this.#patterns = patterns
    this.#rows = store.table<NodeRecord>('nodes')
    for (const node of this.#rows.values()) this.#link(node)
    for (const node of this.#rows.values()) this.#addSum(node.uuid, this.#own(node))
  }

  get(uuid: string): NodeRecord | undefined {
    return this.#rows.get(uuid)
  }

  all(): IterableIterator<NodeRecord> {
    return this.#rows.values()
  }

  get size(): number {
    return this.#rows.size
  }

  child(parent: string, name: string): NodeRecord | undefined {
    const uuid = this.#children.get(parent)?.get(name)
    return uuid === undefined ? undefined : this.#rows.get(uuid)
  }

  /**
   * What the index finds when it looks for a name: itself, or by SQL LIKE the first of what it matches, by place. (A real database
   * reads its index of names instead where few names begin like the one that is looked for: then the first by name.)
   */
  found(parent: string, name: string): NodeRecord | undefined {
    if (!this.#patterns || !isPattern(name)) return this.child(parent, name)
    const matches = liker(name)
    let best: NodeRecord | undefined
    for (const [each, uuid] of this.#children.get(parent) ?? []) {
      const node = matches(each) ? this.#rows.get(uuid) : undefined
      if (node && !node.hidden && (!best || this.#slots.before(node.uuid, best.uuid))) best = node
    }
    return best ?? this.child(parent, name)
  }

  /** Names of the children in byte order, hidden ones included. */
  names(parent: string): readonly string[] {
    let names = this.#sorted.get(parent)
    if (!names) {
      names = [...(this.#children.get(parent)?.keys() ?? [])].sort(fastCompare)
      this.#sorted.set(parent, names)
    }
    return names
  }

  children(parent: string): NodeRecord[] {
    return this.names(parent).map(name => this.child(parent, name)).filter(node => node !== undefined)
  }

  insert(fields: Partial<NodeRecord> & Pick<NodeRecord, 'parent' | 'name' | 'folder'>): NodeRecord {
    const node: NodeRecord = { uuid: randomUUID(), size: 0, mtime: nowSeconds(), etag: '', indexed: false, ...fields }
    if (node.parent !== '' && this.child(node.parent, node.name)) throw new Error(`index: ${node.name} is taken`)
    this.#rows.set(node.uuid, node)
    this.#link(node)
    this.#addSum(node.uuid, this.#own(node))
    return node
  }

  /** Changes fields other than place. A key set to undefined is removed. */
  update(uuid: string, change: Partial<Omit<NodeRecord, 'uuid' | 'parent' | 'name'>>): NodeRecord {
    const before = this.#must(uuid)
    const after: NodeRecord = { ...before, ...change }
    this.#rows.set(uuid, after)
    this.#addSum(uuid, this.#own(after) - this.#own(before))
    return after
  }

  move(uuid: string, parent: string, name: string, change: Partial<NodeRecord> = {}): NodeRecord {
    const before = this.#must(uuid)
    const taken = this.child(parent, name)
    if (taken && taken.uuid !== uuid) throw new Error(`index: ${name} is taken`)
    const sum = this.#sums.get(uuid) ?? 0
    this.#addSum(before.parent, -sum)
    this.#unlink(before)
    const after: NodeRecord = { ...before, ...change, parent, name }
    this.#rows.set(uuid, after)
    this.#link(after)
    this.#addSum(parent, sum)
    return after
  }

  /** Removes a node and everything below; returns what was removed, the node itself first. */
  remove(uuid: string): NodeRecord[] {
    const node = this.#rows.get(uuid)
    if (!node) return []
    const removed = [...this.walk(uuid)]
    this.#addSum(node.parent, -(this.#sums.get(uuid) ?? 0))
    this.#unlink(node)
    for (const each of removed) {
      this.#rows.delete(each.uuid)
      this.#children.delete(each.uuid)
      this.#sorted.delete(each.uuid)
      this.#sums.delete(each.uuid)
      this.#slots.forget(each.uuid)
    }
    return removed
  }

  /** The node and all below, parents before children. */
  *walk(uuid: string): Generator<NodeRecord> {
    const node = this.#rows.get(uuid)
    if (!node) return
    yield node
    for (const child of this.#children.get(uuid)?.values() ?? []) yield* this.walk(child)
  }

  /** A folder's recursive sum as Cells shows it; a file's index size. */
  totalSize(node: NodeRecord): number {
    return node.folder ? (this.#sums.get(node.uuid) ?? 0) : node.size
  }

  place(node: NodeRecord): Place {
    const chain: string[] = []
    const names: string[] = []
    for (let at: NodeRecord | undefined = node; at; at = at.parent === '' ? undefined : this.#rows.get(at.parent)) {
      chain.unshift(at.uuid)
      if (at.parent !== '') names.unshift(at.name)
    }
    return { chain, names }
  }

  isWithin(uuid: string, ancestor: string): boolean {
    for (let at = this.#rows.get(uuid); at; at = this.#rows.get(at.parent)) if (at.uuid === ancestor) return true
    return false
  }

  #own(node: NodeRecord): number {
    if (node.hidden) return 0
    return node.folder ? (node.parent === '' || node.unmarked ? 0 : this.#marker) : Math.max(node.size, 0)
  }

  #addSum(uuid: string, delta: number): void {
    if (delta === 0) return
    for (let at = this.#rows.get(uuid); at; at = this.#rows.get(at.parent)) this.#sums.set(at.uuid, (this.#sums.get(at.uuid) ?? 0) + delta)
  }

  #link(node: NodeRecord): void {
    if (node.parent === '') return
    let siblings = this.#children.get(node.parent)
    if (!siblings) this.#children.set(node.parent, (siblings = new Map<string, string>()))
    siblings.set(node.name, node.uuid)
    this.#slots.give(node.parent, node.uuid)
    this.#sorted.delete(node.parent)
  }

  #unlink(node: NodeRecord): void {
    this.#slots.take(node.parent, node.uuid)
    this.#children.get(node.parent)?.delete(node.name)
    this.#sorted.delete(node.parent)
  }

  #must(uuid: string): NodeRecord {
    const node = this.#rows.get(uuid)
    if (!node) throw new Error(`index: no node ${uuid}`)
    return node
  }
}

export const nowSeconds = (): number => Math.floor(Date.now() / 1000)
