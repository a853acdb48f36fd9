/**
 * The places of children in their folder: a new child gets the lowest free number, and of several names that a pattern finds
 * (like.ts) the index takes the one with the first number, compared as text (observed on a real server). Not kept on disk:
 * after a restart numbers follow age.
 */
interface Folder {
  /** Numbers below `next` that are free, ascending. */
  readonly free: number[]
  next: number
}

export class Slots {
  readonly #folders = new Map<string, Folder>()
  readonly #numbers = new Map<string, number>()

  give(parent: string, uuid: string): void {
    let folder = this.#folders.get(parent)
    if (!folder) this.#folders.set(parent, (folder = { free: [], next: 1 }))
    this.#numbers.set(uuid, folder.free.shift() ?? folder.next++)
  }

  /** The child leaves the folder. */
  take(parent: string, uuid: string): void {
    const number = this.#numbers.get(uuid)
    const folder = this.#folders.get(parent)
    if (number === undefined || !folder) return
    this.#numbers.delete(uuid)
    const at = folder.free.findIndex(each => each > number)
    folder.free.splice(at < 0 ? folder.free.length : at, 0, number)
  }

  /** A folder, or a node below one, that is no more. */
  forget(uuid: string): void {
    this.#folders.delete(uuid)
    this.#numbers.delete(uuid)
  }

  before(a: string, b: string): boolean {
    return String(this.#numbers.get(a)) < String(this.#numbers.get(b))
  }
}
