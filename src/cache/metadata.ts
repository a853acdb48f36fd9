/**
 * What the server last said about names: listings and single answers by folder, an LRU bounded by the number
 * of names. While the event stream is connected an answer is believed until an event names it; otherwise, and
 * after every gap in the stream, for a short time only (design, section 4, Freshness).
 *
 * This is the server's word only. What was changed here and is not confirmed yet lies over it, in the engine.
 *
 * Whoever handed answers on, to a kernel say, hears through `onChange` when the server's word about a name is
 * another one now. A name in doubt is told of when the doubt comes up, and not again when it is settled.
 */
import { LRUCache } from 'lru-cache'
import type { CellsNode } from '../cells/types.js'

/** Without a stream an answer is asked again after this time. */
const POLL_TTL_MS = 2_000
/** With a stream, too: an event can be lost on the way (the server drops some beyond a rate). */
const PUSH_TTL_MS = 120_000
/**
 * ... and an absence that was asked for by name, soon: a server that is busy indexing can say it of what it has announced before, and does not announce
 * it again. (That a listing is without a name is believed as the listing is: programs look for very many names that are not there.)
 */
export const ABSENT_TTL_MS = 20_000

/** `at` of what was read from the disk: known, and never believed without asking the server if it can be asked. */
export const RECALLED = -1

interface Answer {
  /** undefined: proven absent. */
  readonly node: CellsNode | undefined
  readonly at: number
}

/** The names of one folder, as far as known. Times are of the cache's monotonic clock, milliseconds. */
export class Listing {
  readonly answers = new Map<string, Answer>()
  /** When the last complete listing was begun; 0: none; RECALLED: by an earlier process. */
  completeAt = 0
  /** Names that an event or a change of ours has put in doubt, with the time of it. */
  readonly doubted = new Map<string, number>()
}

export class MetadataCache {
  private readonly listings: LRUCache<number, Listing>
  private connectedAt: number | undefined
  /** The name leads to another node than it was said to, to none, or to one for the first time. Not called for changes of our own. */
  onChange: (folder: number, name: string) => void = () => {}
  readonly now: () => number
  /** What an earlier process knew of a folder, and where what is learned is kept for a later one. */
  shelf: { recall(folder: number): { readonly complete: boolean; readonly nodes: ReadonlyMap<string, CellsNode> } | undefined; changed(folder: number): void } | undefined

  /** @param maxNames bound on names kept, over all folders */
  constructor(maxNames: number, onEvict: (folder: number) => void, now: () => number = () => performance.now()) {
    this.now = now
    this.listings = new LRUCache<number, Listing>({
      maxSize: maxNames,
      sizeCalculation: (listing) => 1 + listing.answers.size,
      dispose: (_listing, folder, reason) => { if (reason === 'evict') onEvict(folder) },
    })
  }

  get names(): number {
    return this.listings.calculatedSize
  }

  listing(folder: number): Listing | undefined {
    return this.listings.get(folder) ?? this.recall(folder)
  }

  /** As `listing`, from memory only. */
  peek(folder: number): Listing | undefined {
    return this.listings.peek(folder)
  }

  private recall(folder: number): Listing | undefined {
    const known = this.shelf?.recall(folder)
    if (known === undefined) return undefined
    const listing = new Listing()
    if (known.complete) listing.completeAt = RECALLED
    for (const [name, node] of known.nodes) listing.answers.set(name, { node, at: RECALLED })
    this.listings.set(folder, listing)
    return listing
  }

  has(folder: number): boolean {
    return this.listings.has(folder)
  }

  /** The stream is there; answers asked from now on are kept fresh by it. */
  streamConnected(): void {
    this.connectedAt = this.now()
  }

  streamLost(): void {
    this.connectedAt = undefined
  }

  get pushed(): boolean {
    return this.connectedAt !== undefined
  }

  /** Will the stream tell when the answer about this name stops being right? */
  covered(folder: number, name: string): boolean {
    const listing = this.listing(folder)
    if (listing === undefined || this.connectedAt === undefined || listing.doubted.has(name) || isUntold(name)) return false
    const at = Math.max(listing.answers.get(name)?.at ?? 0, listing.completeAt)
    return at >= this.connectedAt && this.fresh(at)
  }

  /** As `covered`, for all names of a folder. */
  coveredWhole(folder: number): boolean {
    return this.connectedAt !== undefined && (this.complete(folder)?.completeAt ?? 0) >= this.connectedAt
  }

  /** Rights may have changed: nothing asked before is believed without asking again. */
  doubtAll(): void {
    if (this.connectedAt !== undefined) this.connectedAt = this.now()
  }

  private fresh(at: number, name = ''): boolean {
    if (at <= 0) return false
    const age = this.now() - at
    return this.connectedAt !== undefined && at >= this.connectedAt && !isUntold(name) ? age < PUSH_TTL_MS : age < POLL_TTL_MS
  }

