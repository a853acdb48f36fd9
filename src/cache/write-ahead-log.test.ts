import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type Frame, LOG_BYTES, missing, WriteAheadLog } from './write-ahead-log.js'

function withFile(work: (file: string) => void | Promise<void>): () => Promise<void> {
  return async () => {
    const dir = mkdtempSync(join(tmpdir(), 'cellsfs-log-'))
    try {
      await work(join(dir, 'log'))
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  }
}

const texts = (frames: Iterable<Frame>): string[] => [...frames].map(({ records }) => records.toString())
const HALF = LOG_BYTES / 2

function read(file: string): readonly Frame[] {
  const { log, found } = WriteAheadLog.open(file)!
  log.close(false)
  return found.frames
}

describe('the log', () => {
  it('has what was appended, in its order, and what the database lacks of it', withFile(async (file) => {
    const { log, found } = WriteAheadLog.open(file)!
    assert.deepEqual(found.frames, [])
    const size = statSync(file).size
    assert.ok(log.append([Buffer.from('a'), Buffer.from('b')], 10))
    assert.ok(log.append([Buffer.from('c')], 11))
    await log.sync()
    assert.deepEqual(texts(read(file)), ['ab', 'c'])
    assert.deepEqual(texts(missing(read(file), 10).frames), ['c'])
    assert.equal(statSync(file).size, size, 'there was room for it before')
    log.close(false)
    const again = WriteAheadLog.open(file)!
    assert.deepEqual(texts(again.found.frames), ['ab', 'c'])
    assert.equal(again.log.append([Buffer.from('d')], 12), false, 'what the database may not have is not written over')
    again.log.release(11)
    assert.ok(again.log.append([Buffer.from('d')], 12))
    assert.deepEqual(texts(missing(read(file), 11).frames), ['d'])
    again.log.close(true)
    assert.deepEqual(read(file), [])
  }))

  it('uses no half again that the database does not have, and goes on when it has', withFile((file) => {
    const { log } = WriteAheadLog.open(file)!
    const record = Buffer.alloc(HALF / 4, 'x')
    let number = 0
    while (log.append([record], number + 1)) number++
    assert.equal(number, 6)
    assert.ok(log.isFilling)
    log.release(2)
    assert.equal(log.append([record], 7), false)
    log.release(3)
    for (let left = 3; left > 0; left--) assert.ok(log.append([record], ++number))
    assert.equal(log.append([record], 10), false)
    assert.deepEqual(read(file).map((it) => it.number), [4, 5, 6, 7, 8, 9])
    assert.equal(log.append([Buffer.alloc(HALF)], 10), false, 'larger than a half')
    log.close(false)
  }))

  it('is not there where it cannot be written', withFile((file) => {
    mkdirSync(file)
    assert.equal(WriteAheadLog.open(file), undefined)
  }))

  it('believes no frame that is damaged, wherever it is hit, and says when one is missing', withFile((file) => {
    fc.assert(fc.property(
      fc.array(fc.record({ bytes: fc.integer({ min: 0, max: Math.floor(HALF / 3) }), release: fc.boolean() }), { minLength: 1, maxLength: 14 }), fc.nat(), fc.integer({ min: 1, max: 255 }),
      (steps, where, change) => {
        rmSync(file, { force: true })
        const { log } = WriteAheadLog.open(file)!
        let [number, released] = [0, 0]
        for (const { bytes, release } of steps) {
          if (release) log.release(released = number)
          if (log.append([Buffer.alloc(bytes, number + 1)], number + 1)) number++
        }
        log.close(false)
        const whole = missing(read(file), released)
        assert.deepEqual([whole.frames.map((it) => it.number), whole.gap], [Array.from({ length: number - released }, (_, n) => released + 1 + n), false])
        const bytes = readFileSync(file)
        bytes[where % bytes.length]! ^= change
        writeFileSync(file, bytes)
        const left = missing(read(file), released)
        const lost = whole.frames.filter((it) => !left.frames.some((other) => other.number === it.number))
        assert.ok(lost.length <= 1)
        assert.deepEqual(left.frames, whole.frames.filter((it) => !lost.includes(it)))
        assert.equal(left.gap, lost.length === 1 && lost[0]!.number !== number, 'the last one may never have been safe')
      },
    ), { numRuns: 25 })
  }))
})
