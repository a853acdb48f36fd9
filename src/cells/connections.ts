/** Bounded keep-alive connections to one server, through a proxy where the environment names one. */
import type { Dispatcher } from 'undici'
import { agentClass, undici } from '../undici.js'
import { usesProxy } from './proxy.js'
import { TIMEOUTS } from './timeouts.js'

const KEEP_ALIVE_MS = 60_000

export function openConnections(url: URL, connections: number, skipVerify: boolean): Dispatcher {
  const tls = { rejectUnauthorized: !skipVerify }
  const common = { connections, pipelining: 1, keepAliveTimeout: KEEP_ALIVE_MS, keepAliveMaxTimeout: 10 * KEEP_ALIVE_MS, connect: { ...tls, timeout: TIMEOUTS.connect } }
  return usesProxy(url) ? new (undici().EnvHttpProxyAgent)({ ...common, requestTls: tls }) : new (agentClass())(common)
}
