import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { FsError } from '../../errno.js'
import type { Caller, Entry, FileSystem, Ino } from '../driver.js'
import { Dentries } from './dentries.js'

const caller: Caller = { uid: 0, gid: 0, pid: 0 }

/** Names are numbers, folders are endless; `gone` names do not exist. Counts the lookups that are held. */
function fakeFs(entryTimeoutMs: number, gone = new Set<string>()): { fs: FileSystem; held: Map<Ino, number>; asked: string[] } {
  const held = new Map<Ino, number>()
  const asked: string[] = []
  const lookup = (parent: Ino, name: string): Promise<Entry> => {
    asked.push(name)
    if (gone.has(name)) return Promise.reject(new FsError('ENOENT'))
    const ino = parent * 10 + Number(name)
    held.set(ino, (held.get(ino) ?? 0) + 1)
    return Promise.resolve({ attr: { ino } as Entry['attr'], generation: 0, entryTimeoutMs, attrTimeoutMs: 0 })
  }
  const forget = (ino: Ino, count: number): void => {
    const left = (held.get(ino) ?? 0) - count
    assert.ok(left >= 0, `inode ${ino} was forgotten too often`)
    if (left === 0) held.delete(ino)
    else held.set(ino, left)
  }
  return { fs: { lookup, forget } as unknown as FileSystem, held, asked }
}

describe('Dentries', () => {
  it('walks a path and believes what it knows for as long as the engine said', async () => {
    const { fs, asked } = fakeFs(60_000)
    const dentries = new Dentries(fs)
    assert.equal(await dentries.resolve('/2/3/4', caller), 1234)
    assert.equal(await dentries.resolve('/2/3/5', caller), 1235)
    assert.deepEqual(asked, ['2', '3', '4', '5'])
    assert.deepEqual(await dentries.place('/2/3/9', caller), { parent: 123, name: '9' })
    assert.equal(await dentries.resolve('/', caller), 1)
    await assert.rejects(dentries.place('/', caller), { code: 'EBUSY' })
  })

  it('asks again when the time is over', async () => {
    const { fs, asked } = fakeFs(0)
    const dentries = new Dentries(fs)
    await dentries.resolve('/2/3', caller)
    await dentries.resolve('/2/3', caller)
    assert.deepEqual(asked, ['2', '3', '2', '3'])
  })

  it('drops a name that is refused', async () => {
    const gone = new Set<string>()
    const { fs, held } = fakeFs(0, gone)
    const dentries = new Dentries(fs)
    await dentries.resolve('/2/3', caller)
    gone.add('3')
    await assert.rejects(dentries.resolve('/2/3', caller), { code: 'ENOENT' })
    assert.deepEqual([...held], [[12, 1]])
  })

  it('gives every lookup back, whatever happens, and pinned ones not before the last close', async () => {
    const path = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 3 }).map((names) => `/${names.join('/')}`)
    const step = fc.oneof(
      fc.record({ op: fc.constant('resolve'), path }), fc.record({ op: fc.constant('drop'), path }),
      fc.record({ op: fc.constant('open'), path }), fc.record({ op: fc.constant('close'), path }), fc.record({ op: fc.constant('take'), path }),
    )
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.boolean(), async (steps, expires) => {
      const { fs, held } = fakeFs(expires ? 0 : 60_000)
      // So small that entries are evicted all the time.
      const dentries = new Dentries(fs, 3)
      const opened: Ino[] = []
      const taken: Ino[] = []
      for (const { op, path: at } of steps) {
        if (op === 'resolve') await dentries.resolve(at, caller)
        else if (op === 'drop') dentries.drop(await dentries.place(at, caller))
        else if (op === 'open') {
          const ino = await dentries.resolve(at, caller)
          dentries.pin(ino)
          opened.push(ino)
        } else if (op === 'take') {
          const ino = dentries.take(await dentries.place(at, caller))
          if (ino !== undefined) taken.push(ino)
        } else if (opened.length > 0) dentries.unpin(opened.shift()!)
        for (const ino of [...opened, ...taken]) assert.ok(held.has(ino), `inode ${ino} is in use and was forgotten`)
      }
      for (const ino of taken) dentries.forget(ino)
      dentries.clear()
      assert.deepEqual([...held], [])
    }), { numRuns: 200 })
  })
})
