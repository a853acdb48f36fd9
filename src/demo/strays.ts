/**
 * Objects of the storage that are not the object of any node: on a 2.x server, what was written or moved to a path that the
 * index takes for another one (like.ts). Content is read from where the path says, size and Etag come from the node that
 * was found, so both names end up unreadable, as on a real server.
 */
import type { Access, Location } from './access.js'
import type { Blob } from './blobs.js'
import type { Store, Table } from './store.js'
import type { NodeRecord } from './tree.js'

export class Strays {
  readonly #objects: Table<Blob>
  readonly #access: Access

  constructor(store: Store, access: Access) {
    this.#objects = store.table<Blob>('strays')
    this.#access = access
  }

  /** Where the object of a path lies if the index takes the path for that of `node`; undefined if `node` is what the path says. */
  key(location: Location, node: NodeRecord): string | undefined {
    return this.#access.isExact(location, node) ? undefined : this.#access.source(location) + this.#access.internalPath(location)
  }

  /** The object that a path reads. */
  object(location: Location, node: NodeRecord): Blob | undefined {
    const key = this.key(location, node)
    return key === undefined ? node.blob : this.#objects.get(key)
  }

  get(key: string): Blob | undefined {
    return this.#objects.get(key)
  }

  set(key: string, blob: Blob): void {
    this.#objects.set(key, blob)
  }

  delete(key: string): void {
    this.#objects.delete(key)
  }

  all(): IterableIterator<Blob> {
    return this.#objects.values()
  }
}
