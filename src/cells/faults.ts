/**
 * From what came back (or did not) to a CellsError: one table for REST answers, one for S3
 * answers, one for failures of the transport.
 *
 * A status is not enough. A 2.x server says 500 where it means 403, 404 or 409, and the stat and
 * list handlers say 404 for *any* inner failure, a time-out of their index included; the text
 * inside tells (contract, section 9; newer-servers 3.9). So `not-found` needs words that mean it.
 */
import { CellsError, type CellsErrorKind } from './errors.js'
import { asString, isObject } from './node.js'

export interface Answer {
  readonly status: number
  readonly contentType: string
  readonly body: string
}

const DETAIL_LIMIT = 500

const BY_STATUS: Readonly<Record<number, CellsErrorKind>> = {
  400: 'invalid', 401: 'login-needed', 403: 'forbidden', 404: 'not-found', 405: 'invalid', 408: 'unavailable', 409: 'exists',
  411: 'invalid', 412: 'precondition', 413: 'invalid', 414: 'invalid', 415: 'invalid', 416: 'range', 422: 'invalid', 423: 'locked',
  429: 'unavailable', 507: 'quota',
}

const BY_CODE: Readonly<Record<string, CellsErrorKind>> = {
  E_UNAUTHORIZED: 'login-needed', E_FORBIDDEN: 'forbidden', E_FORBIDDEN_EDIT: 'forbidden', E_FORBIDDEN_READ: 'forbidden',
  E_NOT_FOUND: 'not-found', E_RESOURCE_LOCKED: 'locked', E_SERVICE_UNAVAILABLE: 'unavailable', E_LOGIN_FAILED: 'login-needed',
}

const GRPC_CODE: Readonly<Record<string, CellsErrorKind>> = {
  NotFound: 'not-found', PermissionDenied: 'forbidden', Unauthenticated: 'login-needed', AlreadyExists: 'exists', InvalidArgument: 'invalid',
  ResourceExhausted: 'unavailable', Unavailable: 'unavailable', DeadlineExceeded: 'unavailable', Canceled: 'unavailable',
}

/** Words in Title or Detail; the first that fits wins. */
const BY_WORDS: readonly (readonly [RegExp, CellsErrorKind])[] = [
  [/unknown field/i, 'invalid'],
  [/quota/i, 'quota'],
  [/currently locked|children\.locks|currently busy/i, 'locked'],
  [/^\s*Unauthorized:/i, 'login-needed'],
  [/Forbidden:|not (?:writeable|readable)|is not accessible|do not modify directly the root/i, 'forbidden'],
  [/deadline exceeded|request timeout|none available|connection (?:refused|error)|service unavailable/i, 'unavailable'],
  [/on top of an existing|already exists/i, 'exists'],
  // The front proxy, when no service is registered for the path (yet).
  [/page not found/i, 'unavailable'],
  [/Not Found:|could not retrieve node|\bnode not found|cannot find node|\bnot found\b|notfound/i, 'not-found'],
]

/** The error of a REST answer with status >= 300 (or a web page in place of an answer). `doing` fits after "could not". */
export function restFault(answer: Answer, doing: string): CellsError {
  const text = answer.body.slice(0, 8192)
  const page = pageFault(answer, doing)
  if (page !== undefined) return page
  const { title, detail, code } = words(text)
  const kind = restKind(answer.status, `${title}\n${detail}`, code)
  return new CellsError(kind, sentence(kind, doing), { status: answer.status, detail: (detail || title || text).slice(0, DETAIL_LIMIT) })
}

function restKind(status: number, text: string, code: string): CellsErrorKind {
  if (status === 401 || status === 423 || status === 429) return BY_STATUS[status] ?? 'unknown'
  if (code !== '' && code !== 'E_INTERNAL_SERVER_ERROR') return BY_CODE[code] ?? 'unavailable'
  const inner = innerKind(text)
  // Proof of absence needs words: the front proxy says 404 while a service restarts, and the
  // server's own handlers say it for any failure.
  if (status === 404) return inner ?? 'unavailable'
  // 5.x translates its texts, so other statuses stand by themselves.
  const byStatus = BY_STATUS[status]
  if (byStatus !== undefined) return byStatus
  return inner ?? (status >= 500 ? 'unavailable' : 'unknown')
}

function innerKind(text: string): CellsErrorKind | undefined {
  const inner = /"code"\s*:\s*(\d{3})/.exec(text)
  if (inner?.[1] !== undefined && inner[1] !== '500') return BY_STATUS[Number(inner[1])] ?? (inner[1].startsWith('5') ? 'unavailable' : undefined)
  const grpc = /code = (\w+)/.exec(text)
  if (grpc?.[1] !== undefined && grpc[1] in GRPC_CODE) return GRPC_CODE[grpc[1]]
  return BY_WORDS.find(([pattern]) => pattern.test(text))?.[1]
}

/** Title, Detail and, on 5.x, the code, which two of its versions put in different fields. */
function words(body: string): { title: string; detail: string; code: string } {
  let parsed: unknown
  try {
    parsed = JSON.parse(body)
  } catch {
    return { title: '', detail: body, code: '' }
  }
  const title = isObject(parsed) ? asString(parsed['Title']) : ''
  const detail = isObject(parsed) ? asString(parsed['Detail']) : ''
  const code = [title, detail].find((text) => /^E_[A-Z_]+$/.test(text)) ?? ''
  return { title: title === code ? '' : title, detail: detail === code ? '' : detail, code }
}

