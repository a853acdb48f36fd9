/**
 * The control socket of a mount: how `cellsfs umount`, `status` and `sync` talk to the process behind a drive.
 *
 * A Unix socket (0600) in a folder of ours (0700, owner checked), named after the mountpoint. A line of JSON
 * asks, a line of JSON answers; the connection serves one request. No answer before the
 * connection ends means that the process died.
 */
import { createHash } from 'node:crypto'
import { lstatSync, mkdirSync, readdirSync, unlinkSync } from 'node:fs'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { lastRuntimeHome, runtimeHome } from '../paths.js'
import { MountError, type MountErrorCode } from './mount-error.js'
import type { EngineStatus, SyncReport } from './status.js'

export interface MountStatus extends EngineStatus {
  readonly mountpoint: string
  readonly pid: number
  readonly driver: string
  /** ISO 8601. */
  readonly since: string
  /** The file of the log; absent when it goes to stderr. */
  readonly log?: string
  /** Where metrics are read: a Unix socket, and an address if one was asked for. */
  readonly metrics: { readonly socket: string; readonly url?: string }
  readonly writeMode: 'back' | 'through'
}

export type ControlRequest =
  /** `verbose`: with the list of pending changes. */
  | { readonly op: 'status'; readonly verbose?: boolean }
  /** `path`: relative to the mountpoint; absent for everything. Without a time as long as it takes. */
  | { readonly op: 'sync'; readonly path?: string; readonly timeoutMs?: number }
  /** `timeoutMs`: for saving, else the usual one. */
  | { readonly op: 'unmount'; readonly lazy?: boolean; readonly timeoutMs?: number }
  | { readonly op: 'pin'; readonly path: string }
  | { readonly op: 'unpin'; readonly path: string }

export interface ControlResults {
  status: MountStatus
  sync: SyncReport
  unmount: SyncReport
  pin: true
  unpin: true
}

type Reply<R> = { readonly ok: true; readonly result: R } | { readonly ok: false; readonly error: string; readonly code?: string }

/** Carries out requests. @throws Error with a sentence for the person who asked */
export type ControlHandlers = { [O in ControlRequest['op']]: (request: Extract<ControlRequest, { op: O }>) => Promise<ControlResults[O]> | ControlResults[O] }

const LONGEST_REQUEST = 64 * 1024
/** sun_path of unix(7) holds 108 bytes with its NUL. */
const LONGEST_SOCKET_PATH = 107
const CONNECT_MS = 5_000

/** The folder of the sockets, made if need be. @throws MountError when it is not ours alone */
export function controlFolder(): string {
  const folder = runtimeHome()
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  if (!isOurs(folder)) {
    throw new MountError('not-permitted', `The folder ${folder} must belong to you alone: run \`chmod 700 ${folder}\`, or remove it if it is not yours.`)
  }
  return folder
}

/** In a shared /tmp somebody else could have made it first. */
function isOurs(folder: string): boolean {
  const info = lstatSync(folder, { throwIfNoEntry: false })
  return info !== undefined && info.isDirectory() && info.uid === process.getuid?.() && (info.mode & 0o077) === 0
}

/** Where sockets of this user's mounts can be: mounted at boot and asked from a login, the folders differ. */
function searchedFolders(): string[] {
  const [own, other] = [controlFolder(), lastRuntimeHome()]
  return other !== own && isOurs(other) ? [own, other] : [own]
}

/** The socket of the mount at `mountpoint` (without symlinks), or where it would be. */
export function findSocket(mountpoint: string): string {
  const places = searchedFolders().map((folder) => controlSocket(mountpoint, folder))
  return places.find((path) => lstatSync(path, { throwIfNoEntry: false }) !== undefined) ?? places[0]!
}

export function controlSocket(mountpoint: string, folder = controlFolder()): string {
  const path = join(folder, `${createHash('sha256').update(mountpoint).digest('hex').slice(0, 16)}.sock`)
  if (Buffer.byteLength(path) > LONGEST_SOCKET_PATH) throw new MountError('failed', `The path ${path} is too long for a socket: set XDG_RUNTIME_DIR to a shorter folder.`)
  return path
}

/** The socket of its metrics: not among those that `liveSockets` finds. */
export function metricsSocket(mountpoint: string): string {
  return controlSocket(mountpoint).replace(/sock$/, 'prom')
}

