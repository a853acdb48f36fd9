/**
 * Names with `_` and `%` on servers that take them for wildcards.
 *
 * A 2.x server finds a name in a folder by SQL `name LIKE ?` without escaping (seen on a real one): `a_b`
 * finds `a-b` when that has been there first. Stat of `a_b` then describes `a-b`; a PUT to `a_b`
 * overwrites the index entry of `a-b` and leaves both unreadable; a mkdir never shows up; a move to
 * `a_b` destroys `a-b`. The other order is harmless: `a_b` first, then `a-b`.
 *
 * The answer gives itself away: its MetaStore holds the name that was found. So:
 * - what is read is looked at again, with the wildcards escaped as SQL does (tree.ts);
 * - what would be written, moved or deleted is refused when the name finds another node;
 * - our own creations that are still on their way to the index are kept apart here.
 */
import { CellsError } from './errors.js'
import { baseOf, parentOf } from './names.js'

const WILDCARD = /[_%]/

export function hasWildcard(path: string): boolean {
  return WILDCARD.test(path)
}

/** `path` so that it finds exactly itself on a server with the fault. Only for REST lookups. */
export function escapeWildcards(path: string): string {
  return path.replace(/[_%]/g, '\\$&')
}

/** SQL LIKE with `pattern`, without escapes; linear but for the usual step back to the last `%`. */
export function likeMatches(pattern: string, name: string): boolean {
  const want = [...pattern]
  const have = [...name]
  let at = 0
  let star = -1
  let resume = 0
  for (let i = 0; i < have.length;) {
    if (want[at] === '%') {
      star = at++
      resume = i
    } else if (at < want.length && (want[at] === '_' || want[at] === have[i])) {
      at++
      i++
    } else if (star >= 0) {
      at = star + 1
      i = ++resume
    } else return false
  }
  while (want[at] === '%') at++
  return at === want.length
}

/** What the plain path finds on the server: nothing, itself, or another name. */
export type Found =
  | { readonly what: 'nothing' | 'itself' }
  /** `hidden`: a node of the right name exists too, but cannot be reached by its path. */
  | { readonly what: 'other'; readonly name: string; readonly hidden: boolean }

/** How long a creation may take to show in the index (contract, traps 2, 12), with a margin. */
const ON_THE_WAY_MS = 3000
const LOOK_EVERY_MS = 300
/** For how long a folder of the path that was found to be itself is taken for that. */
const TRUSTED_MS = 60_000
const MOST = 5000

interface Creation {
  readonly parent: string
  readonly name: string
  /** Settles when the server has answered. */
  readonly answered: Promise<void>
  endedAt: number | undefined
  /** Seen in the index since. */
  indexed?: boolean
}

interface Siblings {
  readonly all: Set<Creation>
  /** Those of them whose names are patterns: few, as a rule none, so that a plain name finds its rivals at once. */
  readonly patterns: Set<Creation>
}

export class WildcardGuard {
  readonly #look: (path: string, signal?: AbortSignal) => Promise<Found>
  readonly #pause: (ms: number, signal?: AbortSignal) => Promise<void>
  /** By folder, in the order in which they began. */
  readonly #creations = new Map<string, Siblings>()
  /** In the order in which they ended: the first is the first to be forgotten. */
  readonly #ended = new Set<Creation>()
  readonly #trusted = new Map<string, number>()
  readonly #now: () => number

  constructor(look: (path: string, signal?: AbortSignal) => Promise<Found>, pause: (ms: number, signal?: AbortSignal) => Promise<void>, now: () => number = Date.now) {
    this.#look = look
    this.#pause = pause
    this.#now = now
  }

