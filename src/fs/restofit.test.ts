/** What comes of a file unasked, when it is read here and there. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BLOCK_SIZE } from '../cache/blocks.js'
import { RestOfIt } from './restofit.js'

interface Piece {
  readonly index: number
  readonly count: number
  readonly end: (came: boolean, ms?: number) => Promise<void>
}

/** A file of `count` blocks, whose pieces come when the test says so. */
function world(count: number, cacheBlocks = 1_000_000): { rest: RestOfIt; pieces: Piece[]; here: Set<number>; underWay: () => number; wait: (index: number) => void; refuse: (yes: boolean) => void } {
  const here = new Set<number>()
  const coming = new Set<number>()
  const pieces: Piece[] = []
  let [clock, open, refused] = [0, 0, false]
  const rest = new RestOfIt({
    count,
    cacheBytes: cacheBlocks * BLOCK_SIZE,
    lacks: (index) => !here.has(index) && !coming.has(index),
    fetch: (index, run) => {
      if (refused) return undefined
      const blocks = Array.from({ length: run }, (_, each) => index + each)
      for (const block of blocks) {
        assert.ok(!here.has(block) && !coming.has(block) && block < count, `block ${block} is asked for once`)
        coming.add(block)
      }
      open++
      return new Promise((resolve) => {
        pieces.push({
          index, count: run,
          end: async (came, ms = 10) => {
            clock += ms
            open--
            for (const block of blocks) {
              coming.delete(block)
              if (came) here.add(block)
            }
            resolve(came)
            await new Promise(setImmediate)
          },
        })
      })
    },
  }, () => clock)
  return {
    rest, pieces, here, underWay: () => open, refuse: (yes) => { refused = yes },
    wait: (index) => {
      here.add(index)
      rest.missed(index)
    },
  }
}

describe('the rest of a file that is read here and there', () => {
  it('does not come for a few reads', () => {
    const { wait, pieces } = world(1000)
    for (const index of [900, 3, 500]) wait(index)
    assert.equal(pieces.length, 0)
  })

  it('comes piece by piece, more at once while they come quickly, from where somebody waited on and around to the beginning', async () => {
    const { wait, pieces, here, underWay } = world(100)
    for (const index of [90, 3, 50, 70]) wait(index)
    assert.deepEqual(pieces.map(({ index }) => index), [71])
    let most = 0
    for (let done = 0; done < pieces.length; done++) {
      if (done === 1) for (let more = 0; more < 10; more++) wait(70)
      await pieces[done]!.end(true)
      most = Math.max(most, underWay())
    }
    assert.equal(here.size, 100)
    assert.equal(most, 6)
  })

  it('is what the reads that waited allow, twice as much with each', async () => {
    const { wait, pieces } = world(1000)
    const come = async (): Promise<number> => {
      for (let done = 0; done < pieces.length; done++) await pieces[done]!.end(true).catch(() => {})
      return pieces.reduce((sum, { count }) => sum + count, 0)
    }
    for (const index of [0, 100, 200, 300]) wait(index)
    const first = await come()
    wait(400)
    const second = await come()
    wait(500)
    assert.deepEqual([first, second, await come()], [8, 16, 32])
  })

  it('is no more than a quarter of the cache', async () => {
    const { wait, pieces } = world(1000, 40)
    for (let index = 0; index < 30; index++) wait(index * 30)
    for (let done = 0; done < pieces.length; done++) await pieces[done]!.end(true)
    assert.ok(pieces.reduce((sum, { count }) => sum + count, 0) <= 12)
  })

  it('is left alone on a slow line, and when it cannot be had', async () => {
    for (const [came, ms] of [[true, 2_000], [false, 10]] as const) {
      const { wait, pieces, underWay } = world(1000)
      for (const index of [0, 100, 200, 300, 400]) wait(index)
      await pieces[0]!.end(came, ms)
      assert.equal(underWay(), 0)
      wait(500)
      assert.equal(pieces.length, 1)
    }
  })

  it('comes with less at once where pieces take long', async () => {
    const { wait, pieces, underWay } = world(1000)
    for (let index = 0; index < 20; index++) wait(index * 40)
    for (let done = 0; done < 8; done++) await pieces[done]!.end(true)
    assert.equal(underWay(), 6)
    for (let done = 8; done < 14; done++) await pieces[done]!.end(true, done === 8 ? 310 : 100)
    assert.equal(underWay(), 1)
  })

  it('stops when the file is closed, and begins anew', async () => {
    const { wait, rest, pieces } = world(1000)
    for (const index of [0, 100, 200, 300, 400]) wait(index)
    rest.stop()
    await pieces[0]!.end(true)
    assert.equal(pieces.length, 1)
    for (const index of [500, 600, 700]) wait(index)
    assert.equal(pieces.length, 1)
    wait(800)
    assert.equal(pieces.length, 2)
  })

  it('waits for its turn while others use the line, and goes on with the next read that waits', async () => {
    const { wait, pieces, refuse } = world(1000)
    refuse(true)
    for (const index of [0, 100, 200, 300]) wait(index)
    assert.equal(pieces.length, 0)
    refuse(false)
    wait(400)
    assert.equal(pieces.length, 1)
    await pieces[0]!.end(true)
    assert.ok(pieces.length > 1)
  })
})
