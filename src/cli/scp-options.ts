/**
 * The flags of scp, each with its CEC_ variable (cec-reference 7.1), and what they come to. `cp` takes
 * them too when one of its sides is `cells://`.
 */
import { RateLimiter } from '../transfer/limiter.js'
import { MIB, partRules } from '../transfer/parts.js'
import { Selection } from '../transfer/select.js'
import { TransferError } from '../transfer/types.js'
import type { TransferOptions } from '../transfer/types.js'
import { CommandError } from './errors.js'
import { VERBOSE } from './logger.js'
import { resolveOptions } from './options.js'
import type { CecArgv, OptionSpecs } from './options.js'

export const SCP_OPTIONS = {
  force: { name: 'force', alias: 'f', type: 'boolean', default: false, describe: 'Merge with and replace what exists' },
  noProgress: { name: 'no-progress', alias: 'n', type: 'boolean', default: false, describe: 'Lines instead of progress bars', deprecated: 'no_progress' },
  quiet: { name: 'quiet', alias: 'q', type: 'boolean', default: false, describe: 'Redraw the bars every 3 seconds only' },
  verbose: { name: 'verbose', alias: 'v', type: 'boolean', default: false, describe: 'Lines that tell more: each file, and requests that failed' },
  veryVerbose: { name: 'very-verbose', alias: 'w', type: 'boolean', default: false, describe: 'Lines that tell everything, each request too', deprecated: 'very_verbose' },
  maxPartsNumber: { name: 'max-parts-number', type: 'number', default: 5000, describe: 'Most parts of one file', deprecated: 'max_parts_number' },
  partSize: { name: 'part-size', type: 'number', default: 50, describe: 'MiB in a part, a multiple of 10', deprecated: 'part_size' },
  partsConcurrency: { name: 'parts-concurrency', type: 'number', default: 3, describe: 'Parts of one file at the same time', deprecated: 'parts_concurrency' },
  skipMd5: { name: 'skip-md5', type: 'boolean', default: false, describe: 'Compare sizes only after the transfer', deprecated: 'skip_md5' },
  multipartThreshold: { name: 'multipart-threshold', type: 'number', default: 100, describe: 'MiB from which a file goes in parts', deprecated: 'multipart_threshold' },
  multipartDebugFlags: { name: 'multipart-debug-flags', type: 'string', default: '', describe: 'Kinds of requests to log, e.g. "retries | request"' },
  retryMaxAttempts: { name: 'retry-max-attempts', type: 'number', default: 5, describe: 'Tries of one request, 0 is no limit', deprecated: 'retry_max_attempts' },
  retryMaxBackoff: { name: 'retry-max-backoff', type: 'string', default: '4s', describe: 'Longest pause between tries, e.g. 20s or 1m30s', deprecated: 'retry_max_backoff' },
  dryRun: { name: 'dry-run', type: 'boolean', default: false, describe: 'Print what would be done, and do nothing' },
  include: { name: 'include', type: 'list', default: [], describe: 'Only files that match; may be repeated' },
  exclude: { name: 'exclude', type: 'list', default: [], describe: 'Leave out what matches, as in .gitignore; may be repeated' },
  bwlimit: { name: 'bwlimit', type: 'string', default: '', describe: 'Bytes per second for all files together, e.g. 500K or 10M' },
  json: { name: 'json', type: 'boolean', default: false, describe: 'Print events as lines of JSON (docs/json.md)' },
} as const satisfies OptionSpecs

const DEBUG_FLAGS = new Set([
  'signing', 'retries', 'request', 'request_with_body', 'response', 'response_with_body', 'deprecated_usage', 'request_event_message', 'response_event_message',
])

const DURATION_MS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/**
 * A Go duration (`1m30s`, `1.5h`, `0`) in milliseconds.
 * @throws CommandError
 */
export function parseDuration(text: string): number {
  if (text === '0') return 0
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/.test(text)) throw new CommandError(`${JSON.stringify(text)} is not a duration like 20s, 3m or 1m30s`)
  let total = 0
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) total += Number(number) * (DURATION_MS[unit ?? ''] ?? 0)
  return total
}

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 }

/**
 * `500`, `500K`, `1.5M`, `2GiB` in bytes.
 * @throws CommandError
 */
export function parseSize(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?$/i.exec(text) ?? []
  if (number === undefined) throw new CommandError(`${JSON.stringify(text)} is not a size like 500K or 10M`)
  return Math.floor(Number(number) * (UNITS[(unit ?? '').toLowerCase()] ?? 1))
}

/** @throws CommandError for a rate below 1K */
export function parseRate(text: string): RateLimiter | undefined {
  if (text === '') return undefined
  const rate = parseSize(text.replace(/\/s$/, ''))
  if (rate < 1024) throw new CommandError('--bwlimit must be at least 1K')
  return new RateLimiter(rate)
}

export interface ScpSettings {
  readonly force: boolean
  readonly bars: boolean
  readonly redrawMs: number
  /** Replaces `--log` when -v or -w ask for it. */
  readonly log: string | undefined
  readonly transfer: Pick<TransferOptions, 'force' | 'skipDigest' | 'parts' | 'limiter' | 'select'>
  readonly dryRun: boolean
  readonly json: boolean
  readonly retry: { readonly attempts: number; readonly longestPauseMs: number }
}

/** @throws UsageError for a value of the wrong type; CommandError for one that cannot be */
export function resolveScpSettings(argv: CecArgv, env: NodeJS.ProcessEnv = process.env): ScpSettings {
  const values = resolveOptions(SCP_OPTIONS, argv, env)
  const flags = values.multipartDebugFlags.split('|').map(flag => flag.trim()).filter(flag => flag !== '')
  const unknown = flags.find(flag => !DEBUG_FLAGS.has(flag))
  if (unknown !== undefined) throw new CommandError(`unknown debug flag "${unknown}", known are ${[...DEBUG_FLAGS].join(', ')}`)
  const parts = {
    threshold: values.multipartThreshold * MIB,
    partSize: values.partSize * MIB,
    maxParts: values.maxPartsNumber,
    concurrency: values.partsConcurrency,
  }
  try {
    partRules(parts)
  } catch (error) {
    throw error instanceof TransferError ? new CommandError(error.message, { cause: error }) : error
  }
  if (values.retryMaxAttempts < 0) throw new CommandError('--retry-max-attempts must not be negative')
  return {
    force: values.force,
    dryRun: values.dryRun,
    json: values.json,
    bars: !values.json && !values.noProgress && !values.verbose && !values.veryVerbose,
    redrawMs: values.quiet ? 3000 : 100,
    log: values.veryVerbose || flags.length > 0 ? 'debug' : values.verbose ? VERBOSE : undefined,
    transfer: {
      force: values.force, skipDigest: values.skipMd5, parts, limiter: parseRate(values.bwlimit),
      select: values.include.length + values.exclude.length === 0 ? undefined : new Selection(values),
    },
    retry: {
      attempts: values.retryMaxAttempts === 0 ? Infinity : values.retryMaxAttempts,
      longestPauseMs: parseDuration(values.retryMaxBackoff),
    },
  }
}
