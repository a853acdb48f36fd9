/** Metrics over HTTP: on a Unix socket, and on a port of the loopback address for collectors that know no sockets. */
import { lstatSync, unlinkSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { MountError } from './mount-error.js'

export interface MetricsServer {
  readonly url: string | undefined
  close(): Promise<void>
}

const LOOPBACK = '127.0.0.1'

/**
 * Answers `GET /metrics` with what `read` gives.
 * @param port 0 for any; undefined for none
 * @throws MountError when the port is taken
 */
export async function serveMetrics(read: () => string, socket: string, port: number | undefined): Promise<MetricsServer> {
  const servers: Server[] = []
  const open = async (listen: (server: Server) => void): Promise<Server> => {
    const server = createServer((request, response) => answer(read, request, response))
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.once('listening', () => resolve())
      listen(server)
    })
    servers.push(server)
    return server
  }
  const close = async (): Promise<void> => {
    await Promise.all(servers.map((server) => new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })))
  }
  // Of a process that was killed; a living one would have the control socket.
  if (lstatSync(socket, { throwIfNoEntry: false })?.isSocket() === true) unlinkSync(socket)
  const umask = process.umask(0o177)
  try {
    await open((server) => server.listen(socket))
  } finally {
    process.umask(umask)
  }
  if (port === undefined) return { url: undefined, close }
  try {
    const server = await open((it) => it.listen(port, LOOPBACK))
    return { url: `http://${LOOPBACK}:${(server.address() as AddressInfo).port}/metrics`, close }
  } catch (cause) {
    await close()
    const { code } = cause as NodeJS.ErrnoException
    throw new MountError('failed', code === 'EADDRINUSE' ? `Port ${port} for metrics is in use by another program.` : `Port ${port} cannot be used for metrics (${code ?? 'unknown'}).`, { cause })
  }
}

function answer(read: () => string, request: IncomingMessage, response: ServerResponse): void {
  // A page of some web site, sent here by a name that leads to the loopback address, has another host.
  const host = (request.headers.host ?? '').replace(/:\d+$/, '')
  const known = host === LOOPBACK || host === 'localhost' || host === ''
  if (request.method !== 'GET' || request.url?.split('?')[0] !== '/metrics' || !known) {
    response.writeHead(known ? 404 : 403, { 'content-type': 'text/plain' }).end('Metrics are at /metrics\n')
    return
  }
  response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(read())
}
