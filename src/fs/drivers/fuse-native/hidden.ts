/**
 * Unlink while open, and rename over an open file, without libfuse's `.fuse_hidden` files.
 *
 * libfuse 2 cannot name a file that has no name. When an open file is unlinked or renamed over, it first renames
 * it to `.fuse_hidden<node><counter>` beside it and unlinks that at the last close. The engine needs none
 * of it (its handles outlive names), so such a name becomes an alias that only this driver knows.
 *
 * The first rename looks the same in both cases, and only the second one tells: for a rename over the
 * target, `rename(source, target)` follows at once, and the target's node must still be there for the
 * engine to keep its Uuid. So the name vanishes here at once and the engine's unlink waits for `GRACE_MS`,
 * or less if anything else wants the name or its folder. A rename onto the name calls it off. The price, paid only
 * for files that are unlinked while open: a crash within the grace, or a server that refuses, leaves
 * the file in place. Never the other way round.
 */
import type { Logger } from '../../../log.js'
import type { Caller, FileSystem, Ino } from '../driver.js'
import type { Dentries, Place } from './dentries.js'

const HIDDEN = /^\.fuse_hidden[0-9a-f]{16}$/
const GRACE_MS = 100

/** Is this rename libfuse hiding an open file? */
export function hides(from: string, to: string): boolean {
  const slash = to.lastIndexOf('/')
  return HIDDEN.test(to.slice(slash + 1)) && from.lastIndexOf('/') === slash && from.startsWith(to.slice(0, slash + 1))
}

interface Unlink extends Place {
  readonly timer: NodeJS.Timeout
  running?: Promise<void>
}

export class Hidden {
  readonly #fs: FileSystem
  readonly #dentries: Dentries
  readonly #caller: () => Caller
  readonly #log: Logger
  /** Path of the alias -> inode; each owns one lookup. */
  readonly #aliases = new Map<string, Ino>()
  readonly #unlinks = new Map<string, Unlink>()

  constructor(fs: FileSystem, dentries: Dentries, caller: () => Caller, log: Logger) {
    this.#fs = fs
    this.#dentries = dentries
    this.#caller = caller
    this.#log = log
  }

  /** The name is gone for everybody; the open file lives on as `alias`. */
  hide(place: Place, alias: string): void {
    const ino = this.#dentries.take(place)
    if (ino !== undefined) this.#aliases.set(alias, ino)
    const unlink: Unlink = {
      ...place,
      // One more turn of the loop first: a rename that is already queued must win over a late timer.
      timer: setTimeout(() => setImmediate(() => void this.#run(unlink)), GRACE_MS),
    }
    this.#unlinks.set(id(place), unlink)
  }

  alias(path: string): Ino | undefined {
    return this.#aliases.get(path)
  }

  /** libfuse unlinks the alias after the last close. False: not an alias. */
  dropAlias(path: string): boolean {
    const ino = this.#aliases.get(path)
    if (ino === undefined) return false
    this.#aliases.delete(path)
    this.#dentries.forget(ino)
    return true
  }

  /** Unlinked here, not yet by the engine. */
  isGone(place: Place): boolean {
    return this.#unlinks.has(id(place))
  }

  /** A rename replaces the file: the engine sees the old one off. */
  async replaced(place: Place): Promise<void> {
    const unlink = this.#unlinks.get(id(place))
    if (unlink === undefined) return
    if (unlink.running !== undefined) return unlink.running
    clearTimeout(unlink.timer)
    this.#unlinks.delete(id(place))
  }

  /** The name is needed: its unlink happens now. */
  async settle(place: Place): Promise<void> {
    const unlink = this.#unlinks.get(id(place))
    if (unlink !== undefined) await this.#run(unlink)
  }

  async settleFolder(folder: Ino): Promise<void> {
    await Promise.all([...this.#unlinks.values()].filter(({ parent }) => parent === folder).map((unlink) => this.#run(unlink)))
  }

  /** The end of the mount. libfuse does not unlink an alias whose folder went before it. */
  async close(): Promise<void> {
    await Promise.all([...this.#unlinks.values()].map((unlink) => this.#run(unlink)))
    for (const path of this.#aliases.keys()) this.dropAlias(path)
  }

  #run(unlink: Unlink): Promise<void> {
    // A timer that fired just before the rename called the unlink off.
    if (this.#unlinks.get(id(unlink)) !== unlink) return Promise.resolve()
    clearTimeout(unlink.timer)
    return unlink.running ??= this.#fs.unlink(unlink.parent, unlink.name, this.#caller())
      .catch((error: unknown) => this.#log.error('a file that was unlinked while open could not be removed and is back', { name: unlink.name, error }))
      .finally(() => this.#unlinks.delete(id(unlink)))
  }
}

const id = ({ parent, name }: Place): string => `${parent}/${name}`
