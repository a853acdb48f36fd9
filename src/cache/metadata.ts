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
import { Known, type KnownNode, ownCopy } from './known.js'

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
  readonly node: KnownNode | undefined
  readonly at: number
}

const NONE_DOUBTED: ReadonlyMap<string, number> = new Map()

/**
 * The names of one folder, as far as known. Times are of the cache's monotonic clock, milliseconds. There are as many folders and names here as a person
 * has: what most of them do not need is not made.
 */
export class Listing {
  /** When the last complete listing was begun; 0: none; RECALLED: by an earlier process. */
  completeAt = 0
  /** When was asked for names that have no time of their own. */
  private askedAt: number
  /** Times of names that were asked for alone. */
  private alone: Map<string, number> | undefined
  private readonly known = new Map<string, KnownNode | undefined>()
  private inDoubt: Map<string, number> | undefined

  constructor(askedAt = 0) {
    this.askedAt = askedAt
  }

  /** By name; undefined: proven absent. */
  get nodes(): ReadonlyMap<string, KnownNode | undefined> {
    return this.known
  }

  /** Names that an event or a change of ours has put in doubt, with the time of it. */
  get doubted(): ReadonlyMap<string, number> {
    return this.inDoubt ?? NONE_DOUBTED
  }

  answer(name: string): Answer | undefined {
    const node = this.known.get(name)
    return node === undefined && !this.known.has(name) ? undefined : { node, at: this.askedFor(name) }
  }

  /** When was the name asked for that there is an answer about? */
  askedFor(name: string): number {
    return this.alone?.get(name) ?? this.askedAt
  }

  /** Takes an answer in; `at` if it is not the listing's own. */
  put(name: string, node: KnownNode | undefined, at?: number): void {
    const own = this.known.has(name) ? name : ownCopy(name)
    this.known.set(own, node && Known.of(node))
    if (at === undefined) this.alone?.delete(name)
    else (this.alone ??= new Map()).set(own, at)
  }

  /** Names that were asked for later than `at`. */
  * after(at: number): Generator<[string, Answer]> {
    if (this.askedAt > at) for (const name of this.known.keys()) yield [name, this.answer(name)!]
    else for (const [name, own] of this.alone ?? []) if (own > at) yield [name, this.answer(name)!]
  }

  doubt(name: string, at: number): void {
    (this.inDoubt ??= new Map()).set(name, at)
  }

  settle(name: string): void {
    this.inDoubt?.delete(name)
  }

  /** Nothing of it is believed any more. */
  doubtAll(): void {
    this.completeAt = this.askedAt = 0
    this.alone = undefined
  }
}

export class MetadataCache {
  private readonly listings: LRUCache<number, Listing>
  private connectedAt: number | undefined
  /** The name leads to another node than it was said to, to none, or to one for the first time. Not called for changes of our own. */
  onChange: (folder: number, name: string) => void = () => {}
  readonly now: () => number
  /** What an earlier process knew of a folder, and where what is learned is kept for a later one. */
  shelf: { recall(folder: number): { readonly complete: boolean; readonly nodes: ReadonlyMap<string, KnownNode> } | undefined; changed(folder: number): void } | undefined

