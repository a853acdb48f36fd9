/**
 * The types of docs/json.md as data, and whether a document is of one. The grammar is the small part of TypeScript's that the page
 * explains: names, literals, lists, unions, objects with fields that may be missing, `{ [string]: T }`, `time` and `any`.
 */
export type JsonType =
  | { readonly kind: 'basic'; readonly name: 'string' | 'number' | 'boolean' | 'null' | 'time' | 'any' }
  | { readonly kind: 'literal'; readonly value: string | boolean }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'list'; readonly of: JsonType }
  | { readonly kind: 'union'; readonly of: readonly JsonType[] }
  | { readonly kind: 'map'; readonly of: JsonType }
  | { readonly kind: 'object'; readonly fields: ReadonlyMap<string, { readonly type: JsonType; readonly optional: boolean }> }

export interface Output {
  readonly type: JsonType
  /** One document on each line. */
  readonly lines: boolean
}

export interface JsonPage {
  readonly types: ReadonlyMap<string, JsonType>
  /** By the words of the command, without `cec`; those of cellsfs with their program. */
  readonly commands: ReadonlyMap<string, Output>
}

const BASIC: ReadonlySet<string> = new Set(['string', 'number', 'boolean', 'null', 'time', 'any'])
const TOKEN = /\s*(?:\/\/[^\n]*\s*)*(?:([A-Za-z][\w-]*)|"([^"]*)"|(\.\.\.|[{}[\]()|:?=,]))/y

interface Token {
  readonly text: string
  readonly kind: 'word' | 'text' | 'sign'
}

function tokensOf(block: string): Token[] {
  const text = block.replace(/\/\/[^\n]*/g, '').trimEnd()
  const tokens: Token[] = []
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex
    const match = TOKEN.exec(text)
    if (match === null) throw new Error(`docs/json.md: cannot be read: ${JSON.stringify(text.slice(at, at + 40))}`)
    const [, word, literal, sign] = match
    tokens.push(word !== undefined ? { text: word, kind: 'word' } : literal !== undefined ? { text: literal, kind: 'text' } : { text: sign ?? '', kind: 'sign' })
  }
  return tokens
}

class Parser {
  readonly #tokens: Token[]
  #at = 0

  constructor(tokens: Token[]) {
    this.#tokens = tokens
  }

  get ended(): boolean {
    return this.#at >= this.#tokens.length
  }

  #is(sign: string): boolean {
    const token = this.#tokens[this.#at]
    return token?.kind === 'sign' && token.text === sign
  }

  take(sign: string): boolean {
    const found = this.#is(sign)
    if (found) this.#at++
    return found
  }

  demand(sign: string): void {
    if (!this.take(sign)) throw new Error(`docs/json.md: ${sign} expected before ${this.#tokens.slice(this.#at, this.#at + 5).map(({ text }) => text).join(' ')}`)
  }

  word(): string {
    const token = this.#tokens[this.#at++]
    if (token?.kind !== 'word') throw new Error(`docs/json.md: a name expected before ${token?.text}`)
    return token.text
  }

  /** Words up to the next sign. */
  words(): string[] {
    const words = [this.word()]
    while (this.#tokens[this.#at]?.kind === 'word') words.push(this.word())
    return words
  }

  type(): JsonType {
    this.take('|')
    const all = [this.#listed()]
    while (this.take('|')) all.push(this.#listed())
    return all.length === 1 ? all[0]! : { kind: 'union', of: all }
  }

  #listed(): JsonType {
    let type = this.#single()
    while (this.take('[')) {
      this.demand(']')
      type = { kind: 'list', of: type }
    }
    return type
  }

  #single(): JsonType {
    if (this.take('(')) {
      const type = this.type()
      this.demand(')')
      return type
    }
    if (this.take('{')) return this.#object()
    const token = this.#tokens[this.#at++]
    if (token?.kind === 'text') return { kind: 'literal', value: token.text }
    if (token?.kind !== 'word') throw new Error(`docs/json.md: a type expected before ${token?.text}`)
    if (token.text === 'true' || token.text === 'false') return { kind: 'literal', value: token.text === 'true' }
    return BASIC.has(token.text) ? { kind: 'basic', name: token.text as 'string' } : { kind: 'name', name: token.text }
  }

  #object(): JsonType {
    if (this.take('[')) {
      this.word()
      this.demand(']')
      this.demand(':')
      const of = this.type()
      this.demand('}')
      return { kind: 'map', of }
    }
    const fields = new Map<string, { type: JsonType; optional: boolean }>()
    while (!this.take('}')) {
      const name = this.word()
      const optional = this.take('?')
      this.demand(':')
      fields.set(name, { type: this.type(), optional })
      this.take(',')
    }
    return { kind: 'object', fields }
  }
}

/** @throws Error for a block that does not follow the grammar */
export function parseJsonPage(markdown: string): JsonPage {
  const types = new Map<string, JsonType>()
  const commands = new Map<string, Output>()
  for (const [, block = ''] of markdown.matchAll(/^```types\n(.*?)^```/gms)) {
    const parser = new Parser(tokensOf(block))
    while (!parser.ended) {
      const words = parser.words()
      if (words[0] === 'cec' || words[0] === 'cellsfs') {
        parser.demand(':')
        const type = parser.type()
        commands.set(words.slice(words[0] === 'cec' ? 1 : 0).join(' '), { type, lines: parser.take('...') })
      } else {
        parser.demand('=')
        types.set(words.join(' '), parser.type())
      }
    }
  }
  return { types, commands }
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

/** What is wrong with `value`, as sentences; none if it is of the type. A field that the type lacks is wrong too: the page is behind. */
export function mismatches(page: JsonPage, type: JsonType, value: unknown, at = '$'): string[] {
  switch (type.kind) {
    case 'basic': {
      if (type.name === 'any') return []
      const fits = type.name === 'null' ? value === null : type.name === 'time' ? typeof value === 'string' && TIME.test(value) : typeof value === type.name
      return fits ? [] : [`${at}: ${JSON.stringify(value)} is no ${type.name}`]
    }
    case 'literal': return value === type.value ? [] : [`${at}: ${JSON.stringify(value)} is not ${JSON.stringify(type.value)}`]
    case 'name': {
      const named = page.types.get(type.name)
      return named === undefined ? [`${at}: the page does not say what ${type.name} is`] : mismatches(page, named, value, at)
    }
    case 'list': return Array.isArray(value) ? value.flatMap((each: unknown, index) => mismatches(page, type.of, each, `${at}[${index}]`)) : [`${at}: no list`]
    case 'union': {
      const all = type.of.map((each) => mismatches(page, each, value, at))
      // The nearest one tells most.
      return all.some((each) => each.length === 0) ? [] : all.sort((a, b) => a.length - b.length)[0]!
    }
    case 'map': return isRecord(value) ? Object.entries(value).flatMap(([name, each]) => mismatches(page, type.of, each, `${at}.${name}`)) : [`${at}: no object`]
    case 'object': {
      if (!isRecord(value)) return [`${at}: no object`]
      const wrong = [...type.fields].flatMap(([name, field]) => (Object.hasOwn(value, name) ? mismatches(page, field.type, value[name], `${at}.${name}`) : field.optional ? [] : [`${at}.${name} is missing`]))
      return [...wrong, ...Object.keys(value).filter((name) => !type.fields.has(name)).map((name) => `${at}.${name} is not on the page`)]
    }
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)