  /** 'unknown' when the server has to be asked. */
  lookup(folder: number, name: string): CellsNode | undefined | 'unknown' {
    const listing = this.listing(folder)
    if (listing === undefined || listing.doubted.has(name)) return 'unknown'
    const answer = listing.answers.get(name)
    const at = Math.max(answer?.at ?? RECALLED, listing.completeAt)
    if (!this.fresh(at, name)) return 'unknown'
    if (answer !== undefined && answer.node === undefined && listing.completeAt < answer.at && this.now() - answer.at >= ABSENT_TTL_MS) return 'unknown'
    if (answer !== undefined) return answer.node
    return listing.completeAt > 0 ? undefined : 'unknown'
  }

  /** The last known answer, however old: for when the server cannot be asked. */
  stale(folder: number, name: string): CellsNode | undefined | 'unknown' {
    const listing = this.listing(folder)
    const answer = listing?.answers.get(name)
    if (answer !== undefined) return answer.node
    return listing !== undefined && listing.completeAt !== 0 ? undefined : 'unknown'
  }

  /** All names with nothing in doubt, or undefined when the folder has to be listed. */
  complete(folder: number): Listing | undefined {
    const listing = this.listing(folder)
    return listing !== undefined && listing.doubted.size === 0 && this.fresh(listing.completeAt) ? listing : undefined
  }

  /** One answer. `at` is when the question was asked. */
  set(folder: number, name: string, node: CellsNode | undefined, at: number): void {
    const listing = this.listing(folder)
    if (this.overtaken(listing, name, at)) return
    const changed = listing !== undefined && !listing.doubted.has(name) && differs(listing, name, node)
    this.ours(folder, name, node, at)
    if (changed) this.onChange(folder, name)
  }

  /** Is the answer to a question of that time older than what is known, of the name or of the folder without it? */
  private overtaken(listing: Listing | undefined, name: string, at: number): boolean {
    return listing !== undefined && Math.max(listing.answers.get(name)?.at ?? 0, listing.completeAt) > at
  }

  /** As `ours`, of what the server was seen to have at that time. */
  shown(folder: number, name: string, node: CellsNode, at: number): void {
    if (!this.overtaken(this.listing(folder), name, at)) this.ours(folder, name, node, at)
  }

  /** As `set` for a change of our own, which nobody needs to be told of. */
  ours(folder: number, name: string, node: CellsNode | undefined, at: number): void {
    const listing = this.listing(folder) ?? new Listing()
    const doubted = listing.doubted.get(name)
    if (doubted !== undefined && doubted <= at) listing.doubted.delete(name)
    listing.answers.set(name, { node: node && lean(node), at })
    this.listings.set(folder, listing)
    this.shelf?.changed(folder)
  }

  /** A complete listing, asked at `at`. What was put in doubt later stays in doubt, with the newer answer. */
  setAll(folder: number, nodes: ReadonlyMap<string, CellsNode>, at: number): void {
    const before = this.listing(folder)
    const listing = new Listing()
    listing.completeAt = at
    for (const [name, node] of nodes) listing.answers.set(name, { node: lean(node), at })
    if (before !== undefined) {
      for (const [name, when] of before.doubted) if (when > at) listing.doubted.set(name, when)
      for (const [name, answer] of before.answers) if (answer.at > at) listing.answers.set(name, answer)
    }
    this.listings.set(folder, listing)
    this.shelf?.changed(folder)
    if (before === undefined) return
    for (const name of new Set([...before.answers.keys(), ...listing.answers.keys()])) {
      if (!before.doubted.has(name) && differs(before, name, listing.answers.get(name)?.node)) this.onChange(folder, name)
    }
  }

  /** A name's answer is no longer to be believed, nor one that is on its way. */
  doubt(folder: number, name: string): void {
    const listing = this.listing(folder) ?? new Listing()
    listing.doubted.set(name, this.now())
    this.listings.set(folder, listing)
  }

  doubtFolder(folder: number): void {
    const listing = this.listing(folder)
    if (listing === undefined) return
    listing.completeAt = 0
    for (const [name, answer] of listing.answers) listing.answers.set(name, { node: answer.node, at: 0 })
  }

  forget(folder: number): void {
    this.listings.delete(folder)
  }
}

const NO_META: CellsNode['meta'] = Object.freeze({})

/** Nobody asks here what else the server keeps of a node, which takes more room than all the rest. */
function lean({ uuid, path, kind, size, mtime, etag, hash, readOnly }: CellsNode): CellsNode {
  return { uuid, path, kind, size, mtime, etag, hash, readOnly, meta: NO_META }
}

/** A 2.x server sends no events about nodes whose own name begins with a dot (seen on a real one): nobody tells us when an answer ends. */
function isUntold(name: string): boolean {
  return name.startsWith('.')
}

/** Is `node` something else than what was known of the name? Where nothing was known, nothing was said. */
function differs(known: Listing, name: string, node: CellsNode | undefined): boolean {
  const answer = known.answers.get(name)
  if (answer === undefined) return known.completeAt !== 0 && node !== undefined
  return answer.node?.uuid !== node?.uuid || answer.node?.kind !== node?.kind
}
