/**
 * HTTP_PROXY, HTTPS_PROXY and NO_PROXY (and lower-case), as other programs read them. A server on
 * this very machine is never asked for through a proxy.
 */

/** 127.0.0.0/8, as URL writes every spelling of it. The dots alone would let a name like 127.example.com in. */
const LOOPBACK = /^127(\.\d{1,3}){3}$/

type Env = Readonly<Record<string, string | undefined>>

/** Address of the proxy for `url`, or undefined. */
export function proxyFor(url: URL, env: Env = process.env): string | undefined {
  const host = url.hostname.toLowerCase()
  if (host === 'localhost' || host.endsWith('.localhost') || host === '[::1]' || LOOPBACK.test(host)) return undefined
  const http = env['http_proxy'] || env['HTTP_PROXY']
  const proxy = url.protocol === 'https:' || url.protocol === 'wss:' ? env['https_proxy'] || env['HTTPS_PROXY'] || http : http
  if (!proxy) return undefined
  const port = url.port || (url.protocol === 'https:' || url.protocol === 'wss:' ? '443' : '80')
  const exempt = (env['no_proxy'] || env['NO_PROXY'] || '').split(/[,\s]+/).filter((entry) => entry !== '')
  return exempt.some((entry) => exempts(entry.toLowerCase(), host, port)) ? undefined : proxy
}

export function usesProxy(url: URL, env: Env = process.env): boolean {
  return proxyFor(url, env) !== undefined
}

function exempts(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true
  const [, name = entry, only] = /^(.*?)(?::(\d+))?$/.exec(entry) ?? []
  if (only !== undefined && only !== port) return false
  const bare = name.replace(/^\*?\./, '')
  return host === bare || host.endsWith(`.${bare}`)
}
