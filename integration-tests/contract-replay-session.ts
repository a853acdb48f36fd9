/**
 * Replays one recording against one server. A recording is a sequence with state: what it needed from
 * outside is set up first (contract-replay-steps.ts), placeholders and ids are filled in from what our server
 * has answered, and where the recorder waited, we wait for the condition it waited for. An exchange
 * that only reads is repeated until it matches or its time is over: the recorder's clock is not ours.
 */
import { randomBytes } from 'node:crypto'
import { effectsOf, encodePath, isRead, isS3, parse, type Effect, type StatNode } from './contract-replay-effects.js'
import { differences, md5, Twins, type RecordedResponse } from './contract-replay-compare.js'
import { presign, send, signChunks, signHeaders, type SigningKey, type WireAnswer, type WireRequest } from './contract-replay-wire.js'

export interface RecordedRequest {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
}

export interface RecordedItem {
  readonly name: string
  readonly request?: RecordedRequest
  readonly response?: RecordedResponse
}

/** What a recording does not say about one of its items. */
export interface Step {
  /** Files to put (path below the base -> text) and folders to make (path with a trailing slash) before the item, and wait for. */
  readonly setup?: Readonly<Record<string, string>>
  /** Anything else to do first. */
  readonly before?: (session: ReplaySession) => Promise<void> | void
  readonly signing?: Partial<SigningKey> & { readonly skewMs?: number }
  /** Placeholder whose value is the S3 access key. */
  readonly signAs?: string
  /** Placeholders that mean an earlier value: -2 is the one before the latest. */
  readonly use?: Readonly<Record<string, number>>
  readonly presigned?: 'token' | 'gateway, token after' | 'gateway, token signed'
  /** The body that the recording holds only as a digest. */
  readonly body?: Buffer
  /** In place of the recorded headers of the same names; placeholders are filled in. */
  readonly headers?: Readonly<Record<string, string>>
  /** Body in aws-chunked coding with a signature per chunk. */
  readonly chunks?: readonly Buffer[]
}

const READ_DEADLINE_MS = 8_000
const SETTLE_DEADLINE_MS = 10_000
/** How long "no reply" is watched for; the recorder gave up after 12 s. */
const NO_REPLY_MS = 1_500
const POLL_MS = 60

export interface SessionOptions {
  readonly url: string
  readonly login: string
  readonly password: string
  /** Folder that the recording works in, `personal-files/t2-...`. */
  readonly base: string
}

export class ReplaySession {
  readonly twins = new Twins()
  /** Values of placeholders by name, without the angle brackets. */
  readonly vars = new Map<string, string>()
  /** Every value that a placeholder has had, oldest first: recordings use earlier ones again. */
  readonly history = new Map<string, string[]>()
  /** Content made up for bodies that the recording holds only as a digest, by that digest. */
  readonly contents = new Map<string, Buffer>()
  readonly options: SessionOptions
  #pending: Array<() => Promise<boolean>> = []

  constructor(options: SessionOptions) {
    this.options = options
    this.vars.set('CODE_VERIFIER', 'M25iVXpKU3puUjFaYWg3T1NDTDQtcW1ROUY5YXlwalNoc0hhakxifmZHag')
  }

  set(name: string, value: string): void {
    this.vars.set(name, value)
    this.history.set(name, [...this.history.get(name) ?? [], value])
  }

  /** Signs in through the front session and makes the token `name`'s value. */
  async signIn(name = 'TOKEN', login = this.options.login, password = this.options.password): Promise<void> {
    const answer = await this.send({
      method: 'POST', path: '/a/frontend/session', headers: { 'content-type': 'application/json' },
      body: Buffer.from(JSON.stringify({ AuthInfo: { type: 'credentials', login, password } })),
    })
    const body = JSON.parse(answer.body.toString()) as { JWT?: string }
    if (body.JWT === undefined) throw new Error(`sign-in as ${login} failed: ${answer.status} ${answer.body.toString()}`)
    this.set(name, body.JWT)
    this.#keepCookie(answer)
  }

