/** What the operations share: the engine, names, open files. */
import type { Logger } from '../../../log.js'
import { FsError } from '../../errno.js'
import { ROOT_INO, type Caller, type FileSystem, type Ino } from '../driver.js'
import type { Binding, NativeOps, OpName, Thread } from './binding.js'
import { Request, type Operation } from './calls.js'
import { Dentries, type Place } from './dentries.js'
import { Hidden } from './hidden.js'
import { encodeStat } from './stat.js'

export interface OpenFile {
  readonly ino: Ino
  readonly fh: number
  /** Bytes written since the last flush: how long saving may take. */
  unsaved: number
}

export class Context {
  readonly fs: FileSystem
  readonly binding: Binding
  readonly dentries: Dentries
  readonly hidden: Hidden
  /** libfuse hands our descriptor back as 32 bits, so the engine's handles stay here. */
  readonly files = new Map<number, OpenFile>()
  #lastFd = 0

  constructor(fs: FileSystem, binding: Binding, log: Logger) {
    this.fs = fs
    this.binding = binding
    this.dentries = new Dentries(fs)
    this.hidden = new Hidden(fs, this.dentries, () => new Request(), log)
  }

  async inoOf(path: string, caller: Caller): Promise<Ino> {
    return this.hidden.alias(path) ?? this.dentries.resolve(path, caller)
  }

  /** A place where something is to be made: an unlink that was put off happens first. */
  async freePlace(path: string, caller: Caller): Promise<Place> {
    const place = await this.dentries.place(path, caller)
    await this.hidden.settle(place)
    return place
  }

  /** The answer to a stat, and to the kernel's lookup, which libfuse turns into one. */
  async stat(path: string, caller: Caller): Promise<Uint32Array> {
    const alias = path === '/' ? ROOT_INO : this.hidden.alias(path)
    if (alias !== undefined) {
      const open = [...this.files.values()].find(({ ino }) => ino === alias)
      return encodeStat((await this.fs.getattr(alias, open?.fh, caller)).attr)
    }
    const place = await this.dentries.place(path, caller)
    if (this.hidden.isGone(place)) throw new FsError('ENOENT')
    return encodeStat((await this.dentries.lookup(place, caller)).attr)
  }

  /** @throws FsError EBADF */
  file(fd: number): OpenFile {
    const found = this.files.get(fd)
    if (found === undefined) throw new FsError('EBADF')
    return found
  }

  /** A descriptor for an engine handle, which is given back if the program does not wait any more. */
  async opened(ino: Ino, fh: number, request: Request): Promise<number> {
    if (request.expired) {
      await this.fs.release(ino, fh)
      throw new FsError('ETIMEDOUT')
    }
    do this.#lastFd = this.#lastFd % 0x7fffffff + 1
    while (this.files.has(this.#lastFd))
    this.files.set(this.#lastFd, { ino, fh, unsaved: 0 })
    this.dentries.pin(ino)
    return this.#lastFd
  }

  async release(fd: number): Promise<void> {
    const { ino, fh } = this.file(fd)
    this.files.delete(fd)
    await this.fs.release(ino, fh).finally(() => this.dentries.unpin(ino))
  }

  /** After the last request: does what was put off and gives everything back. */
  async close(): Promise<void> {
    await this.hidden.close()
    await Promise.all([...this.files.keys()].map((fd) => this.release(fd)))
    this.dentries.clear()
  }
}

/** Operations whose reply is the result alone. */
type Plain = { [N in OpName]: NativeOps[N]['reply'] extends [] ? N : never }[OpName]

export function plain<N extends Plain>(
  deadline: Operation<N>['deadline'],
  run: (request: Request, thread: Thread, ...args: NativeOps[N]['args']) => Promise<unknown>,
): Operation<N> {
  const none = [] as unknown as NativeOps[N]['reply']
  return {
    deadline,
    run: async (...all) => {
      await run(...all)
      return { values: none }
    },
    failed: () => none,
  }
}
