/**
 * Bounded keep-alive connections to one server, through a proxy where the environment names one.
 *
 * Two pools, so that bodies that stream for minutes never make a stat wait for a socket. More than about
 * 8-16 connections only add latency on a real server (contract, section 8).
 */
import type { Dispatcher } from 'undici'
import { agentClass, undici } from '../undici.js'
import { usesProxy } from './proxy.js'
import { TIMEOUTS } from './timeouts.js'

export type Pool = 'rest' | 'data'

/** What two threads need to know to have the same connections. */
export interface ConnectionsPlan {
  readonly url: string
  readonly skipVerify: boolean
  /** Sockets of each pool. */
  readonly sockets: Readonly<Record<Pool, number>>
}

const KEEP_ALIVE_MS = 60_000

export function openConnections({ url, skipVerify, sockets }: ConnectionsPlan): Record<Pool, Dispatcher> {
  const tls = { rejectUnauthorized: !skipVerify }
  const open = (connections: number): Dispatcher => {
    const common = { connections, pipelining: 1, keepAliveTimeout: KEEP_ALIVE_MS, keepAliveMaxTimeout: 10 * KEEP_ALIVE_MS, connect: { ...tls, timeout: TIMEOUTS.connect } }
    return usesProxy(new URL(url)) ? new (undici().EnvHttpProxyAgent)({ ...common, requestTls: tls }) : new (agentClass())(common)
  }
  return { rest: open(sockets.rest), data: open(sockets.data) }
}
