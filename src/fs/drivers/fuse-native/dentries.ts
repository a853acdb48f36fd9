/**
 * Names to inode numbers for a driver that is given paths.
 *
 * A bounded LRU keyed by (parent inode, name), so that a moved folder is one changed key and its
 * children stay. Each entry owns exactly one lookup of its inode and gives it back (`forget`) when it goes;
 * an inode with open handles keeps its lookup until the last is closed. An entry is believed as long as the
 * engine said (entryTimeoutMs); the last component of a stat is always asked for again.
 */
import { LRUCache } from 'lru-cache'
import { FsError } from '../../errno.js'
import { ROOT_INO, type Caller, type Entry, type FileSystem, type Ino } from '../driver.js'

interface Dentry {
  readonly ino: Ino
  expires: number
  /** Its lookup has another owner now. */
  taken?: boolean
}

export interface Place {
  readonly parent: Ino
  readonly name: string
}

const key = (parent: Ino, name: string): string => `${parent}/${name}`

export class Dentries {
  readonly #fs: FileSystem
  readonly #known: LRUCache<string, Dentry>
  /** Inodes that must not be forgotten yet: open handles, and lookups to give back after the last close. */
  readonly #pinned = new Map<Ino, { handles: number; owed: number }>()

  constructor(fs: FileSystem, limit = 32_768) {
    this.#fs = fs
    this.#known = new LRUCache({ max: limit, dispose: (dentry) => { if (dentry.taken !== true) this.forget(dentry.ino) } })
  }

  /** Inode of an absolute path. @throws what lookup throws; ENOENT */
  async resolve(path: string, caller: Caller): Promise<Ino> {
    let ino: Ino = ROOT_INO
    for (const name of path.split('/')) {
      if (name === '') continue
      const dentry = this.#known.get(key(ino, name))
      ino = dentry !== undefined && dentry.expires > performance.now() ? dentry.ino : (await this.lookup({ parent: ino, name }, caller)).attr.ino
    }
    return ino
  }

  /** Folder and last component of a path. @throws FsError EBUSY for the root, which has neither */
  async place(path: string, caller: Caller): Promise<Place> {
    const slash = path.lastIndexOf('/')
    const name = path.slice(slash + 1)
    if (name === '') throw new FsError('EBUSY', 'the root of the mount cannot be changed')
    return { parent: await this.resolve(path.slice(0, slash), caller), name }
  }

  /** Asks the engine, whatever is remembered. */
  async lookup(place: Place, caller: Caller): Promise<Entry> {
    try {
      const entry = await this.#fs.lookup(place.parent, place.name, caller)
      this.add(place, entry)
      return entry
    } catch (error) {
      this.drop(place)
      throw error
    }
  }

  /** Takes over the one lookup that `entry` counts for. */
  add({ parent, name }: Place, entry: Entry): void {
    const expires = performance.now() + entry.entryTimeoutMs
    const before = this.#known.get(key(parent, name))
    if (before?.ino === entry.attr.ino) {
      before.expires = expires
      this.#fs.forget(entry.attr.ino, 1)
    } else {
      this.#known.set(key(parent, name), { ino: entry.attr.ino, expires })
    }
  }

  drop({ parent, name }: Place): void {
    this.#known.delete(key(parent, name))
  }

  /** Removes the entry; the caller takes over its lookup. */
  take(place: Place): Ino | undefined {
    const dentry = this.#known.peek(key(place.parent, place.name))
    if (dentry === undefined) return undefined
    dentry.taken = true
    this.drop(place)
    return dentry.ino
  }

  /** A handle is open: the inode keeps its lookup. */
  pin(ino: Ino): void {
    const pin = this.#pinned.get(ino)
    if (pin === undefined) this.#pinned.set(ino, { handles: 1, owed: 0 })
    else pin.handles++
  }

  unpin(ino: Ino): void {
    const pin = this.#pinned.get(ino)
    if (pin === undefined || --pin.handles > 0) return
    this.#pinned.delete(ino)
    if (pin.owed > 0) this.#fs.forget(ino, pin.owed)
  }

  isPinned(ino: Ino): boolean {
    return this.#pinned.has(ino)
  }

  /** Gives one lookup back, now or after the last close. */
  forget(ino: Ino): void {
    const pin = this.#pinned.get(ino)
    if (pin === undefined) this.#fs.forget(ino, 1)
    else pin.owed++
  }

  /** Gives everything back, at the end of the mount. */
  clear(): void {
    this.#known.clear()
    for (const [ino, { owed }] of this.#pinned) if (owed > 0) this.#fs.forget(ino, owed)
    this.#pinned.clear()
  }
}
