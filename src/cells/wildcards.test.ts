import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { CellsError } from './errors.js'
import { baseOf, parentOf } from './names.js'
import { escapeWildcards, likeMatches, WildcardGuard, type Found } from './wildcards.js'

describe('SQL LIKE', () => {
  it('matches as the server does', () => {
    for (const [pattern, name, expected] of [
      ['a_b', 'a-b', true], ['a_b', 'a_b', true], ['a_b', 'ab', false], ['a_b', 'a--b', false], ['%', '', true], ['%', 'x', true], ['100%', '100', true], ['100%', '1000', true],
      ['100%', '10', false], ['a%b%c', 'axxbyyc', true], ['a%b%c', 'axxbyy', false], ['_', '漢', true], ['_', '😀', true], ['.', 'x', false], ['a%%', 'a', true], ['c-d', 'c-d', true],
    ] as const) assert.equal(likeMatches(pattern, name), expected, `${pattern} ${name}`)
  })

  it('agrees with the regular expression of the pattern', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '_', '%', '-'), maxLength: 8 })
    fc.assert(fc.property(text, text, (pattern, name) => likeMatches(pattern, name) === new RegExp(`^${pattern.replaceAll('_', '.').replaceAll('%', '.*')}$`).test(name)))
  })

  it('every name matches itself', () => {
    fc.assert(fc.property(fc.string({ maxLength: 20 }), (name) => likeMatches(name, name)))
  })

  it('is escaped with backslashes', () => {
    assert.equal(escapeWildcards('ws/a_b/100%'), 'ws/a\\_b/100\\%')
  })
})

/** An index with the fault: the first node whose name is LIKE the one asked for. */
class FaultyIndex {
  readonly paths: string[] = []
  looks = 0

  find(path: string): Found {
    this.looks++
    const hit = this.paths.find((each) => parentOf(each) === parentOf(path) && likeMatches(baseOf(path), baseOf(each)))
    if (hit === undefined) return { what: 'nothing' }
    return hit === path ? { what: 'itself' } : { what: 'other', name: baseOf(hit), hidden: this.paths.includes(path) }
  }

  create(path: string): void {
    const found = this.find(path)
    if (found.what === 'other') throw new Error(`${path} has damaged ${found.name}`)
    if (found.what === 'nothing') this.paths.push(path)
  }
}

function guardOf(index: FaultyIndex): WildcardGuard {
  return new WildcardGuard((path) => Promise.resolve(index.find(path)), () => Promise.resolve())
}

const refused = (error: unknown): boolean => error instanceof CellsError && error.kind === 'invalid'

describe('the guard', () => {
  it('asks nothing for names without wildcards', async () => {
    const index = new FaultyIndex()
    await guardOf(index).creating('ws/dir/plain-name.txt', undefined, () => Promise.resolve())
    assert.equal(index.looks, 0)
  })

  it('refuses a name that would hit another node, also as a folder of the path', async () => {
    const index = new FaultyIndex()
    index.paths.push('ws/a-b')
    const guard = guardOf(index)
    const never = (): Promise<void> => Promise.reject(new Error('must not be sent'))
    await assert.rejects(guard.creating('ws/a_b', undefined, never), refused)
    await assert.rejects(guard.creating('ws/a_b/x', undefined, never), refused)
    await assert.rejects(guard.checkExisting('ws/a_b'), (error: unknown) => error instanceof CellsError && error.kind === 'not-found')
    index.paths.push('ws/a_b')
    await assert.rejects(guard.checkExisting('ws/a_b'), refused)
  })

  it('lets a node be overwritten under its own name', async () => {
    const index = new FaultyIndex()
    index.paths.push('ws/a_b', 'ws/a-b')
    await guardOf(index).creating('ws/a_b', undefined, () => Promise.resolve())
    await guardOf(index).checkExisting('ws/a_b')
  })

  it('keeps creations that run at the same time from damaging each other', async () => {
    const name = fc.string({ unit: fc.constantFrom('a', 'b', '_', '%'), minLength: 1, maxLength: 3 })
    await fc.assert(fc.asyncProperty(fc.uniqueArray(name, { minLength: 2, maxLength: 6 }), fc.scheduler(), async (names, scheduler) => {
      const index = new FaultyIndex()
      let now = 0
      const pause = (ms: number): Promise<void> => {
        now += ms
        return Promise.resolve()
      }
      const guard = new WildcardGuard((path) => scheduler.schedule(Promise.resolve()).then(() => index.find(path)), pause, () => now)
      const all = Promise.allSettled(names.map((each) => guard.creating(`ws/${each}`, undefined, async () => {
        await scheduler.schedule(Promise.resolve())
        index.create(`ws/${each}`)
      })))
      await scheduler.waitFor(all)
      for (const outcome of await all) if (outcome.status === 'rejected') assert.ok(refused(outcome.reason), String(outcome.reason))
    }), { numRuns: 200 })
  })
})
