/**
 * From a flag of `cec meta set` to the value that goes into a namespace (cec-reference 8.2): which flag a type wants, what it
 * accepts, how it is stored. Everything but `json` is stored as a JSON string, numbers and booleans too.
 */
import type { Namespace } from '../cells/usermeta.js'
import { textOf } from './argv.js'
import { CommandError } from './errors.js'
import type { CecArgv } from './options.js'

const FLAG_OF: Readonly<Record<string, string>> = {
  textarea: 'string-value', string: 'string-value', choice: 'string-value', tags: 'string-value', date: 'string-value', css_label: 'string-value',
  json: 'json-value', integer: 'numeric-value', stars_rate: 'numeric-value', boolean: 'boolean-value',
}

const MOST_STARS = 5

/** JSON text of the empty value, which stands for "deleted". */
export const EMPTY = '""'

/** The JSON text to store for an update. @throws CommandError */
export function valueFor(namespace: Namespace, argv: CecArgv): string {
  const flag = Object.hasOwn(FLAG_OF, namespace.type) ? FLAG_OF[namespace.type] : undefined
  if (flag === undefined) throw new CommandError(`${namespace.name} has the type "${namespace.type}", which cannot be set here`)
  if (argv[flag] === undefined) throw new CommandError(`${namespace.name} has the type ${namespace.type}: please give --${flag}`)
  const text = textOf(argv, flag)
  switch (namespace.type) {
    case 'choice': return JSON.stringify(choice(namespace, text))
    case 'date': return JSON.stringify(String(dateSeconds(text)))
    case 'json': return checkedJson(text)
    case 'integer': return JSON.stringify(String(wholeNumber(argv[flag])))
    case 'stars_rate': return JSON.stringify(String(stars(wholeNumber(argv[flag]))))
    case 'boolean': return JSON.stringify(String(argv[flag] === true))
    default: return JSON.stringify(text)
  }
}

/** Keys that a choice accepts; [] when its definition names none. `data` is a list of items, before 4.x the text `key|Label,key|Label`. */
export function choiceKeys(data: unknown): string[] {
  if (typeof data === 'string') return data.split(',').map((item) => (item.split('|')[0] ?? '').trim()).filter((key) => key !== '')
  const items: unknown = typeof data === 'object' && data !== null ? (data as { items?: unknown }).items : undefined
  if (!Array.isArray(items)) return []
  return items.map((item: unknown) => (typeof item === 'object' && item !== null ? (item as { key?: unknown }).key : undefined)).filter((key) => typeof key === 'string')
}

function choice(namespace: Namespace, text: string): string {
  const keys = choiceKeys(namespace.data)
  if (keys.length > 0 && !keys.includes(text)) throw new CommandError(`"${text}" is no choice of ${namespace.name}; use one of ${keys.join(', ')}`)
  return text
}

/** `YYYY-MM-DD HH:MM:SS` in UTC as seconds since the epoch. */
function dateSeconds(text: string): number {
  const ms = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/.test(text) ? Date.parse(`${text.replace(' ', 'T')}Z`) : NaN
  // Date.parse takes 31 February for 3 March.
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 19).replace('T', ' ') !== text) throw new CommandError(`"${text}" is no date; write it as 2026-01-31 12:00:00 (UTC)`)
  return ms / 1000
}

function checkedJson(text: string): string {
  try {
    JSON.parse(text)
    return text
  } catch {
    throw new CommandError('the value of --json-value is not valid JSON')
  }
}

function wholeNumber(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw new CommandError('--numeric-value needs a whole number')
  return value
}

function stars(count: number): number {
  if (count < 0 || count > MOST_STARS) throw new CommandError(`a rating has 0 to ${MOST_STARS} stars, not ${count}`)
  return count
}

/**
 * The comma-separated tags of a node with one more, or without one.
 *
 * @param stored JSON text of the value that is there, undefined when there is none
 * @returns JSON text; undefined when nothing would change
 */
export function withTag(stored: string | undefined, tag: string, operation: 'update' | 'delete'): string | undefined {
  const name = tag.trim()
  if (name === '' || name.includes(',')) throw new CommandError('please give one tag with --string-value, without a comma')
  const tags = tagsOf(stored)
  const next = operation === 'update' ? [...tags, ...(tags.includes(name) ? [] : [name])] : tags.filter((each) => each !== name)
  return next.length === tags.length ? undefined : JSON.stringify(next.join(','))
}

function tagsOf(stored: string | undefined): string[] {
  if (stored === undefined) return []
  let value: unknown
  try {
    value = JSON.parse(stored)
  } catch {
    value = stored
  }
  return typeof value === 'string' ? value.split(',').map((tag) => tag.trim()).filter((tag) => tag !== '') : []
}
