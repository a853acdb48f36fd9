/**
 * Replays the recorded exchanges of a real 2.x server (contract/*.json) against the embedded server, and prints
 * `contract: matched/total`.
 *
 * Against another server only when it is named by CONTRACT_URL, CONTRACT_LOGIN (an administrator), CONTRACT_PASSWORD and
 * CONTRACT_FILES (`02-,04b`): several recordings do harm, as recorded. 01-auth tries wrong passwords, which locks an account; 03, 04c,
 * 05, 05b and 10 damage the tree. It must be a server that nobody else uses. CELLS_URL, with which other tests run against a real
 * server, is not listened to here for that reason.
 */
import { strict as assert } from 'node:assert'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, describe, it } from 'node:test'
import { startDemoServer } from '../src/demo/index.js'
import { EXCLUSIONS } from './contract-exclusions.js'
import { replayEvents } from './contract-replay-events.js'
import { ReplaySession, type RecordedItem, type SessionOptions } from './contract-replay-session.js'
import { STEPS } from './contract-replay-steps.js'

/** Compiled tests run from another folder than the one that holds the data: the nearest one above. */
function recordings(from: string): string {
  const folder = join(from, 'integration-tests', 'contract')
  return existsSync(folder) ? folder : recordings(dirname(from))
}

const RECORDINGS = recordings(import.meta.dirname)
const OTHER_SERVER = process.env['CONTRACT_URL']
const RECORDED_ADMIN = 'c71f8a56-9765-48f0-8251-5f83ba3b67b5'
const RECORDED_ORIGIN = 'localhost:8080'
/** Long enough for what comes before the expiry, short enough to wait for it. */
const SHORT_TOKEN_S = 3

interface Running extends Omit<SessionOptions, 'base'> {
  stop(): Promise<void>
}

async function startServer(recording: string): Promise<Running> {
  const { CONTRACT_LOGIN = 'admin', CONTRACT_PASSWORD = 'admin' } = process.env
  if (OTHER_SERVER !== undefined) return { url: OTHER_SERVER, login: CONTRACT_LOGIN, password: CONTRACT_PASSWORD, stop: () => Promise.resolve() }
  const server = await startDemoServer({
    ...(recording.startsWith('07b') ? { accessTokenTtlS: SHORT_TOKEN_S } : {}),
    // These look at the index while it lags behind: on a busy machine a second is not long enough for that.
    ...(/^04(c|-)/.test(recording) ? { indexDelayMs: 1500 } : {}),
  })
  return { url: server.url, login: 'admin', password: 'admin', stop: () => server.close() }
}

/** The recordings keep some listings only as their result. */
function completed(item: RecordedItem & { request?: { NodePaths?: unknown }; status?: number; names?: string[]; Pagination?: unknown }): RecordedItem {
  if (item.request?.NodePaths === undefined) return item
  const Nodes = item.names === undefined || item.names.length === 0 ? undefined : item.names.map((name) => ({ MetaStore: { name: JSON.stringify(name) } }))
  return {
    name: item.name,
    request: { method: 'POST', path: '/a/meta/bulk/get', headers: { 'Content-Type': 'application/json', Authorization: 'Bearer <TOKEN>' }, body: item.request },
    response: { status: item.status ?? 200, body: { ...(Nodes === undefined ? {} : { Nodes }), ...(item.Pagination === undefined ? {} : { Pagination: item.Pagination }) }, partial: true },
  }
}

async function load(file: string, url: string): Promise<{ items: RecordedItem[]; base: string }> {
  const parse = (text: string): Array<RecordedItem & { BASE?: string }> => JSON.parse(text) as Array<RecordedItem & { BASE?: string }>
  const text = (await readFile(join(RECORDINGS, file), 'utf8')).replaceAll(RECORDED_ORIGIN, new URL(url).host)
    .replaceAll(encodeURIComponent(RECORDED_ORIGIN), encodeURIComponent(new URL(url).host))
  const base = parse(text).find((item) => item.BASE !== undefined)?.BASE ?? /personal-files\/t\w+-mwr\w+/.exec(text)?.[0] ?? 'personal-files'
  if (OTHER_SERVER === undefined) return { items: parse(text).map((item) => completed(item)), base }
  // On a server that is not new, a folder of our own.
  const own = `${base}-${Date.now().toString(36)}`
  const [from, to] = [base, own].map((path) => path.split('/').pop()!)
  const password = JSON.stringify(process.env['CONTRACT_PASSWORD'] ?? 'admin')
  return { items: parse(text.replaceAll(from!, to!).replaceAll('"password": "admin"', `"password": ${password}`)).map((item) => completed(item)), base: own }
}

const total = { matched: 0, exchanges: 0, excluded: 0 }
const exclusions = new Map(EXCLUSIONS.map((each) => [each.item, each]))

async function replay(recording: string, file: string): Promise<string[]> {
  const server = await startServer(recording)
  try {
    const { items, base } = await load(file, server.url)
    const session = new ReplaySession({ ...server, base })
    await session.signIn()
    await session.learn(`/a/user/${server.login}`, RECORDED_ADMIN, (body) => body['Uuid'])
    // The recorded server had two workspaces; the embedded one has a third to show read-only rights with.
    if (OTHER_SERVER === undefined) await session.json('DELETE', '/a/workspace/ro-ws')
    const trouble: string[] = []
    const judge = (i: number, found: string[]): void => {
      const exclusion = exclusions.get(`${recording}#${i}`)
      total.exchanges++
      if (found.length === 0) total.matched++
      if (exclusion === undefined) {
        if (found.length > 0) trouble.push(`#${i} ${items[i]!.name}: ${found.slice(0, 4).join('; ')}`)
      } else if (found.length > 0) total.excluded++
      else if (exclusion.sometimes !== true) trouble.push(`#${i} ${items[i]!.name}: is excluded but matches; take it off the list`)
    }
    if (recording === '07-websocket') await replayEvents(session, items, judge)
    for (const [i, item] of items.entries()) {
      const found = exclusions.get(`${recording}#${i}`)?.skip === true ? ['not played'] : await session.play(item, STEPS[recording]?.[i])
      if (found !== undefined) judge(i, found)
    }
    return trouble
  } finally {
    await server.stop()
  }
}

const only = OTHER_SERVER === undefined ? process.env['CONTRACT_FILES']?.split(',') : (process.env['CONTRACT_FILES'] ?? '').split(',').filter((each) => each !== '')
const files = (await readdir(RECORDINGS)).filter((file) => file.endsWith('.json') && (only === undefined || only.some((each) => file.startsWith(each)))).sort()

describe('contract replay', { concurrency: 6 }, () => {
  for (const file of files) {
    const recording = file.replace(/\.json$/, '')
    it(recording, async () => {
      const trouble = await replay(recording, file)
      assert.equal(trouble.length, 0, `\n${trouble.join('\n')}`)
    })
  }
  after(() => {
    console.log(`contract: ${total.matched}/${total.exchanges} (${total.excluded} left out, each with its reason in contract-exclusions.ts)`)
  })
})
