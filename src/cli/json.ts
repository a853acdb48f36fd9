/**
 * `--json`: results for programs. One JSON document on stdout, two spaces of indent, a newline at the end; field names in camel
 * case, values parsed, times as ISO 8601 in UTC, null for what there is none of. The shapes are in docs/json.md and stay:
 * fields may be added, none change or go.
 */
import type { Argv } from 'yargs'
import { print } from './command.js'
import type { CecArgv } from './options.js'

export const declareJson = (yargs: Argv): Argv => yargs.option('json', { global: false, type: 'boolean', describe: 'Print JSON (docs/json.md)' })

export const wantsJson = (argv: CecArgv): boolean => argv['json'] === true

export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2))

/** Seconds since the epoch as `2026-01-31T12:00:00.000Z`; null for 0. */
export const isoTime = (seconds: number): string | null => (seconds > 0 && seconds < 8.64e12 ? new Date(seconds * 1000).toISOString() : null)
