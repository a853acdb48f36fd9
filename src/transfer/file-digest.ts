/**
 * Digest of a file that is written or sent in pieces in any order: a pass of its own over the file, in a thread, behind
 * the point up to which everything is there. Hashing a gigabyte takes seconds, twice (the whole and its blocks); on the main
 * thread they would come on top of the time of the transfer. The bytes are still in the page cache.
 */
import { Worker } from 'node:worker_threads'
import type { ContentDigest } from '../cells/digest.js'
import { TransferError } from './types.js'

export type DigestReply = { readonly digest: ContentDigest } | { readonly short: number } | { readonly error: string }

export class FileDigest {
  readonly #worker: Worker
  readonly #result: Promise<DigestReply>

  /**
   * @param fd of an open file; must stay open until `finish` or `stop` have resolved
   * @param withBlocks also Cells' internal hash, for as much work again
   */
  constructor(fd: number, size: number, withBlocks: boolean) {
    this.#worker = new Worker(new URL('./digest-thread.js', import.meta.url), { workerData: { fd, size, withBlocks } })
    this.#result = new Promise((resolve, reject) => {
      this.#worker.once('message', resolve)
      this.#worker.once('error', reject)
      this.#worker.once('exit', () => reject(new Error('the digest was stopped')))
    })
    this.#result.catch(() => {})
  }

  /** Everything before `end` is there. */
  advance(end: number): void {
    this.#worker.postMessage(end)
  }

  /** All is there. @throws TransferError `changed` when the file is shorter; an error of the disk */
  async finish(size: number): Promise<ContentDigest> {
    this.advance(size)
    const reply = await this.#result
    await this.stop()
    if ('digest' in reply) return reply.digest
    if ('short' in reply) throw new TransferError('changed', 'the file became shorter while it was read')
    throw new Error(reply.error)
  }

  /** Of a file that is there as a whole. @throws as `finish` */
  static async of(fd: number, size: number): Promise<ContentDigest> {
    const digest = new FileDigest(fd, size, true)
    return digest.finish(size).finally(() => digest.stop())
  }

  async stop(): Promise<void> {
    await this.#worker.terminate()
  }
}
