/**
 * The filter of `cec jobs`: `{"<field>":{"op":"<op>","value":<v>},...}`, all fields must agree (cec-reference 10.2). What
 * the filter does not know (a field, an operator) matches nothing.
 */
import type { JobInfo } from '../cells/jobs-list.js'
import { CommandError } from './errors.js'

export type JobFilter = (job: JobInfo) => boolean

type Value = string | number | undefined

const FIELDS: Readonly<Record<string, (job: JobInfo) => Value>> = {
  owner: (job) => job.owner,
  numtasks: (job) => job.taskCount,
  task_status: (job) => job.lastTask?.status,
}

/** @throws CommandError for what is not such a text; '' lets everything through */
export function compileFilter(text: string): JobFilter {
  if (text === '') return () => true
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    throw new CommandError('the filter is not valid JSON; an example: {"task_status":{"op":"eq","value":"Error"}}')
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw new CommandError('the filter must be a JSON object')
  const tests = Object.entries(parsed).map(([field, condition]) => compileField(field, condition))
  return (job) => tests.every((test) => test(job))
}

function compileField(field: string, condition: unknown): JobFilter {
  if (typeof condition !== 'object' || condition === null) throw new CommandError(`the filter of "${field}" must be like {"op":"eq","value":"x"}`)
  const { op, value } = condition as { op?: unknown; value?: unknown }
  const read = Object.hasOwn(FIELDS, field) ? FIELDS[field] : undefined
  if (read === undefined) return () => false
  return (job) => compare(read(job), op, value)
}

function compare(have: Value, op: unknown, wanted: unknown): boolean {
  if (typeof have === 'number') {
    const number = typeof wanted === 'number' ? wanted : typeof wanted === 'string' && wanted.trim() !== '' ? Number(wanted) : NaN
    if (Number.isNaN(number)) return false
    if (op === 'gt' || op === '>') return have > number
    if (op === 'lt' || op === '<') return have < number
    return equal(op, have === number)
  }
  return typeof wanted === 'string' && equal(op, have === wanted)
}

function equal(op: unknown, same: boolean): boolean {
  if (op === 'eq' || op === '==') return same
  return (op === 'ne' || op === '!=') && !same
}
