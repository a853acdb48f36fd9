/** What happens to the bytes of a download on their way: gathered for the disk, and hashed while they arrive. */
import { Digester } from '../cells/digest.js'
import type { ContentDigest } from '../cells/digest.js'
import { FileDigest } from './file-digest.js'
import { readRange } from './local-file.js'
import type { PartialFile } from './partial.js'
import { MIB } from './parts.js'

/** Chunks of a stream that follow one another, written several at a time: with small ones the calls would cost more than the bytes. */
export class Gathered {
  size = 0
  readonly #partial: PartialFile
  readonly #follower: Follower
  #chunks: Buffer[] = []
  #start = 0

  constructor(partial: PartialFile, follower: Follower) {
    this.#partial = partial
    this.#follower = follower
  }

  async add(chunk: Buffer, position: number): Promise<void> {
    if (this.size === 0) this.#start = position
    this.#chunks.push(chunk)
    this.size += chunk.length
    if (this.size >= MIB) await this.flush()
  }

  async flush(): Promise<void> {
    if (this.size === 0) return
    const [chunks, start] = [this.#chunks, this.#start]
    this.#chunks = []
    this.size = 0
    await this.#partial.write(chunks, start)
    let position = start
    for (const chunk of chunks) {
      this.#follower.written(position, chunk)
      position += chunk.length
    }
  }
}

/** Takes the digest of the whole while its pieces arrive. */
export interface Follower {
  written(position: number, chunk: Buffer): void
  finish(size: number): Promise<ContentDigest>
  stop(): Promise<void>
}

/** As the bytes pass by, if they do so in order; what was not seen is read at the end. */
export class InlineFollower implements Follower {
  readonly #partial: PartialFile
  readonly #digester: Digester

  constructor(partial: PartialFile, withBlocks: boolean) {
    this.#partial = partial
    this.#digester = new Digester(withBlocks)
  }

  written(position: number, chunk: Buffer): void {
    if (position === this.#digester.size) this.#digester.update(chunk)
  }

  async finish(size: number): Promise<ContentDigest> {
    const seen = this.#digester.size
    for await (const chunk of readRange(this.#partial.handle, seen, size - seen)) this.#digester.update(chunk)
    return this.#digester.finish()
  }

  async stop(): Promise<void> {}
}

export class ThreadFollower implements Follower {
  readonly #partial: PartialFile
  readonly #digest: FileDigest
  #told = 0

  constructor(partial: PartialFile, size: number, withBlocks: boolean) {
    this.#partial = partial
    this.#digest = new FileDigest(partial.handle.fd, size, withBlocks)
  }

  written(): void {
    const { frontier } = this.#partial.ranges
    if (frontier - this.#told < MIB) return
    this.#told = frontier
    this.#digest.advance(frontier)
  }

  finish(size: number): Promise<ContentDigest> {
    return this.#digest.finish(size)
  }

  stop(): Promise<void> {
    return this.#digest.stop()
  }
}
