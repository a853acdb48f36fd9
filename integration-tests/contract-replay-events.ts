/**
 * The websocket part of the contract (contract/07-websocket.json), which is kept as actions and the events that followed:
 * the same actions must be followed by the same events, each as often, and by no others. Other work went on
 * on the recorded server meanwhile; only the events of the recording's own files count.
 */
import { randomUUID } from 'node:crypto'
import { WebSocket } from 'ws'
import { jsonDifferences } from './contract-replay-compare.js'
import type { RecordedItem, ReplaySession } from './contract-replay-session.js'

export interface EventItem extends RecordedItem {
  readonly node_events?: ReadonlyArray<{ readonly data: NodeEvent }>
  /** Of sockets that were refused. */
  readonly events?: ReadonlyArray<{ readonly error?: string; readonly close?: number }>
}

interface NodeEvent {
  readonly Type?: string
  readonly Source?: { readonly Path: string; readonly MetaStore?: Readonly<Record<string, string>> }
  readonly Target?: { readonly Path: string; readonly Etag?: string }
}

const DEADLINE_MS = 10_000
const POLL_MS = 50

type Action = (session: ReplaySession, at: (name: string) => string) => Promise<unknown>

const put = (session: ReplaySession, path: string, text: string): Promise<unknown> => session.putObject(path, text)
const job = (session: ReplaySession, name: string, nodes: string[], target: string, targetParent: boolean): Promise<unknown> =>
  session.json('PUT', `/a/jobs/user/${name}`, { JobName: name, JsonParameters: JSON.stringify({ nodes, target, targetParent }) })
const remove = (session: ReplaySession, path: string): Promise<unknown> => session.json('POST', '/a/tree/delete', { Nodes: [{ Path: path }] })

/** What was there before an item, by position. */
const SETUP: Readonly<Record<number, Readonly<Record<string, string>>>> = {
  9: { 'dir/a.txt': 'a', 'dir/sub/b.txt': 'b' },
}

const ACTIONS: Readonly<Record<number, Action>> = {
  2: (session, at) => session.json('POST', '/a/tree/create', { Nodes: [{ Path: at(''), Type: 'COLLECTION' }] }),
  3: (session, at) => put(session, at('f.txt'), 'one'),
  4: (session, at) => put(session, at('f.txt'), 'updated'),
  5: (session, at) => put(session, at('f.txt'), 'updated'),
  6: async (session, at) => {
    for (const text of ['q0', 'q1', 'q2', 'q3', 'q44444']) await put(session, at('quick.txt'), text)
  },
  7: (session, at) => put(session, at('e.txt'), ''),
  8: (session, at) => job(session, 'move', [at('f.txt')], at('g.txt'), false),
  9: (session, at) => job(session, 'move', [at('dir')], at('dir2'), false),
  10: (session, at) => job(session, 'move', [at('g.txt')], at('dir2'), true),
  11: (session, at) => job(session, 'copy', [at('dir2/g.txt')], at('g.txt'), false),
  12: async (session, at) => session.json('PUT', '/a/user-meta/update', { Operation: 'PUT', MetaDatas: [{ NodeUuid: (await session.stat(at('dir2/a.txt')))?.Uuid, Namespace: 'bookmark', JsonValue: '"true"' }] }),
  13: (session, at) => remove(session, at('dir2/a.txt')),
  14: (session, at) => remove(session, at('dir2')),
  15: (session) => remove(session, 'personal-files/recycle_bin/dir2'),
  16: (session, at) => session.removeObject(at('e.txt')),
  17: (session, at) => session.removeObject(at('never.txt')),
  18: (session, at) => job(session, 'move', [at('g.txt')], 'common-files', true),
  19: (session, at) => session.json('POST', '/a/meta/bulk/get', { NodePaths: [`${at('')}/*`] }),
}

/** Messages of sockets that must be refused or ignored, by position. */
const MESSAGES: Readonly<Record<number, (session: ReplaySession) => Promise<string> | string>> = {
  22: () => JSON.stringify({ '@type': 'subscribe', jwt: 'garbage' }),
  23: () => JSON.stringify({ '@type': 'subscribe' }),
  24: () => 'not json',
  25: () => JSON.stringify({ '@type': 'unknown' }),
  26: () => JSON.stringify({ '@type': 'subscribe', jwt: 'x'.repeat(3000) }),
  27: async (session) => {
    const revoked = session.vars.get('TOKEN')
    await session.json('POST', '/a/frontend/session', { AuthInfo: { type: 'logout' } }, { cookie: `pydio=${session.vars.get('COOKIE')}` })
    return JSON.stringify({ '@type': 'subscribe', jwt: revoked })
  },
}