  /** Opens a login challenge of the OIDC flow. */
  async authorize(): Promise<void> {
    const query = new URLSearchParams({
      client_id: 'cells-client', response_type: 'code', state: 'abcdefgh12345678', redirect_uri: 'http://localhost:3000/servers/callback', scope: 'openid email profile pydio offline',
    })
    const answer = await this.send({ method: 'GET', path: `/oidc/oauth2/auth?${query.toString()}`, headers: {} })
    this.set('LOGIN_CHALLENGE', /login_challenge=([0-9a-f]+)/.exec(answer.headers.location ?? '')?.[1] ?? '')
  }

  /** Answers the open challenge, which gives a code. */
  async answerChallenge(): Promise<void> {
    const { login, password } = this.options
    const answer = await this.json('POST', '/a/frontend/session', { AuthInfo: { type: 'credentials', login, password, challenge: this.vars.get('LOGIN_CHALLENGE') } })
    this.set('CODE', /[?&]code=([^&"]+)/.exec(answer.body.toString())?.[1] ?? '')
  }

  /** Learns which of our ids stands for a recorded one that no answer has named before it is used. */
  async learn(path: string, recorded: string, pick: (body: Record<string, unknown>) => unknown): Promise<void> {
    const answer = await this.json('GET', path)
    const ours = pick(parse(answer.body.toString()))
    if (typeof ours === 'string') this.twins.set(recorded, ours)
  }

  /** Runs one item; undefined: not an exchange. Otherwise what differs. */
  async play(item: RecordedItem, step: Step = {}): Promise<string[] | undefined> {
    if (step.setup !== undefined) await this.setUp(step.setup)
    await step.before?.(this)
    if (item.request === undefined || item.response === undefined) {
      // The recorder measured something: until it had happened, it went no further.
      await this.settle()
      return undefined
    }
    const { response } = item
    const later = new Map(this.vars)
    for (const [placeholder, index] of Object.entries(step.use ?? {})) this.vars.set(placeholder, this.history.get(placeholder)?.at(index) ?? '')
    const deadline = Date.now() + (isRead(item.request) ? READ_DEADLINE_MS : 0)
    for (;;) {
      const request = this.#prepare(item.name, item.request, step)
      const answer = await this.send(request, typeof response.status === 'string' ? NO_REPLY_MS : 20_000)
      const twins = this.twins.fork()
      const found = differences(response, answer, twins)
      if (found.length === 0) this.twins.learnFrom(twins)
      if (found.length === 0 || Date.now() >= deadline) {
        for (const placeholder of Object.keys(step.use ?? {})) this.vars.set(placeholder, later.get(placeholder) ?? '')
        this.#capture(item.request, request, answer)
        return found
      }
      await pause()
    }
  }

  send(request: WireRequest, timeoutMs = 20_000): Promise<WireAnswer> {
    return send(this.options.url, request, timeoutMs)
  }

  /** Waits until what was started has become visible, as far as it ever does (some recorded mutations never do). */
  async settle(): Promise<void> {
    const deadline = Date.now() + SETTLE_DEADLINE_MS
    while (this.#pending.length > 0 && Date.now() < deadline) {
      const done = await Promise.all(this.#pending.map((check) => check()))
      this.#pending = this.#pending.filter((_, i) => !done[i])
      if (this.#pending.length > 0) await pause()
    }
    this.#pending = []
  }

  /** Stores `text` through S3 and returns when the server has answered. */
  async putObject(path: string, text: string): Promise<void> {
    const body = Buffer.from(text)
    this.twins.set(md5(body), md5(body))
    const request = { method: 'PUT', path: `/io/${encodePath(path)}`, headers: {}, body }
    const answer = await this.send({ ...request, headers: this.#sign(request) })
    if (answer.status !== 200) throw new Error(`PUT of ${path}: ${answer.status} ${answer.body.toString()}`)
  }

  removeObject(path: string): Promise<WireAnswer> {
    const request = { method: 'DELETE', path: `/io/${encodePath(path)}`, headers: {} }
    return this.send({ ...request, headers: this.#sign(request) })
  }

  async setUp(files: Readonly<Record<string, string>>): Promise<void> {
    await this.settle()
    for (const [name, text] of Object.entries(files)) {
      const path = name.includes('-files/') ? name : `${this.options.base}/${name}`
      if (path.endsWith('/')) {
        await this.json('POST', '/a/tree/create', { Nodes: [{ Path: path.slice(0, -1), Type: 'COLLECTION' }] })
        this.#expect({ path: path.slice(0, -1), wanted: (node) => node !== undefined })
      } else {
        await this.putObject(path, text)
        this.#expect({ path, wanted: (node) => node?.Etag === md5(text) })
      }
    }
    await this.settle()
  }

  #prepare(name: string, recorded: RecordedRequest, step: Step): WireRequest {
    const body = this.#body(recorded, step)
    const headers: Record<string, string> = {}
    for (const [key, value] of Object.entries({ ...recorded.headers, ...step.headers })) {
      if (!/SigV4\(|^null$/.test(String(value))) headers[key.toLowerCase()] = this.#fill(String(value))
    }
    const json = typeof recorded.body === 'object' && recorded.body !== null
    if (json && recorded.path.startsWith('/a/') && headers['content-type'] === undefined) headers['content-type'] = 'application/json'
    let path = this.#fill(recorded.path)
    if (step.presigned !== undefined) path = this.#presign(recorded, step.presigned)
    const request: WireRequest = { method: recorded.method, path, headers, ...(body === undefined ? {} : { body }) }
    if (body !== undefined && headers['transfer-encoding'] === undefined) headers['content-length'] ??= String(body.length)
    if (!isS3(recorded) || step.presigned !== undefined || path.includes('pydio_jwt=')) return request
    // A bearer header stands for a signature, unless the recorder signed as well.
    const signed = String(recorded.headers?.['authorization'] ?? '').includes('SigV4(')
    const bearer = Object.keys(headers).some((key) => key === 'x-pydio-bearer' || key === 'authorization')
    if (bearer && !signed) return request
    const token = step.signAs ?? (name.startsWith('user2') ? 'TOKEN_USER2' : 'TOKEN')
    const key = this.#key({ accessKey: headers['x-pydio-bearer'] === undefined ? this.vars.get(token) ?? '' : 'gateway', ...step.signing })
    if (step.chunks === undefined) return { ...request, headers: signHeaders(this.options.url, request, key) }
    const length = signChunks('', step.chunks, key).length
    const withLength = signHeaders(this.options.url, { ...request, headers: { ...headers, 'content-length': String(length) } }, key)
    return { ...request, headers: withLength, body: signChunks(withLength['authorization'] ?? '', step.chunks, key) }
  }

  #key(signing: Step['signing'] = {}): SigningKey {
    return {
      accessKey: signing.accessKey ?? this.vars.get('TOKEN') ?? '', secret: signing.secret ?? 'gatewaysecret', region: signing.region ?? 'us-east-1',
      at: new Date(Date.now() + (signing.skewMs ?? 0)),
    }
  }

  #sign(request: WireRequest): Record<string, string> {
    return signHeaders(this.options.url, request, this.#key())
  }

  #presign(recorded: RecordedRequest, how: NonNullable<Step['presigned']>): string {
    const plain = recorded.path.split('?')[0]!
    const token = `pydio_jwt=${this.vars.get('TOKEN')}`
    if (how === 'token') return presign(this.options.url, recorded.method, plain, this.#key())
    const key = this.#key({ accessKey: 'gateway' })
    if (how === 'gateway, token after') return `${presign(this.options.url, recorded.method, plain, key)}&${token}`
    return presign(this.options.url, recorded.method, `${plain}?${token}`, key)
  }

  #body(recorded: RecordedRequest, step: Step): Buffer | undefined {
    const { body } = recorded
    if (step.body !== undefined) {
      const digest = (body as { md5?: unknown } | null)?.md5
      if (typeof digest === 'string') this.#stands(digest, step.body)
      return step.body
    }
    if (body === null || body === undefined) return recorded.headers?.['transfer-encoding'] === undefined ? undefined : Buffer.from('x')
    if (typeof body === 'string') return Buffer.from(this.#fill(body))
    const blob = body as { length?: unknown; md5?: unknown }
    if (typeof blob.length !== 'number' || typeof blob.md5 !== 'string') return Buffer.from(this.#fill(JSON.stringify(body)))
    const content = this.contents.get(blob.md5) ?? randomBytes(blob.length)
    this.#stands(blob.md5, content)
    return content
  }

  /** `content` is what the recording knows by `digest`. */
  #stands(digest: string, content: Buffer): void {
    this.contents.set(digest, content)
    this.twins.set(digest, md5(content))
  }

  #fill(text: string): string {
    return this.twins.translate(text.replace(/<([A-Z_0-9]+)>/g, (whole, name: string) => this.vars.get(name) ?? whole))
  }

  /** Learns placeholders from an answer, and what the request will change. */
  #capture(recorded: RecordedRequest, sent: WireRequest, answer: WireAnswer): void {
    const text = answer.body.toString('utf8')
    this.#keepCookie(answer)
    const challenge = /login_challenge=([0-9a-f]+)/.exec(answer.headers.location ?? '')?.[1]
    if (challenge !== undefined) this.set('LOGIN_CHALLENGE', challenge)
    if (answer.headers['last-modified'] !== undefined) this.set('LAST_MODIFIED', answer.headers['last-modified'])
    if (answer.status === 200 && text.startsWith('{')) {
      const body = JSON.parse(text) as Record<string, unknown>
      for (const [field, name] of [['JWT', 'TOKEN'], ['access_token', 'ACCESS_TOKEN'], ['refresh_token', 'REFRESH_TOKEN'], ['id_token', 'ID_TOKEN'], ['SelectionUUID', 'SELECTION']] as const) {
        if (typeof body[field] === 'string') this.set(name, body[field])
      }
      const code = /[?&]code=([^&]+)/.exec(typeof body['RedirectTo'] === 'string' ? body['RedirectTo'] : '')?.[1]
      if (code !== undefined) this.set('CODE', code)
    }
    if (answer.status >= 300 || answer.status === 0) return
    if (isS3(recorded) && sent.body !== undefined) this.twins.set(md5(sent.body), md5(sent.body))
    for (const effect of effectsOf(recorded.path, sent)) this.#expect(effect)
  }

  #keepCookie(answer: WireAnswer): void {
    const cookie = /^pydio=([^;]+)/.exec(answer.headers['set-cookie']?.find((each) => each.startsWith('pydio=')) ?? '')?.[1]
    if (cookie !== undefined) this.set('COOKIE', cookie)
  }

  /** Remembers that `path` is on its way to looking as `wanted`; `settle` waits for it. */
  #expect({ path, wanted }: Effect): void {
    this.#pending.push(async () => wanted(await this.stat(path)))
  }

  /** The node at `path`; undefined when there is none; an error that is neither is tried again by whoever waits. */
  async stat(path: string): Promise<StatNode | undefined> {
    const answer = await this.json('GET', `/a/tree/stat/${encodePath(path)}`)
    if (answer.status === 404) return undefined
    return parse(answer.body.toString('utf8'))['Node'] ?? { Etag: 'temporary' }
  }

  /** A call of our own, with the current token. */
  json(method: string, path: string, body?: unknown, more: Readonly<Record<string, string>> = {}): Promise<WireAnswer> {
    const headers: Record<string, string> = { authorization: `Bearer ${this.vars.get('TOKEN')}`, ...more }
    if (body === undefined) return this.send({ method, path, headers })
    const bytes = Buffer.from(JSON.stringify(body))
    return this.send({ method, path, headers: { ...headers, 'content-type': 'application/json', 'content-length': String(bytes.length) }, body: bytes })
  }
}

const pause = (): Promise<void> => new Promise((resolve) => { setTimeout(resolve, POLL_MS) })
