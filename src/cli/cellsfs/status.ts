/** `cellsfs status`: all mounts of this user, found through their control sockets. */
import { ask, liveSockets, type MountStatus } from '../../fs/mount-control.js'
import { print, type CecCommand } from '../command.js'
import { humanSize } from '../human.js'
import type { CecArgv } from '../options.js'

/** A process that is stopped must not keep the others from being shown. */
const ANSWER_MS = 5_000

async function statuses(): Promise<MountStatus[]> {
  const answers = await Promise.all((await liveSockets()).map((socket) => ask(socket, { op: 'status' }, AbortSignal.timeout(ANSWER_MS)).catch(() => undefined)))
  return answers.filter((status) => status !== undefined).sort((a, b) => a.mountpoint.localeCompare(b.mountpoint))
}

function describe(status: MountStatus): string {
  const { pending, failures, conflicts, cache } = status
  const state = status.connection === 'online' ? (status.live ? 'online, changes of others are seen at once' : 'online') : status.connection === 'offline' ? 'offline' : 'signed out: run `cec config relog`'
  return [
    `${status.mountpoint}  ${status.server}/${status.remote}`,
    `  state    ${state}`,
    `  unsaved  ${pending.count === 0 ? 'nothing' : `${pending.count} change${pending.count === 1 ? '' : 's'}, ${humanSize(pending.bytes)}`}`,
    ...failures.map(({ path, reason }) => `  failed   ${path}: ${reason}`),
    ...status.damage.map((sentence) => `  damaged  ${sentence}`),
    ...conflicts.map((path) => `  conflict ${path} holds your version; somebody else changed the original`),
    `  cache    ${humanSize(cache.bytes)} of ${humanSize(cache.limit)}`,
    `  open     ${status.openHandles}`,
    `  process  ${status.pid} (${status.driver}, cellsfs ${status.version}) since ${status.since}`,
    ...(status.log === undefined ? [] : [`  log      ${status.log}`]),
  ].join('\n')
}

async function handler(argv: CecArgv): Promise<void> {
  const all = await statuses()
  if (argv['json'] === true) print(JSON.stringify(all, null, 2))
  else print(all.length === 0 ? 'Nothing is mounted.' : all.map(describe).join('\n\n'))
}

export const command: CecCommand = {
  command: 'status',
  describe: 'Show all mounts and what they still have to save',
  builder: (yargs) => yargs.option('json', { type: 'boolean', describe: 'As JSON' }),
  handler,
}
