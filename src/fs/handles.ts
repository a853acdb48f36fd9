/** Numbers for open things: what a driver passes back with each read, write and readdir. */
import { FsError } from './errno.js'

export class HandleTable<T> {
  private readonly open = new Map<number, T>()
  private next = 1

  add(value: T): number {
    while (this.open.has(this.next)) this.next = this.next % 0x7fffffff + 1
    const fh = this.next
    this.next = this.next % 0x7fffffff + 1
    this.open.set(fh, value)
    return fh
  }

  private over = false

  /** From now on no handle is good for anything but being closed. */
  shut(): void {
    this.over = true
  }

  /** @throws FsError EBADF; ENOTCONN after `shut` */
  get(fh: number): T {
    if (this.over) throw new FsError('ENOTCONN', 'The mount has ended')
    const value = this.open.get(fh)
    if (value === undefined) throw new FsError('EBADF', `Handle ${fh} is not open`)
    return value
  }

  find(fh: number | undefined): T | undefined {
    return fh === undefined ? undefined : this.open.get(fh)
  }

  remove(fh: number): T | undefined {
    const value = this.open.get(fh)
    this.open.delete(fh)
    return value
  }

  get size(): number {
    return this.open.size
  }

  values(): IterableIterator<T> {
    return this.open.values()
  }
}