/** Compares every action or socket of the recording; calls `report` with what differs for each. */
export async function replayEvents(session: ReplaySession, items: readonly EventItem[], report: (index: number, found: string[]) => void): Promise<void> {
  const stream = new Stream(session)
  await stream.open()
  try {
    for (const [i, item] of items.entries()) {
      const action = ACTIONS[i]
      if (action !== undefined) {
        if (SETUP[i] !== undefined) {
          await session.setUp(SETUP[i])
          await stream.drain()
        }
        report(i, await stream.follow(item, (name) => [session.options.base, name].filter((part) => part !== '').join('/'), action))
      }
      const message = MESSAGES[i]
      if (message !== undefined) report(i, await refused(session.options.url, await message(session), item))
    }
  } finally {
    stream.close()
  }
}

/** One subscribed socket. */
class Stream {
  readonly #session: ReplaySession
  #socket: WebSocket | undefined
  #seen: NodeEvent[] = []

  constructor(session: ReplaySession) {
    this.#session = session
  }

  async open(): Promise<void> {
    const socket = this.#socket = new WebSocket(`${this.#session.options.url.replace(/^http/, 'ws')}/ws/event`)
    socket.on('message', (data: Buffer) => {
      const message = JSON.parse(data.toString('utf8')) as NodeEvent | string
      if (typeof message === 'object' && (message.Source !== undefined || message.Target !== undefined)) this.#seen.push(message)
    })
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
    socket.send(JSON.stringify({ '@type': 'subscribe', jwt: this.#session.vars.get('TOKEN') }))
    await this.drain()
  }

  close(): void { this.#socket?.terminate() }

  async follow(item: EventItem, at: (name: string) => string, action: Action): Promise<string[]> {
    this.#seen = []
    const base = this.#session.options.base
    const own = (event: NodeEvent): boolean => [event.Source?.Path, event.Target?.Path].some((path) => path !== undefined && (path.startsWith(base) || path.includes('/recycle_bin') || path === 'common-files/g.txt'))
    const wanted = (item.node_events ?? []).map(({ data }) => data).filter(own)
    await action(this.#session, at)
    await this.drain()
    const deadline = Date.now() + DEADLINE_MS
    while (this.#seen.filter(own).length < wanted.length && Date.now() < deadline) await pause()
    return compare(wanted, this.#seen.filter(own), this.#session)
  }

  /** Waits for all events of what has been done so far: those of a file made now come after them. */
  async drain(): Promise<void> {
    const path = `personal-files/sentinel-${randomUUID()}`
    await this.#session.putObject(path, path)
    const deadline = Date.now() + DEADLINE_MS
    const final = (event: NodeEvent): boolean => event.Target?.Path === path && event.Target.Etag !== 'temporary'
    while (!this.#seen.some(final)) {
      if (Date.now() > deadline) throw new Error('the event stream is silent')
      await pause()
    }
  }
}

/** Order aside, which the real server does not keep either. */
function compare(wanted: readonly NodeEvent[], seen: readonly NodeEvent[], session: ReplaySession): string[] {
  const found: string[] = []
  const rest = [...seen]
  for (const event of wanted) {
    const same = rest.findIndex((each) => keyOf(each) === keyOf(event))
    if (same === -1) found.push(`missing: ${keyOf(event)}`)
    else found.push(...jsonDifferences(nameless(event), nameless(rest.splice(same, 1)[0]!), session.twins))
  }
  return [...found, ...rest.map((event) => `too much: ${keyOf(event)}`)]
}

/** Beside a source stood its old name in some of the recorded events and the new one in others; the path is what counts. */
function nameless(event: NodeEvent): unknown {
  if (event.Source === undefined) return event
  return { ...event, Source: { ...event.Source, MetaStore: { ...event.Source.MetaStore, name: '""' } } }
}

function keyOf({ Type = 'CREATE', Source, Target }: NodeEvent): string {
  return `${Type} ${Source?.Path ?? ''} > ${Target?.Path ?? ''}${Target?.Etag === 'temporary' ? ' temporary' : ''}`
}

/** A socket that sends one message: is it refused as recorded, or left alone? */
async function refused(url: string, message: string, item: EventItem): Promise<string[]> {
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/ws/event`)
  const seen: Array<{ error?: string; close?: number }> = []
  socket.on('error', (error) => seen.push({ error: error.message }))
  socket.on('close', (close) => seen.push({ close }))
  const wanted = (item.events ?? []).map(({ error, close }) => JSON.stringify({ error, close }))
  await new Promise((resolve) => socket.once('open', resolve))
  socket.send(message)
  // A ping after the message: when its answer is there, the message has been dealt with.
  const answered = new Promise((resolve) => { socket.once('pong', resolve).once('close', resolve) })
  if (socket.readyState === WebSocket.OPEN) socket.ping()
  await answered
  const deadline = Date.now() + DEADLINE_MS
  while (seen.length < wanted.length && Date.now() < deadline) await pause()
  socket.terminate()
  const here = seen.slice(0, Math.max(wanted.length, 0)).map((each) => JSON.stringify({ error: each.error, close: each.close }))
  if (wanted.length === 0) return seen.length === 0 ? [] : [`refused (${JSON.stringify(seen)})`]
  return here.join() === wanted.join() ? [] : [`${here.join()} instead of ${wanted.join()}`]
}

const pause = (): Promise<void> => new Promise((resolve) => { setTimeout(resolve, POLL_MS) })
