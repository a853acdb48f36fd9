/**
 * The global flags of cec in one table: name, short form, environment variable, default, help,
 * and the underscore spelling of old scripts (cec-reference 1.2, 1.3).
 *
 * yargs gets the names only. Values come from `resolveOptions`, because `CEC_*` variables count
 * for these flags and scp's alone (`CEC_FORCE` must never reach `rm`), and because a default
 * taken from the environment would show a token in `--help`.
 */
import type { Argv } from 'yargs'
import { UsageError } from './errors.js'

export interface OptionSpec {
  readonly name: string
  /** `list`: may be given several times; the command needs LIST_PARSER. */
  readonly type: 'string' | 'boolean' | 'number' | 'list'
  readonly describe: string
  readonly alias?: string
  readonly default: string | boolean | number | readonly string[]
  /** Old spelling with underscores, accepted and hidden. */
  readonly deprecated?: string
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>

type Value = string | boolean | number | readonly string[]
type ValueOf<S extends OptionSpec> = S['type'] extends 'boolean' ? boolean : S['type'] extends 'number' ? number : S['type'] extends 'list' ? readonly string[] : string
export type OptionValues<S extends OptionSpecs> = { [K in keyof S]: ValueOf<S[K]> }

export const GLOBAL_OPTIONS = {
  config: { name: 'config', type: 'string', default: '', describe: 'Folder that holds config.json' },
  url: { name: 'url', alias: 'u', type: 'string', default: '', describe: 'URL of the server' },
  token: { name: 'token', alias: 't', type: 'string', default: '', describe: 'Personal access token' },
  login: { name: 'login', type: 'string', default: '', describe: 'User login, with --password' },
  password: { name: 'password', type: 'string', default: '', describe: 'User password' },
  skipVerify: { name: 'skip-verify', type: 'boolean', default: false, describe: 'Do not verify TLS certificates', deprecated: 'skip_verify' },
  skipKeyring: { name: 'skip-keyring', type: 'boolean', default: false, describe: 'Keep secrets in the accounts file instead of the keyring', deprecated: 'skip_keyring' },
  noCache: { name: 'no-cache', type: 'boolean', default: false, describe: 'Log in again for every request (login and password only)', deprecated: 'no_cache' },
  log: { name: 'log', type: 'string', default: 'info', describe: 'debug, info, warn or error' },
} as const satisfies OptionSpecs

export type GlobalOptions = OptionValues<typeof GLOBAL_OPTIONS>

/** Parsed command line as yargs gives it. */
export type CecArgv = Readonly<Record<string, unknown>>

/** Name of the environment variable of a flag: `skip-verify` → `CEC_SKIP_VERIFY`. */
export const envName = (flag: string): string => `CEC_${flag.toUpperCase().replaceAll('-', '_')}`

/** Declares `specs` to yargs; `group` is their heading in the help. */
export function declareOptions(yargs: Argv, specs: OptionSpecs, group: string, env: NodeJS.ProcessEnv = process.env): Argv {
  const showHidden = (env['CEC_DISPLAY_HIDDEN_FLAGS'] ?? '') !== ''
  let result = yargs
  for (const spec of Object.values(specs)) {
    result = result.option(spec.name, {
      ...typeOf(spec),
      describe: `${spec.describe} [${envName(spec.name)}]`,
      group,
      requiresArg: spec.type !== 'boolean',
      ...(spec.alias === undefined ? {} : { alias: spec.alias }),
      ...(spec.default === '' || spec.default === false || spec.type === 'list' ? {} : { defaultDescription: String(spec.default) }),
    })
    if (spec.deprecated !== undefined) {
      result = result.option(spec.deprecated, {
        ...typeOf(spec),
        describe: `Deprecated, use --${spec.name}`,
        group,
        hidden: !showHidden,
        requiresArg: spec.type !== 'boolean',
      })
    }
  }
  return result
}

const typeOf = (spec: OptionSpec): { type: 'string' | 'boolean' | 'number' | 'array'; string?: boolean } =>
  (spec.type === 'list' ? { type: 'array', string: true } : { type: spec.type })

const TRUE = new Set(['1', 't', 'T', 'true', 'TRUE', 'True'])
const FALSE = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False'])

/** undefined for what is no boolean. */
export const booleanFrom = (text: string): boolean | undefined => (TRUE.has(text) ? true : FALSE.has(text) ? false : undefined)

function fromEnv(spec: OptionSpec, env: NodeJS.ProcessEnv): Value | undefined {
  const name = envName(spec.name)
  const text = env[name]
  if (text === undefined || text === '') return undefined
  if (spec.type === 'string') return text
  if (spec.type === 'list') return text.split('\n').filter(line => line !== '')
  if (spec.type === 'number') {
    const value = Number(text)
    if (!Number.isInteger(value)) throw new UsageError(`${name} must be a whole number, not "${text}"`)
    return value
  }
  const value = booleanFrom(text)
  if (value !== undefined) return value
  throw new UsageError(`${name} must be true or false, not "${text}"`)
}

const last = (value: unknown): unknown => (Array.isArray(value) ? value.at(-1) as unknown : value)

function fromFlag(spec: OptionSpec, argv: CecArgv): Value | undefined {
  if (spec.type === 'list') return argv[spec.name] === undefined ? undefined : [argv[spec.name]].flat().map(String)
  const value = last(argv[spec.name])
  const old = spec.deprecated === undefined ? undefined : last(argv[spec.deprecated])
  // cec ORs the two spellings of a boolean; of a number the old spelling wins when it is set.
  if (spec.type === 'boolean') return value === undefined && old === undefined ? undefined : value === true || old === true
  if (spec.type === 'number') {
    const number = (typeof old === 'number' && old > -1 ? old : value) as number | undefined
    if (number !== undefined && !Number.isInteger(number)) throw new UsageError(`--${spec.name} needs a whole number`)
    return number
  }
  return (value ?? old) as string | undefined
}

/**
 * Values of `specs`: the flag on the command line, else its `CEC_*` variable, else the default.
 *
 * @throws UsageError for a variable that is not of the flag's type
 */
export function resolveOptions<S extends OptionSpecs>(specs: S, argv: CecArgv, env: NodeJS.ProcessEnv = process.env): OptionValues<S> {
  const entries = Object.entries(specs).map(([key, spec]) => [key, fromFlag(spec, argv) ?? fromEnv(spec, env) ?? spec.default])
  return Object.fromEntries(entries) as OptionValues<S>
}

export const resolveGlobals = (argv: CecArgv, env: NodeJS.ProcessEnv = process.env): GlobalOptions =>
  resolveOptions(GLOBAL_OPTIONS, argv, env)
