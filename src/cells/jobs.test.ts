import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Deadline } from './deadline.js'
import { Jobs, type JobsParts } from './jobs.js'
import type { CallOptions } from './server.js'
import type { CellsNode } from './types.js'

/** A server whose jobs end at once, and whose tree shows what `stat` says. */
function jobs(stat: (path: string) => CellsNode | undefined): Jobs {
  const answers: Record<string, unknown> = { PUT: { JobUuid: 'job' }, POST: { Jobs: [{ ID: 'job', Tasks: [{ Status: 'Finished' }] }] } }
  const parts = {
    rest: {
      call: ({ method }: { method: string }) => Promise.resolve(answers[method]),
      http: { deadline: (ms: number, doing: string) => new Deadline(ms, doing, []) },
    },
    tree: {
      stat: (path: string, _options: CallOptions) => Promise.resolve(stat(path)),
      guard: { checkExisting: () => Promise.resolve(), creating: (_path: string, _signal: AbortSignal, work: () => Promise<unknown>) => work() },
    },
    features: { nameRules: () => Promise.resolve(undefined) },
    wakeUps: { connected: false, watch: () => () => {} },
  }
  return new Jobs(parts as unknown as JobsParts)
}

test('a move ends when somebody has taken the node on before it was seen at its new place', { timeout: 60_000 }, async () => {
  assert.equal(await jobs(() => undefined).move('ws/a', 'ws/b'), undefined)
})

test('a move whose node is still at its old place is waited for', async () => {
  let looks = 0
  const node = { path: 'ws/b', kind: 'file' } as CellsNode
  const shown = await jobs((path) => path === 'ws/a' ? node : ++looks > 12 ? node : undefined).move('ws/a', 'ws/b')
  assert.equal(shown, node)
})

test('a move of a folder ends when somebody has made another one in its old place', { timeout: 60_000 }, async () => {
  const node = { path: 'ws/b', kind: 'folder', uuid: 'ours' } as CellsNode
  const other = { path: 'ws/a', kind: 'folder', uuid: 'theirs' } as CellsNode
  assert.equal(await jobs((path) => path === 'ws/b' ? node : other).move('ws/a', 'ws/b'), node)
})

test('... and another file, before ours was seen at its new place and taken on from there', { timeout: 60_000 }, async () => {
  assert.equal(await jobs((path) => path === 'ws/b' ? undefined : { path: 'ws/a', kind: 'file' } as CellsNode).move('ws/a', 'ws/b'), undefined)
})
