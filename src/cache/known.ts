/**
 * What is kept in memory of a node of the server, a hundred thousand of them: its folder gives it its path, and nobody asks here what else the server keeps
 * of a node, which takes more room than all the rest. A file's is the key of its version, too, so that an inode needs none of its own.
 */
import type { CellsNode, NodeKind } from '../cells/types.js'

export type KnownNode = Omit<CellsNode, 'path' | 'meta'>

export class Known implements KnownNode {
  readonly uuid: string
  readonly kind: NodeKind
  readonly size: number
  readonly mtime: number
  readonly etag: string
  readonly hash: string
  readonly readOnly: boolean

  constructor({ uuid, kind, size, mtime, etag, hash, readOnly }: KnownNode) {
    this.uuid = uuid
    this.kind = kind
    this.size = size
    this.mtime = mtime
    this.etag = etag
    this.hash = hash
    this.readOnly = readOnly
  }

  static of(node: KnownNode): Known {
    return node instanceof Known ? node : new Known(node)
  }

  equals({ uuid, kind, size, mtime, etag, hash, readOnly }: KnownNode): boolean {
    return this.uuid === uuid && this.kind === kind && this.size === size && this.mtime === mtime && this.etag === etag && this.hash === hash && this.readOnly === readOnly
  }
}

/** The same text with memory of its own: a part of a longer string keeps all of that one. */
export function ownCopy(text: string): string {
  const copy = Buffer.from(text).toString()
  // Half a surrogate pair has no UTF-8.
  return copy === text ? copy : text
}