  /** @param maxNames bound on names kept, over all folders */
  constructor(maxNames: number, onEvict: (folder: number) => void, now: () => number = () => performance.now()) {
    this.now = now
    this.listings = new LRUCache<number, Listing>({
      maxSize: maxNames,
      sizeCalculation: (listing) => 1 + listing.nodes.size,
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
    const listing = new Listing(RECALLED)
    if (known.complete) listing.completeAt = RECALLED
    for (const [name, node] of known.nodes) listing.put(name, node)
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
    const at = Math.max(listing.answer(name)?.at ?? 0, listing.completeAt)
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

  /** Is the last listing of all of a folder young enough, but for names in doubt? */
  current(folder: number): boolean {
    return this.fresh(this.listing(folder)?.completeAt ?? 0)
  }

  private fresh(at: number, name = ''): boolean {
    if (at <= 0) return false
    const age = this.now() - at
    return this.connectedAt !== undefined && at >= this.connectedAt && !isUntold(name) ? age < PUSH_TTL_MS : age < POLL_TTL_MS
  }

  /** 'unknown' when the server has to be asked. */
  lookup(folder: number, name: string): KnownNode | undefined | 'unknown' {
    const listing = this.listing(folder)
    if (listing === undefined || listing.doubted.has(name)) return 'unknown'
    const answer = listing.answer(name)
    const at = Math.max(answer?.at ?? RECALLED, listing.completeAt)
    if (!this.fresh(at, name)) return 'unknown'
    if (answer !== undefined && answer.node === undefined && listing.completeAt < answer.at && this.now() - answer.at >= ABSENT_TTL_MS) return 'unknown'
    if (answer !== undefined) return answer.node
    return listing.completeAt > 0 ? undefined : 'unknown'
  }

  /** The last known answer, however old: for when the server cannot be asked. */
  stale(folder: number, name: string): KnownNode | undefined | 'unknown' {
    const listing = this.listing(folder)
    const answer = listing?.answer(name)
    if (answer !== undefined) return answer.node
    return listing !== undefined && listing.completeAt !== 0 ? undefined : 'unknown'
  }

  /** All names with nothing in doubt, or undefined when the folder has to be listed. */
  complete(folder: number): Listing | undefined {
    const listing = this.listing(folder)
    return listing !== undefined && listing.doubted.size === 0 && this.fresh(listing.completeAt) ? listing : undefined
  }

  /** One answer. `at` is when the question was asked. */
  set(folder: number, name: string, node: KnownNode | undefined, at: number): void {
    const listing = this.listing(folder)
    if (this.overtaken(listing, name, at)) return
    const changed = listing !== undefined && !listing.doubted.has(name) && differs(listing, name, node)
    this.ours(folder, name, node, at)
    if (changed) this.onChange(folder, name)
  }

  /** Is the answer to a question of that time older than what is known, of the name or of the folder without it? */
  private overtaken(listing: Listing | undefined, name: string, at: number): boolean {
    return listing !== undefined && Math.max(listing.answer(name)?.at ?? 0, listing.completeAt) > at
  }

  /** As `ours`, of what the server was seen to have at that time. */
  shown(folder: number, name: string, node: KnownNode, at: number): void {
    if (!this.overtaken(this.listing(folder), name, at)) this.ours(folder, name, node, at)
  }

  /** As `set` for a change of our own, which nobody needs to be told of. */
  ours(folder: number, name: string, node: KnownNode | undefined, at: number): void {
    const listing = this.listing(folder) ?? new Listing()
    const doubted = listing.doubted.get(name)
    if (doubted !== undefined && doubted <= at) listing.settle(name)
    listing.put(name, same(listing.nodes.get(name), node), at)
    this.listings.set(folder, listing)
    this.shelf?.changed(folder)
  }

  /** A complete listing, asked at `at`. What was put in doubt later stays in doubt, with the newer answer. */
  setAll(folder: number, nodes: ReadonlyMap<string, KnownNode>, at: number): void {
    const before = this.listing(folder)
    const listing = new Listing(at)
    listing.completeAt = at
    for (const [name, node] of nodes) listing.put(name, same(before?.nodes.get(name), node))
    if (before !== undefined) {
      for (const [name, when] of before.doubted) if (when > at) listing.doubt(name, when)
      for (const [name, answer] of before.after(at)) listing.put(name, answer.node, answer.at)
    }
    this.listings.set(folder, listing)
    this.shelf?.changed(folder)
    if (before === undefined) return
    for (const name of new Set([...before.nodes.keys(), ...listing.nodes.keys()])) {
      if (!before.doubted.has(name) && differs(before, name, listing.nodes.get(name))) this.onChange(folder, name)
    }
  }

  /** A name's answer is no longer to be believed, nor one that is on its way. */
  doubt(folder: number, name: string): void {
    const listing = this.listing(folder) ?? new Listing()
    listing.doubt(name, this.now())
    this.listings.set(folder, listing)
  }

  doubtFolder(folder: number): void {
    this.listing(folder)?.doubtAll()
  }

  forget(folder: number): void {
    this.listings.delete(folder)
  }
}

/** The node as it was known, where it is the same: whoever else holds that one shares it. */
function same(known: KnownNode | undefined, node: KnownNode | undefined): KnownNode | undefined {
  return known instanceof Known && node !== undefined && known.equals(node) ? known : node
}

/** A 2.x server sends no events about nodes whose own name begins with a dot (seen on a real one): nobody tells us when an answer ends. */
function isUntold(name: string): boolean {
  return name.startsWith('.')
}

/** Is `node` something else than what was known of the name? Where nothing was known, nothing was said. */
function differs(known: Listing, name: string, node: KnownNode | undefined): boolean {
  const before = known.nodes.get(name)
  if (before === undefined && !known.nodes.has(name)) return known.completeAt !== 0 && node !== undefined
  return before?.uuid !== node?.uuid || before?.kind !== node?.kind
}
