/**
 * Digests of content as Cells reports them, computed while the bytes pass by: the md5 of the
 * whole (the ETag of a 2.x server, and of a single PUT elsewhere) and Cells' internal hash (md5
 * over the md5s of 10 MiB blocks, `x-cells-hash` of 4.x; cec-reference 11.1).
 */
import { createHash, hash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import { ETAG_TEMPORARY } from './types.js'
import type { CellsNode } from './types.js'

/** Later servers hash by blocks of this size, bytes (newer-servers 3.4). */
export const HASH_BLOCK = 10 * 1024 * 1024

export interface ContentDigest {
  readonly size: number
  readonly md5: string
  /** '' when it was not taken. */
  readonly cellsHash: string
  /** What S3 calls the ETag of a multipart object: md5 over the md5s of the parts, `-N`. */
  readonly partsEtag?: string
}

export class Digester {
  #whole = createHash('md5')
  #block: Hash | undefined
  #blockLength = 0
  #blocks: Hash | undefined
  #size = 0
  readonly #withBlocks: boolean

  /** @param withBlocks also Cells' internal hash, for as much work again; `cellsHash` is '' without it */
  constructor(withBlocks = true) {
    this.#withBlocks = withBlocks
  }

  get size(): number {
    return this.#size
  }

  update(chunk: Uint8Array): void {
    this.#size += chunk.length
    if (!this.#withBlocks) {
      this.#whole.update(chunk)
      return
    }
    let rest = chunk
    // The first block is the beginning of the whole: it is not hashed twice unless there is a second one.
    while (rest.length > 0) {
      if (this.#blockLength === HASH_BLOCK) this.#closeBlock()
      const head = rest.subarray(0, HASH_BLOCK - this.#blockLength)
      this.#whole.update(head)
      this.#block?.update(head)
      this.#blockLength += head.length
      rest = rest.subarray(head.length)
    }
  }

  #closeBlock(): void {
    this.#blocks ??= createHash('md5')
    this.#blocks.update((this.#block ?? this.#whole.copy()).digest())
    this.#block = createHash('md5')
    this.#blockLength = 0
  }

  finish(): ContentDigest {
    if (this.#withBlocks) this.#closeBlock()
    const cellsHash = this.#blocks?.digest('hex') ?? ''
    return { size: this.#size, md5: this.#whole.digest('hex'), cellsHash }
  }
}

/** Cells' internal hash, from the md5s of the content's blocks (HASH_BLOCK). */
export function hashOfBlocks(md5s: readonly string[]): string {
  const all = createHash('md5')
  for (const md5 of md5s) all.update(md5, 'hex')
  return all.digest('hex')
}

/** Of content that is at hand as a whole. */
export function digestOf(content: Uint8Array): ContentDigest {
  if (content.length <= HASH_BLOCK) {
    const whole = hash('md5', content, 'buffer')
    return { size: content.length, md5: whole.toString('hex'), cellsHash: hash('md5', whole) }
  }
  const digester = new Digester()
  digester.update(content)
  return digester.finish()
}

const PLAIN_MD5 = /^[0-9a-f]{32}$/

/** Digest of the parts' digests, as S3 builds the ETag of a multipart object. */
export function etagOfParts(md5s: readonly string[]): string {
  return `${hashOfBlocks(md5s)}-${md5s.length}`
}

/** Whether only Cells' internal hash, which was not taken, could tell if `node` has this content. */
export function needsCellsHash(digest: ContentDigest, node: CellsNode): boolean {
  return digest.cellsHash === '' && node.kind === 'file' && node.hash !== '' && node.size === digest.size && node.etag !== ETAG_TEMPORARY && compareWithNode(digest, node) === 'other'
}

/**
 * Does the server report just this content?
 * - `same`: a digest agrees.
 * - `other`: size or a comparable digest disagrees, or it is not indexed yet.
 * - `unknown`: the size agrees and there is no digest to compare with.
 */
export function compareWithNode(digest: ContentDigest, node: Omit<CellsNode, 'path' | 'meta'>): 'same' | 'other' | 'unknown' {
  if (node.kind !== 'file' || node.size !== digest.size || node.etag === ETAG_TEMPORARY) return 'other'
  if (node.etag === digest.md5 || (node.hash !== '' && node.hash === digest.cellsHash)) return 'same'
  if (digest.partsEtag !== undefined && node.etag === digest.partsEtag) return 'same'
  if (PLAIN_MD5.test(node.etag)) return 'other'
  return node.hash === '' ? 'unknown' : 'other'
}
