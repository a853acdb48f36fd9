/** A websocket through an HTTP proxy: CONNECT first, then the handshake (and TLS) inside the tunnel. */
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Socket } from 'node:net'
import { connect as tlsConnect } from 'node:tls'
import type { ClientOptions } from 'ws'
import { CellsError } from './errors.js'
import { proxyFor } from './proxy.js'
import { TIMEOUTS } from './timeouts.js'

/** Options for `ws` that make it use the proxy of the environment; none without a proxy. */
export async function proxyTunnel(target: URL, signal: AbortSignal, verify: boolean): Promise<ClientOptions> {
  const proxy = proxyFor(target)
  if (proxy === undefined) return {}
  const secure = target.protocol === 'wss:'
  const raw = await connectThrough(new URL(proxy), `${target.hostname}:${target.port || (secure ? '443' : '80')}`, signal)
  return { createConnection: () => (secure ? tlsConnect({ socket: raw, servername: target.hostname, rejectUnauthorized: verify }) : raw) }
}

function connectThrough(proxy: URL, authority: string, signal: AbortSignal): Promise<Socket> {
  const login = proxy.username === '' ? {} : { 'proxy-authorization': `Basic ${Buffer.from(`${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`).toString('base64')}` }
  return new Promise((resolve, reject) => {
    const send = proxy.protocol === 'https:' ? httpsRequest : httpRequest
    const request = send({ host: proxy.hostname, port: proxy.port || (proxy.protocol === 'https:' ? 443 : 80), method: 'CONNECT', path: authority, headers: { host: authority, ...login }, signal, timeout: TIMEOUTS.connect })
    request.once('connect', (response, socket) => {
      if (response.statusCode === 200) return resolve(socket)
      socket.destroy()
      reject(new CellsError('network', `the proxy refused the event stream (status ${response.statusCode ?? 0})`))
    })
    request.once('timeout', () => request.destroy(new CellsError('timeout', 'the proxy did not answer in time')))
    request.once('error', reject)
    request.end()
  })
}
