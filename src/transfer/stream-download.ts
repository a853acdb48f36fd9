/**
 * The content of a file as a stream, for standard output. A small file is checked before its first byte goes out. A large
 * one goes out as it comes, pinned to one version: a broken stream goes on where it broke, a version that changes meanwhile
 * is an error, and so is a digest that disagrees at the end.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { compareWithNode, Digester } from '../cells/digest.js'
import { CellsError, isCellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import { ETAG_TEMPORARY } from '../cells/types.js'
import type { CellsNode } from '../cells/types.js'
import { MIB } from './parts.js'
import { TransferError } from './types.js'

const SMALL = 8 * MIB
const TRIES = 4
const INDEX_WAIT_MS = 30_000

export interface StreamOptions {
  readonly signal: AbortSignal
  /** An earlier version of the file instead; `node` describes it. */
  readonly versionId?: string
}

/** @throws CellsError; TransferError `missing`, `mismatch`, `unsupported` */
export async function * contentOf(server: CellsServer, first: CellsNode, options: StreamOptions): AsyncGenerator<Buffer> {
  let node = first
  if (node.kind !== 'file') throw new TransferError('unsupported', `${node.path} is a folder`)
  for (let attempt = 1; ; attempt++) {
    if (options.versionId === undefined) node = await settled(server, node, options.signal)
    if (node.size > SMALL) {
      yield * checked(server, node, options)
      return
    }
    try {
      const chunks: Buffer[] = []
      for await (const chunk of checked(server, node, options)) chunks.push(chunk)
      yield * chunks
      return
    } catch (error) {
      // Just overwritten, as a rule: content and index disagree for a second (trap 1).
      const again = isCellsError(error, 'precondition', 'range') || (error instanceof TransferError && error.kind === 'mismatch')
      if (!again || attempt === TRIES) throw error
      await sleep(500 * attempt, undefined, { signal: options.signal })
      if (options.versionId === undefined) node = await current(server, node.path, options.signal)
    }
  }
}

async function * checked(server: CellsServer, node: CellsNode, options: StreamOptions): AsyncGenerator<Buffer> {
  const digester = new Digester()
  let breaks = 0
  while (digester.size < node.size) {
    const from = digester.size
    try {
      for await (const chunk of rest(server, node, from, options)) {
        digester.update(chunk)
        yield chunk
      }
    } catch (error) {
      if (options.signal.aborted || !isCellsError(error) || !error.transient) throw error
      breaks = digester.size > from ? 1 : breaks + 1
      if (breaks === TRIES) throw error
      await sleep(300 * 2 ** breaks * (0.5 + Math.random()), undefined, { signal: options.signal })
    }
  }
  if (compareWithNode(digester.finish(), node) !== 'other') return
  // x-cells-hash depends on how the uploader cut its parts (newer-servers 3.4): without an md5 nothing can be said.
  if (/^[0-9a-f]{32}$/.test(node.etag)) throw new TransferError('mismatch', `the server sends other content of ${node.path} than it reports`)
}

async function * rest(server: CellsServer, node: CellsNode, start: number, options: StreamOptions): AsyncGenerator<Buffer> {
  const range = start === 0 ? undefined : { start, end: node.size - 1 }
  const ifMatch = node.etag === '' || options.versionId !== undefined ? undefined : node.etag
  const body = await server.get(node.path, range, { ...options, ifMatch })
  if (body.totalSize !== node.size || body.length !== node.size - start) {
    body.stream.destroy()
    throw new CellsError('precondition', `${node.path} has changed on the server`)
  }
  yield * body.stream
}

async function current(server: CellsServer, path: string, signal: AbortSignal): Promise<CellsNode> {
  const node = await server.stat(path, { signal })
  if (node?.kind !== 'file') throw new TransferError('missing', `${path} is gone from the server`)
  return node
}

async function settled(server: CellsServer, node: CellsNode, signal: AbortSignal): Promise<CellsNode> {
  if (node.etag !== ETAG_TEMPORARY) return node
  try {
    const done = await server.waitFor(node.path, now => now?.etag !== ETAG_TEMPORARY, { signal, timeoutMs: INDEX_WAIT_MS })
    return done?.kind === 'file' ? done : await current(server, node.path, signal)
  } catch (error) {
    if (isCellsError(error, 'timeout')) throw new TransferError('mismatch', `${node.path} is still being uploaded`, error)
    throw error
  }
}
