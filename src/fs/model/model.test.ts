/**
 * Random operations on the mount engine and by a second client, compared with the reference model after every step and at each
 * quiescence. CI runs a few seconds of it; a long run: MODEL_OPS=1000000 MODEL_WORKERS=4 node <build>/src/fs/model/long.testing.js
 * (see there). What it finds is printed as a test, to be pasted below.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { RunKind } from './operations.testing.js'
import { replay, search } from './search.testing.js'

const seed = Number(process.env['MODEL_SEED'] ?? 1_000)
const operations = Number(process.env['MODEL_OPS'] ?? 1_000)

describe('model', { concurrency: true, timeout: 24 * 3_600_000 }, () => {
  const kinds: readonly { readonly kind: RunKind; readonly share: number; readonly what: string }[] = [
    { kind: 'solo', share: 1, what: 'alone' },
    { kind: 'shared', share: 0.05, what: 'with a second client' },
    { kind: 'rough', share: 0.05, what: 'with a second client, failing requests and events that come late, twice, out of turn or never' },
  ]
  for (const { kind, share, what } of kinds) {
    it(`answers as the model does, ${what}`, async () => {
      const report = await search({ kinds: [kind], operations: operations * share, length: 50, seed, engines: kind === 'solo' ? 6 : 3, shrinkMs: operations > 10_000 ? 300_000 : 1_000 })
      console.log(`model, ${kind}: ${report.operations} operations in ${report.runs} runs, ${Math.round(report.operations / report.seconds)} operations/s, ${report.failures.length} failures (seed ${seed})`)
      assert.deepEqual(report.failures.join('\n'), '')
    })
  }
})

/** Found by the search, made small. */
describe('model: cases', { concurrency: true, timeout: 120_000 }, () => {
  it('a save that the index shows while the next one is being sent is no conflict', () => replay({
    setting: { server: 4, events: 'plain', faults: 0, seed: 1 },
    operations: [['write', 'a', 8], ['truncate', 'a', 47], ['write', 'a', 30], ['append', 'a', 9], ['sync']],
  }))

  it('the mode of a folder stays as it was set', () => replay({
    setting: { server: 4, events: 'plain', faults: 0, seed: 1 },
    operations: [['mkdir', 'd'], ['unlink', 'd/a'], ['chmod', 'd', 0o600], ['sync'], ['restart', 'warm']],
  }))

  it('a link renamed over a file', () => replay({
    setting: { server: 4, events: 'plain', faults: 0, seed: 1 },
    operations: [['write', 'b', 13], ['symlink', 'a', 'l'], ['rename', 'l', 'b'], ['sync']],
  }))

  it('an open file with unsent changes is renamed: the old name is gone', () => replay({
    setting: { server: 4, events: 'plain', faults: 0, seed: 1 },
    operations: [['mkdir', 'd'], ['open', 1, 'd/a~', 'c'], ['list', 'd'], ['sync'], ['hwrite', 1, 2, 5_000], ['rename', 'd/a~', 'a'], ['sync']],
  }))

  it('an open file with unsent changes is renamed over another: the old name does not come back', () => replay({
    setting: { server: 4, events: 'plain', faults: 0, seed: 1 },
    operations: [['write', 'a', 58], ['open', 1, 'b', 'c'], ['sync'], ['hwrite', 1, 2, 5_000], ['rename', 'b', 'a'], ['sync']],
  }))

  it('what is written to an open file that somebody has deleted, in a folder that is deleted since, holds up nothing', () => replay({
    setting: { server: 2, events: 'plain', faults: 0, seed: 1 },
    operations: [
      ['mkdir', 'd'], ['mkdir', 'e'], ['open', 0, 'e/c.txt', 'c'], ['hwrite', 0, 0, 20], ['sync'], ['their delete', 'e/c.txt'], ['rmdir', 'e'],
      ['wait'], ['hwrite', 0, 7, 45], ['sync'],
    ],
  }))

  it('... in a folder that another one is renamed over', () => replay({
    setting: { server: 2, events: 'plain', faults: 0, seed: 1 },
    operations: [
      ['mkdir', 'd'], ['mkdir', 'd/s'], ['mkdir', 'e'], ['open', 0, 'e/c.txt', 'c'], ['wait'], ['sync'], ['their delete', 'e/c.txt'],
      ['rename', 'd/s', 'e'], ['wait'], ['hwrite', 0, 7, 45], ['sync'],
    ],
  }))

  it('a file whose old place has gone with its folder becomes a conflict copy', () => replay({
    setting: { server: 2, events: 'plain', faults: 0, seed: 1 },
    operations: [
      ['mkdir', 'd'], ['mkdir', 'd/s'], ['write', 'd/s/.h', 58], ['wait'], ['their put', 'd/b', 59], ['pause', 25], ['rename', 'd/s/.h', 'd/b'],
      ['their put', 'd/b', 46], ['rmdir', 'd/s'], ['sync'],
    ],
  }))

  it('a link that somebody writes over while it is renamed is a file', () => replay({
    setting: { server: 4, events: 'plain', faults: 0, seed: 1 },
    operations: [['symlink', 'x', 'b'], ['sync'], ['rename', 'b', 'a'], ['their put', 'b', 10], ['sync'], ['their put', 'a', 12], ['sync']],
  }))

  for (const again of [['mkdir', 'd'], ['their mkdir', 'd']] as const) it(`an open file whose folder somebody has deleted, and ${again[0] === 'mkdir' ? 'we have' : 'has'} made again, is in the new one when it is written to`, () => replay({
    setting: { server: 4, events: 'plain', faults: 0, seed: 1 },
    operations: [['mkdir', 'd'], ['open', 0, 'd/a', 'c'], ['hwrite', 0, 0, 12], ['sync'], ['their delete', 'd'], ['wait'], again, ['wait'], ['list', ''], ['list', 'd'], ['hwrite', 0, 4, 20], ['sync']],
  }))

  it('a file that is read while it is confirmed stays in its folder', () => replay({
    setting: { server: 2, events: 'plain', faults: 0, seed: 1 },
    operations: [['mkdir', 'd'], ['write', 'd/a', 38], ['read', 'e'], ['sync']],
  }))

  it('a file made anew under a name from which another one is still to be moved', () => replay({
    setting: { server: 4, events: 'plain', faults: 0, seed: 1 },
    operations: [['mkdir', 'd'], ['write', 'd/b', 12], ['write', 'a', 13], ['sync'], ['rename', 'd/b', 'c.txt'], ['write', 'd/b', 53], ['rename', 'a', 'd/.h'], ['symlink', 'c.txt', 'a'], ['sync'], ['rename', 'c.txt', '.h'], ['write', 'c.txt', 22]],
  }))

  it('a file is moved out of a folder, and the folder deleted, while the file is being sent', () => replay({
    setting: { server: 4, events: 'plain', faults: 0, seed: 1 },
    operations: [['mkdir', 'e'], ['sync'], ['write', 'e/.h', 57], ['pause', 12], ['rename', 'e/.h', 'b'], ['rmdir', 'e'], ['sync']],
  }))

  it('a file is replaced while it is being sent', () => replay({
    setting: { server: 4, events: 'plain', faults: 0, seed: 1 },
    operations: [['write', 'b', 25], ['sync'], ['write', 'a', 53], ['pause', 12], ['rename', 'b', 'a'], ['sync']],
  }))

  it('a file is renamed, or deleted, while the server is moving it', () => replay({
    setting: { server: 4, events: 'plain', faults: 0, seed: 1 },
    operations: [
      ['mkdir', 'd'], ['write', 'a', 25], ['write', 'b', 26], ['write', 'c.txt', 27], ['write', 'd/a', 28], ['mkdir', 'e'], ['sync'],
      ['rename', 'a', 'd/b'], ['pause', 14], ['rename', 'd/b', 'c.txt'], ['stat', 'd/b'], ['rename', 'b', 'a'], ['pause', 12], ['unlink', 'a'],
      ['rename', 'd/a', 'd/.h'], ['pause', 14], ['rename', 'd/.h', 'b'], ['write', 'd/.h', 30], ['rename', 'e', 'd/s'], ['pause', 13], ['rmdir', 'd/s'], ['sync'],
    ],
  }))

  it('a folder moves below others that are still to be made, one of them under its own old name', () => replay({
    setting: { server: 4, events: 'plain', faults: 0, seed: 1 },
    operations: [
      ['mkdir', 'd'], ['mkdir', 'd/s'], ['write', 'd/s/a', 12], ['sync'],
      ['mkdir', 'e'], ['rename', 'd', 'e/t'], ['mkdir', 'd'], ['sync'], ['rename', 'e/t', 'x'], ['rename', 'e', 'y'], ['mkdir', 'e'], ['mkdir', 'e/t'], ['rename', 'y', 'e/t/y'], ['sync'],
    ],
  }))

  it('a content that somebody deletes before the server shows it is no longer waited for', () => replay({
    setting: { server: 2, events: 'plain', faults: 0, seed: 1 },
    operations: [['write', 'a', 14], ['their delete', 'a'], ['sync']],
  }))

  it('a content that somebody deletes before the server shows it, and of which no event comes, is there again', () => replay({
    setting: { server: 2, events: 'plain', faults: 0, seed: 1 },
    operations: [['write', '.h', 14], ['their delete', '.h'], ['sync']],
  }))

  it('a file that is open and deleted by somebody is read to the hole at its end', () => replay({
    setting: { server: 2, events: 'plain', faults: 0, seed: 1 },
    operations: [['mkdir', 'd'], ['open', 1, 'd/.h', 'c'], ['htruncate', 1, 55], ['their delete', 'd/.h'], ['hread', 1]],
  }))

  it('a file that is open in a folder in which somebody else has been busy', () => replay({
    setting: { server: 4, events: 'plain', faults: 0, seed: 1 },
    operations: [
      ['mkdir', 'd'], ['write', 'd/a', 48], ['sync'], ['open', 0, 'd/a', 'a'], ['their put', 'd/b', 15], ['chmod', 'd', 0o600], ['sync'], ['hwrite', 0, 0, 50], ['sync'],
    ],
  }))

  it('a file is renamed out of a folder that somebody else has just renamed', () => replay({
    setting: { server: 2, events: 'late', faults: 0, seed: 3 },
    operations: [['mkdir', 'd'], ['mkdir', 'e'], ['write', 'e/a', 12], ['sync'], ['their move', 'e', 'x'], ['rename', 'e/a', 'd/b'], ['sync']],
  }))

  it('a dot-file is renamed out of a folder of which nobody has told yet that somebody else has renamed it', () => replay({
    setting: { server: 2, events: 'late', faults: 0, seed: 3 },
    operations: [['mkdir', 'd'], ['mkdir', 'e'], ['their put', 'e/.h', 12], ['sync'], ['list', 'e'], ['their move', 'e', 'x'], ['rename', 'e/.h', 'd/b'], ['sync']],
  }))

  it('S59: a part of a file is changed whose rest cannot be had, and somebody replaces the file', () => replay({
    setting: { server: 4, events: 'plain', faults: 85, seed: 5 },
    operations: [['their put', 'a', 5_000], ['wait'], ['list', ''], ['list', ''], ['patch', 'a', 10, 20], ['their put', 'a', 30], ['sync']],
  }))

  it('a dot-file of somebody else in a folder made here shows up', () => replay({
    setting: { server: 2, events: 'plain', faults: 0, seed: 1 },
    operations: [['mkdir', 'd'], ['mkdir', 'd/s'], ['their put', 'd/s/.h', 13], ['sync']],
  }))
})
