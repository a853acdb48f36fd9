/** `cellsfs pin [PATH]`: keeps a folder on this machine, readable without the server; without a path, what is kept. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ask } from '../../fs/mount-control.js'
import type { PinStatus } from '../../fs/status.js'
import { print, type CecCommand } from '../command.js'
import { CommandError, UsageError } from '../errors.js'
import { counted, humanSize } from '../human.js'
import { declareJson, printJson, wantsJson } from '../json.js'
import type { CecArgv } from '../options.js'
import { allMounts, mountOf, showWhile } from './mounts.js'
import { pinLine } from './status-view.js'

const LOOK_MS = 200

async function handler(argv: CecArgv): Promise<void> {
  const path = argv['path'] as string | undefined
  if (path === undefined) return list(wantsJson(argv))
  if (wantsJson(argv)) throw new UsageError('--json is for the list, without a path')
  const { socket, path: inside } = await mountOf(path)
  if (await ask(socket, { op: 'pin', path: inside }) === undefined) throw new CommandError('the mount has ended')
  if (argv['background'] === true) return
  let pin: PinStatus | undefined
  const done = showWhile(() => (pin === undefined ? undefined : `${pin.missingFiles === 0 ? 'looking through it' : `${counted(pin.missingFiles, 'file')}, ${humanSize(pin.missingBytes)} to fetch`}`))
  try {
    for (;;) {
      pin = (await ask(socket, { op: 'status' }))?.pins.find((each) => each.path === inside)
      if (pin === undefined) throw new CommandError('it was unpinned, or the mount has ended')
      if (pin.state !== 'fetching') break
      await sleep(LOOK_MS)
    }
  } finally {
    done()
  }
  if (pin.state === 'waiting') throw new CommandError(`${path} is pinned, but not all of it is here yet: ${pin.reason ?? 'unknown'}; it is tried again`)
  print(`pinned ${path}: ${counted(pin.files, 'file')}, ${humanSize(pin.bytes)}`)
}

async function list(json: boolean): Promise<void> {
  const all = (await allMounts()).flatMap(({ status }) => status.pins.map((pin) => ({ mountpoint: status.mountpoint, ...pin })))
  if (json) printJson(all)
  else print(all.length === 0 ? 'Nothing is pinned.' : all.map((pin) => pinLine({ ...pin, path: `${pin.mountpoint}${pin.path === '' ? '' : `/${pin.path}`}` })).join('\n'))
}

export const command: CecCommand = {
  command: 'pin [path]',
  describe: 'Keep a folder on this machine, readable without the server',
  builder: (yargs) => declareJson(yargs
    .usage('$0 pin [PATH]\n\nFetches the file or folder PATH of a mount, with all that is in it, and keeps it here and up to date, also after a restart. Without PATH: what is pinned.')
    .positional('path', { type: 'string', describe: 'file or folder in a mount' })
    .option('background', { alias: 'b', type: 'boolean', describe: 'Return at once; it is fetched meanwhile' })),
  handler,
}
