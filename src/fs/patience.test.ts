import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CellsError } from '../cells/errors.js'
import { Patience } from './patience.js'

describe('Patience', () => {
  it('asks no further questions for a moment after one that failed, and then again', async () => {
    let now = 0
    let asked = 0
    const patience = new Patience(() => now)
    const question = (fails: boolean) => (): Promise<string> => {
      asked++
      return fails ? Promise.reject(new CellsError('network', 'unreachable')) : Promise.resolve('answer')
    }
    await assert.rejects(patience.ask(question(true)), { kind: 'network' })
    await assert.rejects(patience.ask(question(false)), { kind: 'network' })
    assert.equal(asked, 1)
    now += 60_000
    assert.equal(await patience.ask(question(false)), 'answer')
    await assert.rejects(patience.ask(question(true)), { kind: 'network' })
    patience.reset()
    assert.equal(await patience.ask(question(false)), 'answer')
  })

  it('does not take a clear answer for an outage', async () => {
    const patience = new Patience(() => 0)
    await assert.rejects(patience.ask(() => Promise.reject(new CellsError('forbidden', 'no'))), { kind: 'forbidden' })
    assert.equal(await patience.ask(() => Promise.resolve(1)), 1)
  })

  it('gives up on a question without an end', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const answer = assert.rejects(new Patience(() => 0).ask(() => new Promise(() => {})), { kind: 'timeout' })
    t.mock.timers.runAll()
    await answer
  })
})
