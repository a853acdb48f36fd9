/**
 * What the mount may answer. Two programs change one tree, and the mount hears of the other's changes late, so there
 * are several worlds at a time: the oldest has none of what the second client did since the last quiescence, the newest all
 * of it. Our own operations happen in every world at once: what we did we see. An answer is right if it is the
 * answer of one of the worlds, name by name.
 *
 * Where both have had their hands on the same name (or one on a folder, the other below it) since the last
 * quiescence, or where a request of ours failed half-way, the outcome is a conflict that several answers settle well: such names
 * are `loose`, and only the rules of a conflict are checked, at the next quiescence: both sides agree, and nobody's
 * work is lost.
 */
import { Errno, isBelow, NodeIds, parentOf, World } from './world.testing.js'

export type Outcome<T> = { readonly value: T } | { readonly code: string }

/** A content that somebody was told is safe. */
export interface Work {
  /** `both`: it was there, on both sides, at the last quiescence. */
  readonly who: 'we' | 'they' | 'both'
  readonly path: string
  /** Where it was before, since the last quiescence. */
  readonly was?: readonly string[]
  /** Where it may be instead: somebody put it where a rename of ours had been, or was to be, made. */
  readonly also?: readonly string[]
  /** performance.now() of the acknowledgement. */
  readonly at: number
}

/** A content shorter than this is not told apart from others. */
const TRACKED = 8

export class Mismatch extends Error {
  override readonly name = 'Mismatch'
}

function related(a: string, b: string): boolean {
  return a === b || isBelow(a, b) || isBelow(b, a)
}

export class Model {
  readonly ids = new NodeIds()
  worlds: World[] = [World.empty()]
  /** Contents that must be found at the next quiescence. */
  readonly work = new Map<string, Work>()
  /** Contents that they have written, or that were on both sides at the last quiescence: they know what they replace, also where we wrote the same. */
  readonly theirOwn = new Set<string>()
  /** Every content there ever was: what is read is one of them, in whole. */
  readonly everKnown = new Set<string>([''])
  /** Paths where parts of contents may have been put together in ways the model does not follow. */
  readonly partial = new Set<string>()
  private loose = new Set<string>()
  private ours = new Set<string>()
  private theirs = new Set<string>()
  /** Our renames. */
  private renames: { readonly from: string; readonly to: string; readonly folder: boolean }[] = []

  get newest(): World {
    return this.worlds.at(-1)!
  }

  /** What is at the path is not certain: a conflict, or a failure half-way. */
  isLoose(path: string): boolean {
    for (const it of this.loose) if (it === path || isBelow(path, it)) return true
    return false
  }

  /** An operation on the path has no certain outcome. */
  isContended(path: string): boolean {
    for (const it of this.loose) if (related(it, path)) return true
    for (const it of this.theirs) if (related(it, path)) return true
    return false
  }

  loosen(...paths: readonly string[]): void {
    for (const path of paths) this.loose.add(path)
  }

  /** The same, and the folders above that are gone: they may come back with it. */
  loosenWithFolders(path: string): void {
    this.loosen(path)
    for (let at = parentOf(path); at !== ''; at = parentOf(at)) if (this.newest.at(at) === undefined) this.loosen(at)
  }

  get looseNames(): readonly string[] {
    return [...this.loose]
  }

  // -- our side

  private tryIn<T>(world: World, work: (world: World) => T): { readonly after: World; readonly outcome: Outcome<T> } {
    const after = world.clone()
    try {
      return { after, outcome: { value: work(after) } }
    } catch (error) {
      if (!(error instanceof Errno)) throw error
      return { after: world, outcome: { code: error.code } }
    }
  }

  /** An answer that changes nothing. @throws Mismatch */
  observed<T>(what: string, path: string, outcome: Outcome<T>, work: (world: World) => T, same: (actual: T, expected: T) => boolean): void {
    if (this.isLoose(path)) return
    const expected = this.worlds.map((world) => this.tryIn(world, work).outcome)
    if (!expected.some((it) => agrees(outcome, it, same))) throw new Mismatch(`${what}: ${show(outcome)}, expected ${[...new Set(expected.map(show))].join(' or ')}`)
  }

  /**
   * An operation of ours on `paths` ended. `uncertain`: it failed in a way that does not tell whether it happened.
   * Returns whether its effect is certain. @throws Mismatch
   */
  did<T>(what: string, paths: readonly string[], outcome: Outcome<T>, uncertain: boolean, work: (world: World) => T, same: (actual: T, expected: T) => boolean = () => true): boolean {
    const tried = this.worlds.map((world) => this.tryIn(world, work))
    const contended = paths.some((path) => this.isContended(path))
    const right = tried.map((it) => agrees(outcome, it.outcome, same))
    if (!uncertain && !contended && !right.some(Boolean)) {
      throw new Mismatch(`${what}: ${show(outcome)}, expected ${[...new Set(tried.map((it) => show(it.outcome)))].join(' or ')}`)
    }
    if ('code' in outcome && !uncertain) return true
    this.worlds = tried.map((it, index) => right[index] === true ? it.after : this.worlds[index]!)
    for (const path of paths) this.ours.add(path)
    const certain = !uncertain && !contended && right.every(Boolean)
    if (!certain) for (const path of paths) for (const name of [path, ...this.namesThere(path)]) this.loosenWithFolders(name)
    return certain
  }

  // -- the second client

  /** They are about to change `paths`. Returns false if that meets something of ours, and the outcome is a conflict. */
  theyWill(paths: readonly string[]): boolean {
    if (!this.meets(paths)) return true
    this.loosen(...paths.flatMap((path) => this.namesHere(path)))
    // What they make may make the folder as well, where ours is not yet: all of ours goes beside it.
    for (const { to, folder } of this.renames) if (folder && paths.some((path) => related(to, path))) this.loosen(to)
    return false
  }