/** S3 error codes that mean one thing. The rest (InternalError, AccessDenied ...) is decided by asking REST (objects.ts). */
const BY_S3_CODE: Readonly<Record<string, CellsErrorKind>> = {
  NoSuchKey: 'not-found', NoSuchBucket: 'not-cells', InvalidRange: 'range', PreconditionFailed: 'precondition', InvalidDigest: 'invalid',
  BadDigest: 'protocol', EntityTooLarge: 'invalid', KeyTooLongError: 'invalid', RequestTimeTooSkewed: 'invalid',
  SignatureDoesNotMatch: 'login-needed', SlowDown: 'unavailable', QuotaExceeded: 'quota', XMinioAdminBucketQuotaExceeded: 'quota',
  XMinioBackendDown: 'unavailable', AccessDenied: 'forbidden', InternalError: 'unavailable', IncompleteBody: 'protocol',
  EntityTooSmall: 'invalid', InvalidPart: 'invalid', NoSuchUpload: 'not-found', MalformedXML: 'invalid', NotImplemented: 'invalid',
}

export function s3Fault(answer: Answer, doing: string): CellsError {
  const page = pageFault(answer, doing)
  if (page !== undefined) return page
  const code = /<Code>([A-Za-z0-9]+)<\/Code>/.exec(answer.body)?.[1] ?? ''
  const kind = BY_S3_CODE[code] ?? (/quota/i.test(code) ? 'quota' : BY_STATUS[answer.status] ?? (answer.status >= 500 ? 'unavailable' : 'unknown'))
  const message = code === 'RequestTimeTooSkewed' ? `could not ${doing}: the clock of this machine and the server's differ too much` : sentence(kind, doing)
  return new CellsError(kind, message, { status: answer.status, detail: (code || answer.body).slice(0, DETAIL_LIMIT) })
}

/** A web page is not an answer (contract, trap 19), except that of a gateway whose server is away. */
function pageFault(answer: Answer, doing: string): CellsError | undefined {
  const html = /html/i.test(answer.contentType) || /^\s*<(?:!doctype|html)/i.test(answer.body.slice(0, 200))
  if (answer.status >= 500) return undefined
  if (html) return new CellsError('not-cells', `could not ${doing}: the address answers with a web page, not as a Cells server`, { status: answer.status })
  if (answer.status >= 300 && answer.status < 400 && answer.status !== 304) {
    return new CellsError('not-cells', `could not ${doing}: the address redirects to another one; use that address`, { status: answer.status })
  }
  return undefined
}

const SENTENCES: Readonly<Record<CellsErrorKind, string>> = {
  'not-found': 'it does not exist',
  forbidden: 'you have no right to',
  'login-needed': 'the sign-in has ended, sign in again',
  exists: 'something of that name exists',
  locked: 'it is locked by a running job',
  invalid: 'the server refuses the request',
  quota: 'the quota is used up',
  range: 'the range lies outside the file',
  precondition: 'the file has changed on the server',
  unavailable: 'the server cannot answer now',
  network: 'the server cannot be reached',
  timeout: 'the server did not answer in time',
  tls: 'the TLS connection failed',
  'not-cells': 'the address does not answer as a Cells server',
  protocol: 'the answer of the server is damaged',
  job: 'the job on the server failed',
  aborted: 'it was stopped',
  unknown: 'the server gave an unexpected answer',
}

export function sentence(kind: CellsErrorKind, doing: string): string {
  return `could not ${doing}: ${SENTENCES[kind]}`
}

const TLS_CODE = /^(?:CERT_|ERR_TLS_|ERR_SSL_|UNABLE_TO_(?:GET_ISSUER|VERIFY_LEAF|DECRYPT|DECODE|GET_CRL)|DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED_CERT|HOSTNAME_MISMATCH|INVALID_CA|PATH_LENGTH_EXCEEDED|INVALID_PURPOSE|EPROTO$)/

const NETWORK_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EHOSTUNREACH', 'ENETUNREACH', 'ENETDOWN', 'EHOSTDOWN',
  'EADDRNOTAVAIL', 'ETIMEDOUT', 'UND_ERR_SOCKET', 'UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_DESTROYED', 'UND_ERR_CLOSED',
])

/** The error of a request that got no (whole) answer. */
export function transportFault(error: unknown, doing: string): CellsError {
  if (error instanceof CellsError) return error
  const codes = chainOfCodes(error)
  const make = (kind: CellsErrorKind): CellsError => new CellsError(kind, sentence(kind, doing), { cause: error, detail: codes.join(' ') })
  if (codes.some((code) => TLS_CODE.test(code))) {
    return new CellsError('tls', `could not ${doing}: the server's certificate or TLS is not accepted (${codes.find((code) => TLS_CODE.test(code)) ?? ''})`, { cause: error })
  }
  if (codes.some((code) => code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT')) return make('timeout')
  if (codes.some((code) => NETWORK_CODES.has(code))) return make('network')
  if (codes.some((code) => code.startsWith('HPE_') || code.startsWith('UND_ERR_RES') || code === 'UND_ERR_HEADERS_OVERFLOW')) return make('protocol')
  return make('unknown')
}

function chainOfCodes(error: unknown, depth = 0): string[] {
  if (depth > 4 || typeof error !== 'object' || error === null) return []
  const { code, cause, errors } = error as { code?: unknown; cause?: unknown; errors?: unknown }
  const inner = Array.isArray(errors) ? errors.flatMap((each) => chainOfCodes(each, depth + 1)) : []
  return [...(typeof code === 'string' ? [code] : []), ...inner, ...chainOfCodes(cause, depth + 1)]
}
