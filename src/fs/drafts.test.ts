import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import { type Content, Draft } from './drafts.js'

const content = (bytes: Buffer): Content => ({
  size: bytes.length,
  read: async (offset, length) => {
    await Promise.resolve()
    return bytes.subarray(offset, offset + length)
  },
})

const SPACE = 200
const step = fc.oneof(
  fc.record({ op: fc.constant('write' as const), at: fc.nat(SPACE), data: fc.uint8Array({ maxLength: 40 }) }),
  fc.record({ op: fc.constant('append' as const), data: fc.uint8Array({ maxLength: 20 }) }),
  fc.record({ op: fc.constant('truncate' as const), at: fc.nat(SPACE) }),
  fc.record({ op: fc.constant('read' as const), at: fc.nat(SPACE), length: fc.nat(SPACE) }),
  fc.record({ op: fc.constant('fill' as const) }),
  fc.record({ op: fc.constant('upload' as const) }),
  // To where contents no longer live in memory.
  fc.record({ op: fc.constant('write' as const), at: fc.nat(60).map((at) => 8192 - 50 + at), data: fc.uint8Array({ maxLength: 40 }) }),
  fc.record({ op: fc.constant('truncate' as const), at: fc.nat(20).map((at) => 8192 - 10 + at) }),
  fc.record({ op: fc.constant('disk' as const) }),
  fc.record({ op: fc.constant('sync' as const) }),
)

describe('Draft', () => {
  let dir: string
  before(async () => { dir = await mkdtemp(join(tmpdir(), 'cellsfs-draft-')) })
  after(() => rm(dir, { recursive: true }))
  const fileFor = (id: string): string => join(dir, id)

  it('agrees with a byte array, uploads see one moment', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: SPACE }), fc.array(step, { maxLength: 30 }), async (bytes, steps) => {
        const draft = Draft.create(fileFor, content(Buffer.from(bytes)))
        let model = Buffer.from(bytes)
        const uploads: Array<{ expected: Buffer; read: () => Promise<Buffer>; done: () => Promise<void> }> = []
        const put = (at: number, data: Uint8Array): void => {
          if (data.length === 0) {
            if (at > model.length) { /* a write of nothing does not extend */ }
            return
          }
          const grown = Buffer.alloc(Math.max(model.length, at + data.length))
          model.copy(grown)
          grown.set(data, at)
          model = grown
        }
        for (const it of steps) {
          if (it.op === 'write' && it.data.length > 0) {
            await draft.write(it.at, Buffer.from(it.data))
            put(it.at, it.data)
          } else if (it.op === 'append' && it.data.length > 0) {
            await draft.write('end', Buffer.from(it.data))
            put(model.length, it.data)
          } else if (it.op === 'truncate') {
            await draft.truncate(it.at)
            const cut = Buffer.alloc(it.at)
            model.copy(cut)
            model = cut
          } else if (it.op === 'read') {
            assert.deepEqual(await draft.read(it.at, it.length), model.subarray(it.at, it.at + it.length))
          } else if (it.op === 'disk') {
            draft.toDisk()
            if (draft.complete) assert.deepEqual((await readFile(fileFor(draft.id))).subarray(0, model.length), model.subarray(0, (await readFile(fileFor(draft.id))).length))
          } else if (it.op === 'sync') {
            await draft.sync()
          } else if (it.op === 'fill') {
            await draft.fill()
            assert.ok(draft.complete)
          } else if (it.op === 'upload') {
            await draft.fill()
            const snapshot = (await draft.snapshot())!
            uploads.push({
              expected: Buffer.from(model),
              read: async () => {
                const all = Buffer.alloc(snapshot.size)
                await snapshot.handle.read(all, 0, all.length, 0)
                return all
              },
              done: () => snapshot.done(),
            })
          }
          assert.equal(draft.size, model.length)
        }
        for (const upload of uploads) {
          assert.deepEqual(await upload.read(), upload.expected)
          await upload.done()
        }
        assert.deepEqual(await draft.read(0, 20_000), model)
        await draft.discard()
        assert.deepEqual(await readdir(dir), [])
      }),
      { numRuns: 250 },
    )
  })

  it('downloads nothing when the whole file is rewritten', async () => {
    const base: Content = { size: 100, read: () => Promise.reject(new Error('asked the base')) }
    const draft = Draft.create(fileFor, base)
    await draft.truncate(0)
    await draft.write(0, randomBytes(50))
    await draft.fill()
    assert.equal((await draft.snapshot())!.size, 50)
    const over = Draft.create(fileFor, base)
    await over.write(0, randomBytes(100))
    await over.fill()
    assert.ok(over.complete)
  })

  it('keeps a write that comes while the base is being fetched', async () => {
    let answer: () => void = () => {}
    const asked = new Promise<void>((resolve) => { answer = resolve })
    let release: () => void = () => {}
    const wait = new Promise<void>((resolve) => { release = resolve })
    const base: Content = { size: 10, read: async (_o, length) => { answer(); await wait; return Buffer.alloc(length, 'b') } }
    const draft = Draft.create(fileFor, base)
    const filling = draft.fill()
    await asked
    await draft.write(3, Buffer.from('XY'))
    release()
    await filling
    assert.equal((await draft.read(0, 10)).toString(), 'bbbXYbbbbb')
    await draft.discard()
  })

  it('keeps the file that a record speaks of until a newer content is secured', async () => {
    const draft = Draft.create(fileFor, undefined)
    await draft.write(0, Buffer.from('acknowledged'))
    await draft.sync()
    draft.secured = draft.generation
    const recorded = { id: draft.id, generation: draft.generation }
    await draft.truncate(0)
    // A flush that was begun before the file was emptied ends now.
    await draft.dropKept(recorded.generation)
    assert.ok(draft.recordStays)
    assert.equal((await readFile(fileFor(recorded.id))).toString(), 'acknowledged')
    await draft.write(0, Buffer.from('new'))
    await draft.sync()
    draft.secured = draft.generation
    assert.ok(!draft.recordStays)
    await draft.dropKept(draft.generation)
    assert.ok(!(await readdir(dir)).includes(recorded.id))
    await draft.discard()
  })

  it('keeps it too when an upload that failed had made the draft go on in a copy', async () => {
    const draft = Draft.create(fileFor, undefined)
    await draft.write(0, Buffer.from('acknowledged'))
    await draft.sync()
    draft.secured = draft.generation
    const recorded = draft.id
    const snapshot = (await draft.snapshot())!
    await draft.write('end', Buffer.from(' and more'))
    await draft.write('end', Buffer.from(' and more'))
    await snapshot.done()
    assert.equal((await readFile(fileFor(recorded))).toString(), 'acknowledged')
    await draft.truncate(0)
    assert.equal((await readFile(fileFor(recorded))).toString(), 'acknowledged')
    await draft.discard()
    assert.ok(!(await readdir(dir)).includes(recorded))
  })

  it('opened again, it has no more than was left of it', async () => {
    const draft = Draft.create(fileFor, undefined)
    await draft.write(0, Buffer.from('0123456789'))
    await draft.truncate(20)
    const { id, size } = draft
    await draft.truncate(4)
    await draft.close()
    const again = await Draft.reopen(fileFor, id, size)
    assert.equal((await again.read(0, 20)).toString(), '0123')
    await again.discard()
  })
})
