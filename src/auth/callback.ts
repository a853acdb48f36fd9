/**
 * The small web server that the browser comes back to. It listens on the loopback addresses only, answers the registered
 * path only, takes one answer, and ends after a while (cec-reference 3.2, wanted).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AuthError } from './errors.js'

export interface Callback {
  /** The whole address the browser came back with. */
  readonly answer: Promise<string>
  readonly port: number
  close(): void
}

/** Both: a browser may resolve `localhost` to either. */
const LOOPBACK = ['127.0.0.1', '::1'] as const

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, exclusive: true }, () => {
      server.off('error', reject)
      resolve((server.address() as AddressInfo).port)
    })
  })
}

const page = (title: string, text: string): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${title}</title>
<style>body{font-family:system-ui,sans-serif;max-width:32rem;margin:20vh auto;text-align:center;color:#333}</style></head>
<body><h1>${title}</h1><p>${text}</p></body></html>
`

function answerWith(response: ServerResponse, status: number, title: string, text: string): void {
  response.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
    'x-content-type-options': 'nosniff',
    connection: 'close',
  })
  response.end(page(title, text))
}

/**
 * Starts listening.
 *
 * @param redirectUri decides port and path
 * @param state what the answer must carry; another one ends the sign-in
 * @param options.port replaces the port of redirectUri, for tests
 * @returns undefined when the port is taken on either address
 */
export async function listenForCallback(redirectUri: string, state: string, options: { timeoutMs: number; port?: number }): Promise<Callback | undefined> {
  const expected = new URL(redirectUri)
  const servers: Server[] = []
  const close = (): void => {
    clearTimeout(timer)
    for (const server of servers) {
      server.close()
      // A browser keeps its connection open; the page is out by now.
      setImmediate(() => server.closeIdleConnections())
    }
  }
  let settle: { resolve: (answer: string) => void; reject: (error: AuthError) => void } | undefined
  const answer = new Promise<string>((resolve, reject) => { settle = { resolve, reject } })
  // The caller may fail before it waits.
  answer.catch(() => {})
  const timer = setTimeout(() => {
    settle?.reject(new AuthError('timeout', `nobody signed in within ${Math.round(options.timeoutMs / 60_000)} minutes; start again`))
  }, options.timeoutMs)

  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const url = new URL(request.url ?? '/', expected)
    if (request.method !== 'GET' || url.pathname !== expected.pathname) {
      answerWith(response, 404, 'Not here', 'This address only takes the answer of a sign-in.')
      return
    }
    const good = url.searchParams.get('state') === state
    if (!good) answerWith(response, 400, 'Sign-in refused', 'This answer does not belong to the sign-in that is under way. Go back to your terminal.')
    else if (url.searchParams.has('error')) answerWith(response, 400, 'Sign-in refused', 'The server has refused the sign-in. Go back to your terminal.')
    else answerWith(response, 200, 'Back to your terminal', 'The answer of the server has been handed over. You can close this page.')
    // The page first: whoever waits for the answer closes the server.
    response.once('finish', () => settle?.resolve(url.href))
  }

  let port = options.port ?? Number(expected.port)
  for (const host of LOOPBACK) {
    const server = createServer({ requestTimeout: 10_000, headersTimeout: 10_000 }, onRequest)
    try {
      port = await listen(server, host, port)
      servers.push(server)
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      // A machine without IPv6 has no ::1; the other address is enough.
      if (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT') continue
      close()
      if (code === 'EADDRINUSE' || code === 'EACCES') return undefined
      throw new AuthError('network', `cannot listen on port ${port}: ${(error as Error).message}`, { cause: error })
    }
  }
  if (servers.length === 0) {
    close()
    return undefined
  }
  return { answer, port, close }
}
