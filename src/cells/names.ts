/**
 * Which names a Cells server can hold, and which names of a server we believe.
 *
 * Both directions matter. A name that the server loses, or never answers about (contract,
 * traps 9-11, newer-servers 2 #10), is refused before anything is sent. A name *from* the
 * server is untrusted input: one that would change the meaning of a path is dropped.
 */
import { CellsError } from './errors.js'

/** File-system datasources and the index both stop here (contract, section 2). */
export const MAX_NAME_BYTES = 255
/** Keys of 832 bytes worked, 1033 did not; the limit of about 1024 includes an internal prefix. */
export const MAX_PATH_BYTES = 1000
/** Name of the server's marker file in each folder. */
export const MARKER = '.pydio'
/** Name of the bin at the root of each workspace. */
export const RECYCLE_BIN = 'recycle_bin'

export interface NameRules {
  /** The server's database keeps 4-byte UTF-8 (features.ts); default false. */
  readonly fourByte?: boolean
}

const CONTROL = /[\u0000-\u001f\u007f]/
const LONE_SURROGATE = /\p{Cs}/u
const FOUR_BYTE = /[\u{10000}-\u{10ffff}]/u

/** The sentence that says why the server cannot hold this name, or undefined when it can. */
export function nameProblem(name: string, rules: NameRules = {}): string | undefined {
  if (name === '') return 'the name is empty'
  if (name === '.' || name === '..') return `"${name}" is not a name`
  if (name.includes('/')) return 'a name cannot contain "/"'
  if (name.includes('\\')) return 'the server cannot hold a name with a backslash'
  // Tab works on the recorded server, but no other control character was tried and \n breaks it.
  if (CONTROL.test(name.replaceAll('\t', ''))) return 'the server cannot hold a name with a control character'
  if (LONE_SURROGATE.test(name)) return 'the name is not valid Unicode'
  const normalised = name.normalize('NFC')
  if (normalised.toLowerCase().endsWith(MARKER)) return `names that end in "${MARKER}" belong to the server`
  if (FOUR_BYTE.test(normalised) && rules.fourByte !== true) return 'this server loses names with 4-byte characters (emoji)'
  if (Buffer.byteLength(normalised) > MAX_NAME_BYTES) return `the name is longer than ${MAX_NAME_BYTES} bytes`
  return undefined
}

/** Whether a name needs the answer to {@link NameRules.fourByte}. */
export function hasFourByte(name: string): boolean {
  return FOUR_BYTE.test(name)
}

/**
 * `<workspace>/a/b` in the form that goes onto the wire: NFC, without slashes at either end.
 *
 * @throws CellsError `invalid` for a path the server cannot hold
 */
export function checkPath(path: string, rules: NameRules = {}): string {
  const clean = trimSlashes(path).normalize('NFC')
  if (clean === '') return ''
  for (const name of clean.split('/')) {
    const problem = nameProblem(name, rules)
    if (problem !== undefined) throw new CellsError('invalid', `${JSON.stringify(clean)}: ${problem}`)
  }
  if (Buffer.byteLength(clean) > MAX_PATH_BYTES) throw new CellsError('invalid', `the path is longer than ${MAX_PATH_BYTES} bytes: ${JSON.stringify(clean.slice(0, 80))}...`)
  return clean
}

/**
 * For reading and deleting: a name that the server did manage to store must stay reachable, so only
 * what changes the meaning of the path, or hangs the server, is refused.
 *
 * @throws CellsError `invalid`
 */
export function checkExistingPath(path: string): string {
  const clean = trimSlashes(path).normalize('NFC')
  if (clean === '') return ''
  for (const name of clean.split('/')) {
    const problem = unsafeServerName(name) ?? (name.includes('\\') || name.includes('\n') ? 'the server never answers for such a name' : undefined)
    if (problem !== undefined) throw new CellsError('invalid', `${JSON.stringify(clean)}: ${problem}`)
  }
  return clean
}

/** Why a name from a server's answer must not be used, or undefined. */
export function unsafeServerName(name: string): string | undefined {
  if (name === '') return 'empty name'
  if (name === '.' || name === '..') return 'dot name'
  if (name.includes('/')) return 'slash in a name'
  if (name.includes('\0')) return 'NUL in a name'
  if (LONE_SURROGATE.test(name)) return 'not valid Unicode'
  if (Buffer.byteLength(name) > 4 * MAX_NAME_BYTES) return 'name too long'
  return undefined
}

/** A path from a server's answer in our form, or undefined when it is not to be trusted. */
export function pathFromServer(raw: unknown): string | undefined {
  if (typeof raw !== 'string' || raw.length > 16_384) return undefined
  const path = trimSlashes(raw).normalize('NFC')
  if (path === '') return undefined
  return path.split('/').every((name) => unsafeServerName(name) === undefined) ? path : undefined
}

/** '' for a first-level path. */
export function parentOf(path: string): string {
  const cut = path.lastIndexOf('/')
  return cut < 0 ? '' : path.slice(0, cut)
}

export function baseOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** First segment: the workspace. */
export function workspaceOf(path: string): string {
  const cut = path.indexOf('/')
  return cut < 0 ? path : path.slice(0, cut)
}

/** Whether `path` is `ancestor` or lies below it. */
export function isWithin(path: string, ancestor: string): boolean {
  return ancestor === '' || path === ancestor || path.startsWith(`${ancestor}/`)
}

/** For a URL: every segment escaped by itself (a raw `//` or `..` gets a broken redirect, contract section 2). */
export function escapePath(path: string): string {
  return path.split('/').map(escapeSegment).join('/')
}

/** RFC 3986 escaping, as SigV4 wants it: encodeURIComponent leaves `!'()*` alone. */
export function escapeSegment(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

function trimSlashes(path: string): string {
  let start = 0
  let end = path.length
  while (start < end && path[start] === '/') start++
  while (end > start && path[end - 1] === '/') end--
  return path.slice(start, end)
}