  /** What they find at a path has these names here, too, if a rename of ours has not arrived. */
  namesHere(path: string): string[] {
    const found = [path]
    for (const { from, to } of this.renames) {
      for (const it of [...found]) {
        if (it === from || isBelow(it, from)) found.push(to + it.slice(from.length))
        else if (isBelow(from, it)) found.push(to)
      }
    }
    return found
  }

  private theirMoves: { readonly from: string; readonly to: string }[] = []

  /** They have moved something. */
  theyMoved(from: string, to: string): void {
    this.theirMoves.push({ from, to })
  }

  /** Renamed over another file here and moved there, a file's content is under both names (S43). */
  mayBeTwice(a: string, b: string): boolean {
    return this.renames.some((ours) => this.theirMoves.some((theirs) => related(ours.from, theirs.from)
      && [[a, b], [b, a]].some(([here, there]) => related(here!, ours.to) && related(there!, theirs.to))))
  }

  /** What we find at a path has these other names there, if we have not heard of a move of theirs. */
  namesThere(path: string): string[] {
    const found: string[] = []
    let at = path
    for (const { from, to } of this.theirMoves) {
      if (at !== from && !isBelow(at, from)) continue
      at = to + at.slice(from.length)
      found.push(at)
    }
    return found
  }

  /** Would a change of theirs meet one of ours? */
  meets(paths: readonly string[]): boolean {
    return paths.some((path) => [...this.ours, ...this.loose].some((it) => related(it, path)))
  }

  theyDid(paths: readonly string[], work: (world: World) => void): void {
    for (const path of paths) this.theirs.add(path)
    const { after, outcome } = this.tryIn(this.newest, work)
    if ('value' in outcome) this.worlds.push(after)
  }

  // -- work

  acknowledged(who: Work['who'], path: string, content: Buffer): void {
    const key = content.toString('latin1')
    this.everKnown.add(key)
    if (who !== 'we') this.theirOwn.add(key)
    if (content.length >= TRACKED) this.work.set(key, { who, path, at: performance.now() })
  }

  /** Somebody meant this content to go. */
  released(content: Buffer | undefined): void {
    if (content !== undefined) this.work.delete(content.toString('latin1'))
  }

  /** Somebody meant whatever is at, or below, the path to go. */
  releasedAt(path: string): void {
    for (const world of this.worlds) {
      for (const [name, id] of world.names) if (name === path || isBelow(name, path)) this.released(world.nodes.get(id)?.content)
    }
    if (!this.isContended(path)) return
    for (const [key, { path: at, also = [] }] of this.work) if ([at, ...also].some((it) => it === path || isBelow(it, path))) this.work.delete(key)
  }

  /** We renamed something. */
  renamed(from: string, to: string): void {
    this.renames.push({ from, to, folder: this.worlds.some((world) => world.at(from)?.type === 'folder') })
  }

  /** What is, or was, at `from` is at `to`. Where `we` moved it, it may not have met what is contended. */
  workMoved(who: 'we' | 'they', from: string, to: string): void {
    for (const it of [...this.partial]) if (it === from || isBelow(it, from)) this.partial.add(to + it.slice(from.length))
    const moved = (path: string): string | undefined => path === from || isBelow(path, from) ? to + path.slice(from.length) : undefined
    for (const [key, it] of this.work) {
      // Where it may be instead is moved by whoever finds it there.
      const also = (it.also ?? []).flatMap((path) => [path, moved(path)]).filter((path) => path !== undefined)
      const path = moved(it.path)
      if (path !== undefined && who === 'we' && this.isContended(it.path)) also.push(it.path)
      this.work.set(key, { ...it, ...(path !== undefined && { path, was: [...it.was ?? [], it.path] }), ...(also.length > 0 && { also }) })
    }
  }

  releasedNode(id: number): void {
    for (const world of this.worlds) this.released(world.nodes.get(id)?.content)
  }

  // -- quiescence

  /** What both sides show is what there is. */
  settle(world: World): void {
    this.worlds = [world]
    this.work.clear()
    this.theirOwn.clear()
    this.partial.clear()
    this.loose = new Set()
    this.ours = new Set()
    this.theirs = new Set()
    this.renames = []
    this.theirMoves = []
  }
}

function agrees<T>(actual: Outcome<T>, expected: Outcome<T>, same: (actual: T, expected: T) => boolean): boolean {
  if ('code' in actual || 'code' in expected) return 'code' in actual && 'code' in expected && actual.code === expected.code
  return same(actual.value, expected.value)
}

export function show(outcome: Outcome<unknown>): string {
  if ('code' in outcome) return outcome.code
  const { value: all } = outcome
  if (typeof all === 'object' && all !== null && 'content' in all) {
    const { type, content, mode, mtime } = all as { type: string; content: Buffer; mode?: number; mtime?: bigint }
    return `${type} ${mode?.toString(8) ?? ''} ${mtime ?? ''} ${type === 'folder' ? '' : shorten(content)}`
  }
  const text = (value: unknown): string => Buffer.isBuffer(value) ? shorten(value) : typeof value === 'bigint' ? `${value}n` : typeof value === 'object' && value !== null
    ? `{ ${Object.entries(value).map(([key, it]) => `${key}: ${text(it)}`).join(', ')} }` : String(value)
  return outcome.value === undefined ? 'success' : text(outcome.value)
}

export function shorten(content: Buffer): string {
  const text = content.toString('latin1').replaceAll('\0', '\\0')
  return `${content.length} bytes «${text.length > 40 ? `${text.slice(0, 40)}…` : text}»`
}
