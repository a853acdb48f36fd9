/** What to say when a mount has ended before everything was on the server: nothing is lost, and why it is not there. */
import type { SyncReport } from '../../fs/status.js'
import { counted } from '../human.js'
import { printable } from '../printable.js'

/** Of many, so many are named. */
const NAMED = 20

/** Undefined when all is there. */
export function leftOver({ failed, unsent = 0 }: SyncReport): string | undefined {
  const count = failed.length + unsent
  if (count === 0) return undefined
  return [
    `${counted(count, 'change')} ${count === 1 ? 'is' : 'are'} not on the server yet; ${count === 1 ? 'it is' : 'they are'} kept here and sent at the next mount:`,
    ...failed.slice(0, NAMED).map(({ path, reason }) => `  ${path === '' ? '' : `${printable(path)}: `}${printable(reason)}`),
    ...(failed.length > NAMED ? [`  ${failed.length - NAMED} more that failed`] : []),
    ...(unsent > 0 ? [`  ${failed.length === 0 ? '' : 'and '}${unsent} for which there was no time`] : []),
  ].join('\n')
}