/**
 * Listens for the mount at `mountpoint` (without symlinks). `close` resolves when running requests have their answers.
 * @throws MountError `already-mounted`
 */
export async function serveControl(mountpoint: string, handlers: ControlHandlers): Promise<{ close(): Promise<void> }> {
  const path = controlSocket(mountpoint)
  /** Connections that have not asked for anything yet, and may never. */
  const idle = new Set<Socket>()
  const server = createServer((socket) => {
    idle.add(socket)
    socket.once('close', () => idle.delete(socket))
    serve(socket, handlers, () => idle.delete(socket))
  })
  if (await isServed(path)) throw new MountError('already-mounted', `${mountpoint} is already mounted: unmount it first with \`cellsfs umount ${mountpoint}\`.`)
  const umask = process.umask(0o177)
  try {
    await listen(server, path)
  } finally {
    process.umask(umask)
  }
  const close = (): Promise<void> => new Promise((resolve) => {
    server.close(() => resolve())
    for (const socket of idle) socket.destroy()
  })
  return { close }
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/** Does a living process listen there? The socket of a dead one is removed. */
async function isServed(path: string): Promise<boolean> {
  try {
    (await connect(path)).destroy()
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') unlinkSync(path)
    return false
  }
}

function serve(socket: Socket, handlers: ControlHandlers, onRequest: () => void): void {
  let text = ''
  socket.setEncoding('utf8')
  socket.on('error', () => socket.destroy())
  socket.on('data', (piece: string) => {
    text += piece
    const end = text.indexOf('\n')
    if (end < 0 && text.length <= LONGEST_REQUEST) return
    socket.pause()
    onRequest()
    void answer(text.slice(0, Math.max(end, 0)), handlers).then((reply) => socket.end(`${JSON.stringify(reply)}\n`))
  })
}

async function answer(line: string, handlers: ControlHandlers): Promise<Reply<unknown>> {
  try {
    const request = JSON.parse(line) as ControlRequest
    const handler = Object.hasOwn(handlers, request.op) ? handlers[request.op] as (request: ControlRequest) => unknown : undefined
    if (handler === undefined) throw new Error('unknown request')
    return { ok: true, result: await handler(request) }
  } catch (error) {
    return { ok: false, error: (error as Error).message, code: (error as { code?: string }).code }
  }
}

function connect(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path)
    const timer = setTimeout(() => socket.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })), CONNECT_MS)
    socket.once('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    socket.once('connect', () => {
      clearTimeout(timer)
      resolve(socket)
    })
  })
}

/**
 * Asks the mount behind `socket`; waits as long as the work takes, or until `signal`: the mount goes on with its work then.
 * `undefined`: nobody is there.
 * @throws MountError with the sentence of the mount; the signal's reason
 */
export async function ask<Q extends ControlRequest>(socket: string, request: Q, signal?: AbortSignal): Promise<ControlResults[Q['op']] | undefined> {
  signal?.throwIfAborted()
  let connection: Socket
  try {
    connection = await connect(socket)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return undefined
    throw new MountError('failed', `The mount does not answer on ${socket} (${code ?? 'unknown'}).`, { cause: error })
  }
  connection.write(`${JSON.stringify(request)}\n`)
  const hangUp = (): void => { connection.destroy() }
  signal?.addEventListener('abort', hangUp, { once: true })
  let text = ''
  try {
    for await (const piece of connection.setEncoding('utf8')) text += piece as string
  } catch (cause) {
    signal?.throwIfAborted()
    throw new MountError('failed', 'The mount ended before it answered.', { cause })
  } finally {
    signal?.removeEventListener('abort', hangUp)
  }
  signal?.throwIfAborted()
  if (text === '') throw new MountError('failed', 'The mount ended before it answered.')
  const reply = JSON.parse(text) as Reply<ControlResults[Q['op']]>
  if (!reply.ok) throw new MountError((reply.code === 'EBUSY' ? 'in-use' : reply.code ?? 'failed') as MountErrorCode, reply.error)
  return reply.result
}

/** Sockets of all mounts of this user; those of dead processes are removed. */
export async function liveSockets(): Promise<string[]> {
  const sockets = searchedFolders().flatMap((folder) => readdirSync(folder).filter((name) => name.endsWith('.sock')).map((name) => join(folder, name)))
  const living = await Promise.all(sockets.map(isServed))
  return sockets.filter((_, index) => living[index])
}
