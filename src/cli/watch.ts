/** `cec watch`: what changes on the server, as it happens, until Ctrl-C. */
import { isWithin } from '../cells/names.js'
import type { CellsServer } from '../cells/server.js'
import type { CellsEvent, CellsNode } from '../cells/types.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { withServer } from './context.js'
import { CommandError } from './errors.js'
import { entryJson, rawPath } from './entry.js'
import { declareJson, wantsJson } from './json.js'
import type { CecArgv } from './options.js'
import { cleanPath, demandNode } from './remote-path.js'
import { printable } from './table.js'

interface Change {
  readonly event: 'create' | 'content' | 'meta' | 'move' | 'delete'
  readonly path: string
  /** Where it was, of a move. */
  readonly from: string | null
  readonly node: CellsNode
}

function changeOf(event: CellsEvent): Change | undefined {
  switch (event.type) {
    case 'create': case 'content': case 'meta': return { event: event.type, path: event.node.path, from: null, node: event.node }
    case 'path': return { event: 'move', path: event.target.path, from: event.source.path, node: event.target }
    case 'delete': return { event: 'delete', path: event.source.path, from: null, node: event.source }
    case 'idm': case 'task': return undefined
  }
}

/** The server tells many changes two or three times (contract, section 7). */
const REPEAT_MS = 1500

class Repeats {
  readonly #last = new Map<string, number>()

  isRepeat(change: Change, now: number = performance.now()): boolean {
    for (const [key, at] of this.#last) {
      if (now - at <= REPEAT_MS) break
      this.#last.delete(key)
    }
    const key = [change.event, change.path, change.from, change.node.etag, change.node.size].join('\0')
    const known = this.#last.has(key)
    this.#last.delete(key)
    this.#last.set(key, now)
    return known
  }
}

const lineOf = ({ event, from, node }: Change): string => {
  const path = printable(rawPath(node))
  return `${new Date().toISOString()} ${event.padEnd(7)} ${from === null ? path : `${printable(from)} -> ${path}`}`
}

/** Lines of JSON: `{ event, time, path, from, entry }`; `{ event: "connected" | "disconnected", time, reason }`. */
async function follow(server: CellsServer, path: string, argv: CecArgv, signal: AbortSignal, warn: (message: string) => void): Promise<void> {
  const json = wantsJson(argv)
  const limit = (argv['count'] as number | undefined) ?? Infinity
  const repeats = new Repeats()
  let seen = 0
  let stream: { close(): void } | undefined
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
    const time = (): string => new Date().toISOString()
    stream = server.events({
      onEvent: (event) => {
        const change = changeOf(event)
        if (change === undefined || seen >= limit || repeats.isRepeat(change)) return
        if (!isWithin(change.path, path) && !(change.from !== null && isWithin(change.from, path)) && path !== '') return
        if (json) print(JSON.stringify({ event: change.event, time: time(), path: change.path, from: change.from, entry: entryJson(change.node) }))
        else print(lineOf(change))
        if (++seen >= limit) resolve()
      },
      onState: (state) => {
        if (json) print(JSON.stringify({ event: state.state, time: time(), reason: state.state === 'disconnected' ? state.reason : null }))
        else if (state.state === 'connected') warn(`Watching ${path === '' ? 'all workspaces' : path}, Ctrl-C ends it.`)
        else warn(`The connection was lost (${state.reason}), changes may be missed until it is back.`)
      },
    })
  })
  stream?.close()
}

async function handler(argv: CecArgv): Promise<void> {
  const count = argv['count'] as number | undefined
  if (count !== undefined && !(Number.isInteger(count) && count > 0)) throw new CommandError('--count needs a whole number from 1')
  const path = cleanPath((argv['path'] as string | undefined) ?? '')
  await withServer(argv, async (server, { signal, logger }) => {
    // A wrong password or path is told at once; the stream itself would try for ever.
    if (path === '') await server.workspaces({ signal })
    else await demandNode(server, path, signal)
    await follow(server, path, argv, signal, message => logger.info(message))
  })
}

export const command: CecCommand = {
  command: 'watch [path]',
  describe: 'Print what changes on the server, as it happens',
  builder: yargs => declareJson(yargs)
    .positional('path', { type: 'string', describe: 'workspace/folder; nothing watches all that you see' })
    .option('count', { type: 'number', requiresArg: true, describe: 'End after so many changes' }),
  handler,
}
