import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync, writeSync, closeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { open } from 'lmdb'
import { encodeRecord } from './records.js'
import { Store, StoreError, type DraftRecord } from './store.js'

function withFolder(work: (dir: string) => Promise<void>): () => Promise<void> {
  return async () => {
    const dir = mkdtempSync(join(tmpdir(), 'cellsfs-store-'))
    try {
      await work(dir)
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  }
}

const draft = (id: string, path: string): DraftRecord => ({ id, path, size: 3, state: 'closed', complete: true, facts: { mode: 0o644 } })

/** A store with this many changed files, closed. */
async function filled(dir: string, count: number): Promise<void> {
  const store = Store.open(dir)
  for (let n = 0; n < count; n++) {
    writeFileSync(store.draftFile(`d${n}`), `content ${n}`)
    store.saveDraft(draft(`d${n}`, `folder/file ${n}`))
    store.updateFacts(`uuid-${n}`, { mode: 0o600, mtime: [n, 0] })
  }
  await store.folders.put('f', { path: 'folder', at: 1, facts: {} })
  await store.unlinks.put('u', { path: 'gone', uuid: 'uuid-9' })
  await store.close()
}

const file = (dir: string): string => join(dir, 'store.mdb')

describe('the store', () => {
  it('keeps records', withFolder(async (dir) => {
    await filled(dir, 3)
    const store = Store.open(dir)
    assert.deepEqual(store.drafts.getRange().map(({ key, value }) => [key, value.path]), [['d0', 'folder/file 0'], ['d1', 'folder/file 1'], ['d2', 'folder/file 2']])
    assert.deepEqual(store.facts.get('uuid-2'), { mode: 0o600, mtime: [2, 0] })
    assert.deepEqual(store.damage, [])
    await store.drafts.remove('d1')
    assert.equal(store.drafts.get('d1'), undefined)
    // Seen at once, before it is on the disk.
    void store.moves.put('m', { uuid: 'x', from: 'a', to: 'b', at: 1 })
    assert.equal(store.moves.get('m')?.to, 'b')
    await store.close()
    const again = Store.open(dir)
    assert.deepEqual([again.drafts.getRange().length, again.moves.getRange().length, again.damage], [2, 1, []])
    await again.close()
  }))

  it('is asked, and given, nothing when it is closed, by what has not ended by then, and says that nothing is safe', withFolder(async (dir) => {
    const store = Store.open(dir)
    store.saveDraft(draft('d0', 'file'))
    await Promise.all([store.close(), store.close()])
    await store.close()
    assert.equal(store.drafts.get('d0'), undefined)
    assert.deepEqual(store.drafts.getRange(), [])
    store.saveDraft(draft('d1', 'another'))
    assert.equal(await store.drafts.put('d2', draft('d2', 'third')), false)
    assert.equal(await store.drafts.remove('d0'), false)
    for (const safe of [() => store.flushed(), () => store.committed()]) await assert.rejects(safe, StoreError)
    const again = Store.open(dir)
    assert.deepEqual(again.drafts.getRange().map(({ key }) => key), ['d0'])
    await again.close()
  }))

  it('is one process\'s', withFolder(async (dir) => {
    const store = Store.open(dir)
    assert.throws(() => Store.open(dir), (error: unknown) => error instanceof StoreError && error.kind === 'in-use')
    // Another process, too.
    const code = `import { Store } from ${JSON.stringify(new URL('./store.js', import.meta.url).href)}; try { Store.open(${JSON.stringify(dir)}) } catch (error) { console.log(error.kind) }`
    assert.equal(spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' }).stdout.trim(), 'in-use')
    await store.close()
    await Store.open(dir).close()
  }))

  it('is not opened when a newer version has written it', withFolder(async (dir) => {
    await filled(dir, 1)
    const root = open({ path: file(dir), noSubdir: true, maxDbs: 32 })
    root.openDB<number, string>({ name: 'meta' }).putSync('schema', 99)
    await root.close()
    assert.throws(() => Store.open(dir), (error: unknown) => error instanceof StoreError && error.kind === 'newer')
    assert.throws(() => Store.open(dir), (error: unknown) => error instanceof StoreError && error.kind === 'newer', 'the lock was given back')
  }))

  it('takes a store of schema 1 over without loss', withFolder(async (dir) => {
    mkdirSync(join(dir, 'drafts'), { recursive: true })
    writeFileSync(join(dir, 'drafts', 'd1'), 'text')
    const root = open({ path: file(dir), noSubdir: true, maxDbs: 16, mapSize: 1 << 30 })
    root.openDB<number, string>({ name: 'meta' }).putSync('schema', 1)
    const put = (name: string, key: string, value: unknown): void => { root.openDB<unknown, string>({ name, cache: name === 'facts' || name === 'drafts' }).putSync(key, value) }
    put('facts', 'uuid-1', { version: 'e1', mode: 0o755, mtime: [5, 6], symlink: 'target' })
    put('drafts', 'd1', { ...draft('d1', 'a/b'), base: { uuid: 'uuid-1', etag: 'e1', size: 9 }, md5: 'm', failure: 'why' })
    put('moves', 'uuid-2', { uuid: 'uuid-2', from: 'x', to: 'x~', at: 7 })
    put('removals', 'r', { path: 'old', keeper: 'new', md5: 'm1' })
    put('unlinks', 'u', { path: 'gone/é' })
    put('specials', 's', { path: 'pipe', type: 'fifo', mode: 0o644, uid: 1, gid: 1, ino: 5, mtime: [1, 0], atime: [1, 0] })
    await root.close()
    for (const time of ['first', 'second']) {
      const store = Store.open(dir)
      assert.deepEqual(store.damage, [], time)
      assert.deepEqual(store.facts.get('uuid-1'), { version: 'e1', mode: 0o755, mtime: [5, 6], symlink: 'target' })
      assert.deepEqual(store.drafts.getRange(), [{ key: 'd1', value: { ...draft('d1', 'a/b'), base: { uuid: 'uuid-1', etag: 'e1', size: 9 }, md5: 'm', failure: 'why' } }])
      assert.deepEqual(store.moves.getRange(), [{ key: 'uuid-2', value: { backup: true, uuid: 'uuid-2', from: 'x', to: 'x~', at: 7 } }])
      assert.deepEqual(store.removals.getRange(), [{ key: 'r', value: { path: 'old', keeper: 'new', etags: ['m1'] } }])
      assert.deepEqual(store.unlinks.getRange(), [{ key: 'u', value: { path: 'gone/é' } }])
      assert.equal(store.specials.getRange().length, 1)
      await store.close()
    }
  }))
})

it('takes a store of schema 2 over, which had no log, and no program that knows of none opens it again', withFolder(async (dir) => {
  await filled(dir, 2)
  rmSync(join(dir, 'store.log'))
  const root = open({ path: file(dir), noSubdir: true, maxDbs: 32 })
  const meta = root.openDB<number, string>({ name: 'meta' })
  meta.putSync('schema', 2)
  meta.removeSync('applied')
  await root.close()
  const store = Store.open(dir)
  assert.deepEqual([store.drafts.size, store.damage], [2, []])
  await store.close()
  const after = open({ path: file(dir), noSubdir: true, maxDbs: 32 })
  assert.equal(after.openDB<number, string>({ name: 'meta' }).get('schema'), 3)
  await after.close()
}))

describe('a damaged store', () => {
  it('sets a damaged record aside and keeps the others', withFolder(async (dir) => {
    await filled(dir, 5)
    // In every copy of the record: a letter of its path.
    const bytes = readFileSync(file(dir))
    for (let at = bytes.indexOf('"folder/file 3"'); at >= 0; at = bytes.indexOf('"folder/file 3"', at + 1)) bytes[at + 1] = 'F'.charCodeAt(0)
    writeFileSync(file(dir), bytes)
    const store = Store.open(dir)
    assert.deepEqual(store.drafts.getRange().map(({ key }) => key), ['d0', 'd1', 'd2', 'd4'])
    assert.deepEqual(store.damage, ['A record of changed files was damaged and left out'])
    assert.ok(existsSync(store.draftFile('d3')))
    await store.close()
    const again = Store.open(dir)
    assert.deepEqual(again.damage, [], 'it is told once')
    await again.close()
  }))

  it('opens with all records when its end is cut off, where they can be found', withFolder(async (dir) => {
    await filled(dir, 40)
    truncateSync(file(dir), statSync(file(dir)).size - 4 * 2 ** 20 - 4096)
    const store = Store.open(dir)
    const drafts = store.drafts.getRange()
    if (drafts.length < 40 || store.unlinks.getRange().length === 0) assert.notDeepEqual(store.damage, [])
    await store.close()
  }))

  it('sends no content that may have been sent long ago', withFolder(async (dir) => {
    await filled(dir, 3)
    const first = Store.open(dir)
    first.saveDraft({ ...draft('old', 'folder/old'), content: Buffer.from('abc').toString('base64') })
    await first.flushed()
    await first.close()
    // The root of all tables, in both copies.
    const bytes = readFileSync(file(dir))
    bytes.fill(0x77, 100, 160)
    bytes.fill(0x77, 4096 + 100, 4096 + 160)
    writeFileSync(file(dir), bytes)
    const store = Store.open(dir)
    assert.match(store.damage.join(), /was rebuilt/)
    assert.deepEqual(store.drafts.getRange().map(({ key }) => key), ['d0', 'd1', 'd2'])
    assert.deepEqual(readdirSync(join(dir, 'lost+found')).map((name) => readFileSync(join(dir, 'lost+found', name), 'utf8')), ['abc'])
    await store.close()
  }))

  it('is told of when it is gone', withFolder(async (dir) => {
    await filled(dir, 1)
    truncateSync(file(dir), 0)
    const store = Store.open(dir)
    assert.match(store.damage.join(), /is gone/)
    await store.close()
  }))

  it('loses no record without a word, wherever it is hit', { timeout: 120_000 }, withFolder(async (dir) => {
    const whole = join(dir, 'whole')
    await filled(whole, 120)
    const used = usedBytes(file(whole))
    for (let round = 0; round < 24; round++) {
      const hit = join(dir, `hit${round}`)
      cpSync(whole, hit, { recursive: true })
      const fd = openSync(file(hit), 'r+')
      const places = Array.from({ length: 1 + round % 4 * 8 }, (_, n) => Math.floor(used * ((round * 7919 + n * 104_729) % 99_991) / 99_991))
      for (const at of places) writeSync(fd, Buffer.from([(at * 31 + round) & 0xff]), 0, 1, at)
      closeSync(fd)
      if (round % 6 === 5) truncateSync(file(hit), Math.floor(used * (round + 1) / 26))
      const store = Store.open(hit)
      const ids = new Set(store.drafts.getRange().map(({ key, value }) => (value.path === `folder/file ${key.slice(1)}` ? key : `wrong ${key}`)))
      assert.ok([...ids].every((id) => /^d\d+$/.test(id)), 'no record is believed that is not whole')
      if (ids.size < 120 || store.folders.getRange().length === 0 || store.unlinks.getRange().length === 0) assert.notDeepEqual(store.damage, [], `round ${round}: ${ids.size} of 120 drafts`)
      assert.equal(readdirSync(join(hit, 'drafts')).length, 120)
      await store.close()
      const again = Store.open(hit)
      assert.equal(again.drafts.getRange().length, ids.size)
      await again.close()
      rmSync(hit, { recursive: true })
    }
  }))
})

/** Up to the last byte that is not zero. */
function usedBytes(path: string): number {
  const bytes = readFileSync(path)
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end--
  return end
}

it('records are found in raw bytes', async () => {
  const { salvage } = await import('./salvage.js')
  const pages = Buffer.concat([Buffer.alloc(100, 7), encodeRecord('drafts', 'a', { v: 1 }), Buffer.from('noise'), encodeRecord('drafts', 'a', { v: 2 }), encodeRecord('unlinks', 'u', { path: 'x' }), encodeRecord('facts', 'b', {}).subarray(0, 20)])
  assert.deepEqual(salvage(pages).map(({ table, key, value }) => ({ table, key, value })), [{ table: 'drafts', key: 'a', value: { v: 2 } }])
})
