/**
 * REST calls under `/a`: JSON in, JSON out, a bearer token asked for right before each request. A
 * 401 is answered once with a fresh token; `/a` says 401 only for the token (or to non-admins).
 */
import { isAuthError } from '../auth/errors.js'
import type { TokenSource } from '../auth/types.js'
import type { Deadline } from './deadline.js'
import { CellsError } from './errors.js'
import { restFault, sentence } from './faults.js'
import type { Http, TextReply } from './http.js'
import { noteRetryAfter, retrying } from './retry.js'
import type { CallOptions } from './server.js'

export interface RestCall extends CallOptions {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  /** Below the server's root, escaped: `/a/tree/stat/x`. */
  readonly path: string
  readonly json?: unknown
  /** Fits after "could not". */
  readonly doing: string
  readonly timeoutMs: number
  /** The end of the call, in place of `timeoutMs` and `signal`, if it is a part of something larger. */
  readonly within?: Deadline
  /** Whether it may be sent again when nobody knows if it was carried out; default true. */
  readonly idempotent?: boolean
  /** false: without a token (boot conf). */
  readonly signedIn?: boolean
  /** The answer is XML or nothing of note: returned as text. */
  readonly asText?: boolean
  readonly attempts?: number
  /** A 401 means "not for you" here, as for an ordinary user asking an administrator's call, and says nothing about the token. */
  readonly privileged?: boolean
  /** The answer is short: to pack and unpack it is more work than to send it as it is. */
  readonly short?: boolean
}

export class Rest {
  readonly http: Http
  readonly tokens: TokenSource

  constructor(http: Http, tokens: TokenSource) {
    this.http = http
    this.tokens = tokens
  }

  /** The parsed JSON of a successful answer; `{}` for an empty one. */
  async call(call: RestCall): Promise<unknown> {
    const deadline = call.within ?? this.http.deadline(call.timeoutMs, call.doing, call.signal)
    try {
      return await retrying(deadline, call.idempotent ?? true, async () => this.#once(call, deadline), { attempts: call.attempts })
    } finally {
      if (call.within === undefined) deadline.end()
    }
  }

  async #once(call: RestCall, deadline: Deadline): Promise<unknown> {
    const reply = call.signedIn === false ? await this.#exchange(call, deadline, undefined) : await this.#signedIn(call, deadline)
    const answer = { status: reply.status, contentType: reply.contentType, body: reply.body }
    if (reply.status < 200 || reply.status >= 300 || (/html/i.test(reply.contentType) && call.asText !== true)) {
      const fault = restFault(call.privileged === true && reply.status === 401 ? { ...answer, status: 403 } : answer, call.doing)
      noteRetryAfter(fault, reply.header('retry-after') || undefined)
      throw fault
    }
    if (call.asText === true) return reply.body
    if (reply.body.trim() === '') return {}
    try {
      return JSON.parse(reply.body)
    } catch (cause) {
      throw new CellsError('protocol', sentence('protocol', call.doing), { cause, status: reply.status })
    }
  }

  async #signedIn(call: RestCall, deadline: Deadline): Promise<TextReply> {
    const token = await getToken(this.tokens, deadline)
    const reply = await this.#exchange(call, deadline, token)
    if (reply.status !== 401 || call.privileged === true) return reply
    this.tokens.reject(token)
    return this.#exchange(call, deadline, await getToken(this.tokens, deadline))
  }

  #exchange(call: RestCall, deadline: Deadline, token: string | undefined): Promise<TextReply> {
    return this.http.text({
      method: call.method,
      path: call.path,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(call.json === undefined ? {} : { 'content-type': 'application/json' }),
        ...(call.short === true ? { 'accept-encoding': 'identity' } : {}),
      },
      body: call.json === undefined ? null : JSON.stringify(call.json),
      pool: 'rest',
      deadline,
    })
  }
}

/** @throws CellsError `login-needed`, or what kept the token source from asking the server */
export async function getToken(tokens: TokenSource, deadline: Deadline): Promise<string> {
  try {
    // A signal is only made if there is something to wait for.
    return await deadline.race(tokens.get({ get signal() { return deadline.signal } }))
  } catch (error) {
    if (error instanceof CellsError) throw error
    deadline.check()
    if (isAuthError(error)) throw new CellsError(error.wireKind, error.message, { status: error.status, cause: error })
    throw new CellsError('unavailable', 'could not get a token', { cause: error })
  }
}