  /**
   * Runs `create`, which makes `path`, when its name cannot hit another node.
   *
   * @throws CellsError `invalid` when the server would take it for another node
   */
  async creating<T>(path: string, signal: AbortSignal | undefined, create: () => Promise<T>): Promise<T> {
    const parent = parentOf(path)
    const name = baseOf(path)
    await this.#checkFolders(parent, signal)
    for (let other = this.#rival(parent, name); other !== undefined; other = this.#rival(parent, name)) {
      // Theirs is the wildcard name, ours is plain: once theirs is in the index, ours is harmless.
      if (other.endedAt === undefined) await other.answered
      else if ((await this.#look(`${parent}/${other.name}`, signal)).what === 'itself') other.indexed = true
      else await this.#pause(LOOK_EVERY_MS, signal)
    }
    let answer = (): void => {}
    const creation: Creation = { parent, name, answered: new Promise((resolve) => { answer = resolve }), endedAt: undefined }
    // Entered before the look: two that conflict must see each other.
    this.#enter(creation)
    try {
      if (hasWildcard(name)) {
        await this.#checkOwn(path, creation, signal).catch((error: unknown) => {
          // Nothing was sent: nobody need wait for it.
          this.#leave(creation)
          throw error
        })
      }
      return await create()
    } finally {
      creation.endedAt = this.#now()
      answer()
      this.#ended.add(creation)
      this.#forget()
    }
  }

  /** Before a node is moved, copied or deleted. @throws CellsError `not-found` or `invalid` when the path finds another node */
  async checkExisting(path: string, signal?: AbortSignal): Promise<void> {
    await this.#checkFolders(parentOf(path), signal)
    if (!hasWildcard(baseOf(path))) return
    const found = await this.#look(path, signal)
    if (found.what === 'other') throw new CellsError(found.hidden ? 'invalid' : 'not-found', `could not touch ${path}: this server takes it for ${JSON.stringify(found.name)}`)
  }

  async #checkOwn(path: string, own: Creation, signal?: AbortSignal): Promise<void> {
    const { name } = own
    const found = await this.#look(path, signal)
    if (found.what === 'other') throw conflict(path, found.name)
    if (found.what === 'itself') return
    // Those that entered later see this one and wait or give way.
    for (const other of this.#creations.get(own.parent)?.all ?? []) {
      if (other === own) break
      if (other.name !== name && !this.#isOver(other) && likeMatches(name, other.name)) throw conflict(path, other.name)
    }
  }

  async #checkFolders(folder: string, signal?: AbortSignal): Promise<void> {
    const chain: string[] = []
    // Workspaces are found by their slug, not by LIKE.
    for (let up = folder; up.includes('/'); up = parentOf(up)) if (hasWildcard(baseOf(up))) chain.push(up)
    for (const each of chain.reverse()) {
      const at = this.#trusted.get(each)
      if (at !== undefined && this.#now() - at < TRUSTED_MS) continue
      const found = await this.#look(each, signal)
      if (found.what === 'other') throw conflict(each, found.name)
      if (found.what === 'nothing') continue
      this.#trusted.delete(each)
      this.#trusted.set(each, this.#now())
      if (this.#trusted.size > MOST) this.#trusted.delete(this.#trusted.keys().next().value as string)
    }
  }

  /** A wildcard name on its way that would swallow `name`. */
  #rival(parent: string, name: string): Creation | undefined {
    for (const other of this.#creations.get(parent)?.patterns ?? []) {
      if (other.name !== name && other.indexed !== true && !this.#isOver(other) && likeMatches(other.name, name) && !likeMatches(name, other.name)) return other
    }
    return undefined
  }

  #enter(creation: Creation): void {
    let siblings = this.#creations.get(creation.parent)
    if (siblings === undefined) this.#creations.set(creation.parent, siblings = { all: new Set(), patterns: new Set() })
    siblings.all.add(creation)
    if (hasWildcard(creation.name)) siblings.patterns.add(creation)
  }

  #leave(creation: Creation): void {
    const siblings = this.#creations.get(creation.parent)
    siblings?.all.delete(creation)
    siblings?.patterns.delete(creation)
    if (siblings?.all.size === 0) this.#creations.delete(creation.parent)
  }

  #isOver(creation: Creation): boolean {
    return creation.endedAt !== undefined && this.#now() - creation.endedAt >= ON_THE_WAY_MS
  }

  #forget(): void {
    for (const creation of this.#ended) {
      if (!this.#isOver(creation)) return
      this.#ended.delete(creation)
      this.#leave(creation)
    }
  }
}

function conflict(path: string, name: string): CellsError {
  return new CellsError('invalid', `could not create ${path}: this server cannot hold it beside ${JSON.stringify(name)}, it takes "_" and "%" for wildcards`)
}
