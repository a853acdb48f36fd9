/** A mount's status as text. */
import type { PendingChange, PinStatus } from '../../fs/status.js'
import type { MountStatus } from '../../fs/mount-control.js'
import { counted, humanDate, humanSize } from '../human.js'
import { printable } from '../printable.js'

/** Without `verbose` so many failures and conflicts are named. */
const NAMED = 10
/** And with it so many changes. */
const MOST_CHANGES = 200

function state({ connection, live }: MountStatus): string {
  if (connection === 'offline') return 'offline: what is here can be read, changes are kept and sent later'
  if (connection === 'login-needed') return 'signed out: run `cec config relog`'
  return live ? 'online, changes of others are seen at once' : 'online'
}

/** `12 seconds old`. */
function age(iso: string, now: number): string {
  const text = humanDate(Date.parse(iso) / 1000, now)
  return text.endsWith(' ago') ? `${text.slice(0, -4)} old` : 'new'
}

function unsent({ pending, unconfirmed }: MountStatus, now: number): string {
  const waiting = unconfirmed === 0 ? '' : `${counted(unconfirmed, 'change')} sent and not shown by the server yet`
  if (pending.count === 0) return waiting === '' ? 'nothing' : `nothing; ${waiting}`
  return `${counted(pending.count, 'change')}, ${humanSize(pending.bytes)}${pending.oldest === null ? '' : `, the oldest ${age(pending.oldest, now)}`}${waiting === '' ? '' : `; ${waiting}`}`
}

function cache({ cache: { bytes, limit, pinned, hits, misses } }: MountStatus): string {
  const reads = hits + misses
  return [`${humanSize(bytes)} of ${humanSize(limit)}`, ...(pinned > 0 ? [`${humanSize(pinned)} pinned`] : []), ...(reads > 0 ? [`${Math.floor(100 * hits / reads)} % of ${counted(reads, 'read')} found there`] : [])].join(', ')
}

export function pinLine({ path, files, bytes, missingFiles, missingBytes, state: how, reason }: PinStatus): string {
  const size = `${counted(files, 'file')}, ${humanSize(bytes)}`
  const left = how === 'complete' ? 'all here' : missingFiles > 0 ? `${counted(missingFiles, 'file')}, ${humanSize(missingBytes)} to fetch` : 'being looked through'
  return `${printable(path === '' ? '.' : path)}  ${size}, ${left}${reason === undefined ? '' : ` (${reason})`}`
}

const changeLine = ({ path, change, state: how, bytes, since }: PendingChange, now: number): string =>
  `  ${how.padEnd(8)} ${change.padEnd(8)} ${printable(path)}${change === 'content' ? `, ${humanSize(bytes)}` : ''}, ${age(since, now)}`

/** The first few, and how many more. */
function some<T>(all: readonly T[], most: number, line: (each: T) => readonly string[]): string[] {
  return [...all.slice(0, most).flatMap(line), ...(all.length > most ? [`           and ${all.length - most} more`] : [])]
}

export function describeMount(status: MountStatus, { verbose = false, now = Date.now() }: { verbose?: boolean; now?: number } = {}): string[] {
  const { failures, conflicts, traffic, changes = [] } = status
  const most = verbose ? Infinity : NAMED
  return [
    `${status.mountpoint}  ${status.server}/${status.remote}`,
    `  state    ${state(status)}`,
    `  unsent   ${unsent(status, now)}`,
    ...(traffic.up + traffic.down > 0 ? [`  rates    ${humanSize(traffic.up)}/s up, ${humanSize(traffic.down)}/s down`] : []),
    ...some(failures, most, ({ path, reason, advice }) => [`  failed   ${printable(path)}: ${printable(reason)}`, ...(advice === undefined ? [] : [`           ${advice}`])]),
    ...some(conflicts, most, (path) => [`  conflict ${printable(path)} holds your version; somebody else changed the original`, '           compare the two, then keep one or both under names of your choice']),
    ...some(status.damage, most, (sentence) => [`  damage   ${printable(sentence)}`]),
    `  cache    ${cache(status)}`,
    ...some(status.pins, most, (pin) => [`  pinned   ${pinLine(pin)}`]),
    `  open     ${status.openHandles}`,
    `  process  ${status.pid} (${status.driver}, ${status.writeMode === 'through' ? 'writes go through, ' : ''}cellsfs ${status.version}) since ${status.since}`,
    ...(status.log === undefined ? [] : [`  log      ${status.log}`]),
    ...(verbose ? [`  metrics  ${status.metrics.socket}${status.metrics.url === undefined ? '' : `  ${status.metrics.url}`}`, ...some(changes, MOST_CHANGES, (change) => [changeLine(change, now)])] : []),
  ]
}
