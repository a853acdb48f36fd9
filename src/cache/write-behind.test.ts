import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { describe, it } from 'node:test'
import { Store, type DraftRecord } from './store.js'
import { changeOf } from './write-behind.testing.js'

function withFolder(work: (dir: string) => Promise<void>): () => Promise<void> {
  return async () => {
    const dir = mkdtempSync(join(tmpdir(), 'cellsfs-behind-'))
    try {
      await work(dir)
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  }
}

const draft = (id: string, content?: string): DraftRecord => ({ id, path: `folder/${id}`, size: 3, state: 'closed', complete: true, facts: {}, ...(content === undefined ? {} : { content: Buffer.from(content).toString('base64') }) })
const ids = (store: Store): string[] => store.drafts.getRange().map(({ key }) => key).sort()

/** The store as it would be found if the process were gone now. */
function crashed(dir: string, to: string): string {
  cpSync(dir, to, { recursive: true, filter: (path) => !/^(lock|.*-lock)$/.test(basename(path)) })
  return to
}

describe('records that the database does not have yet', () => {
  it('are there after a crash, and what was removed is not', withFolder(async (dir) => {
    const first = Store.open(join(dir, 'store'))
    first.saveDraft(draft('before'))
    await first.close()
    const store = Store.open(join(dir, 'store'))
    for (const id of ['a', 'b', 'c']) store.saveDraft(draft(id))
    void store.drafts.remove('b')
    void store.drafts.remove('before')
    store.updateFacts('uuid', { mode: 0o600 })
    assert.deepEqual([ids(store), store.drafts.size, store.drafts.get('b')], [['a', 'c'], 2, undefined])
    await store.flushed()
    const copy = crashed(join(dir, 'store'), join(dir, 'copy'))
    assert.equal(readFileSync(join(copy, 'store.mdb')).includes('folder/c'), false, 'the database is behind')
    for (const time of ['first', 'second']) {
      const found = Store.open(copy)
      assert.deepEqual([ids(found), found.drafts.size, found.facts.get('uuid'), found.damage], [['a', 'c'], 2, { mode: 0o600 }, []], time)
      await found.close()
    }
    await store.close()
  }))

  it('survive the end of the process without waiting for the disk', withFolder(async (dir) => {
    const store = Store.open(join(dir, 'store'))
    assert.equal(await store.drafts.put('a', draft('a')), true)
    store.saveDraft(draft('b'))
    await store.committed()
    const found = Store.open(crashed(join(dir, 'store'), join(dir, 'copy')))
    assert.deepEqual(ids(found), ['a', 'b'])
    await found.close()
    await store.close()
  }))

  it('changed together come back together', withFolder(async (dir) => {
    const store = Store.open(join(dir, 'store'))
    store.saveDraft(draft('a'))
    const asked = store.flushed()
    // In the same turn of the event loop, though after somebody has begun to wait.
    await Promise.resolve()
    store.saveDraft(draft('b'))
    await asked
    const found = Store.open(crashed(join(dir, 'store'), join(dir, 'copy')))
    assert.deepEqual(ids(found), ['a', 'b'])
    await found.close()
    await store.close()
  }))

  it('are not brought in over what the database has since', withFolder(async (dir) => {
    const store = Store.open(join(dir, 'store'))
    // More than the log has room for: the database is handed some of it.
    const much = 'x'.repeat(1000)
    for (let n = 0; n < 6_000; n++) {
      store.saveDraft(draft(`d${n % 50}`, `${n} ${much}`))
      if (n % 50 === 49) await store.flushed()
    }
    for (let n = 0; n < 50; n += 2) void store.drafts.remove(`d${n}`)
    await store.flushed()
    await store.close()
    const again = Store.open(join(dir, 'store'))
    assert.equal(again.drafts.size, 25)
    for (let n = 1; n < 50; n += 2) assert.equal(Buffer.from(again.drafts.get(`d${n}`)!.content!, 'base64').toString().split(' ')[0], String(5950 + n))
    await again.close()
  }))

  it('have higher numbers than those before, though the clock goes back', withFolder(async (dir) => {
    const code = (ahead: number, work: string): string => `
      const now = Date.now; Date.now = () => now() + ${ahead}
      const { Store } = await import(${JSON.stringify(new URL('./store.js', import.meta.url).href)})
      const store = Store.open(${JSON.stringify(join(dir, 'store'))})
      ${work}`
    await run(code(3_600_000, `store.saveDraft(${JSON.stringify(draft('a'))}); await store.flushed(); await store.close()`))
    await run(code(0, `store.saveDraft(${JSON.stringify(draft('b'))}); await store.flushed(); process.kill(process.pid, 'SIGKILL')`))
    const store = Store.open(join(dir, 'store'))
    assert.deepEqual(ids(store), ['a', 'b'])
    await store.close()
  }))

  it('wait for the database where there can be no log', withFolder(async (dir) => {
    mkdirSync(join(dir, 'store', 'store.log'), { recursive: true })
    const store = Store.open(join(dir, 'store'))
    store.saveDraft(draft('a'))
    await store.flushed()
    store.saveDraft(draft('b'))
    await store.committed()
    assert.ok(readFileSync(join(dir, 'store', 'store.mdb')).includes('folder/a'))
    await store.close()
    const again = Store.open(join(dir, 'store'))
    assert.deepEqual(ids(again), ['a', 'b'])
    await again.close()
  }))

  it('are found in the log when the database is gone or damaged, and no content of them is sent', withFolder(async (dir) => {
    const store = Store.open(join(dir, 'store'))
    store.saveDraft(draft('whole'))
    writeFileSync(store.draftFile('whole'), 'abc')
    await store.flushed()
    store.saveDraft(draft('small', 'abc'))
    store.saveDraft(draft('removed', 'xyz'))
    await store.flushed()
    void store.drafts.remove('removed')
    await store.flushed()
    for (const damage of ['gone', 'damaged']) {
      const copy = crashed(join(dir, 'store'), join(dir, damage))
      if (damage === 'gone') rmSync(join(copy, 'store.mdb'))
      else writeFileSync(join(copy, 'store.mdb'), Buffer.alloc(65_536, 7))
      const found = Store.open(copy)
      assert.match(found.damage.join(), damage === 'gone' ? /is gone/ : /was rebuilt/)
      assert.deepEqual(ids(found), ['whole'])
      assert.deepEqual(readdirSync(join(copy, 'lost+found')).map((name) => readFileSync(join(copy, 'lost+found', name), 'utf8')), ['abc'])
      await found.close()
    }
    await store.close()
  }))

  it('are there, but for the one that is damaged in the log, and the damage is told', withFolder(async (dir) => {
    const store = Store.open(join(dir, 'store'))
    for (const id of ['a', 'b', 'c', 'd']) {
      store.saveDraft(draft(id))
      if (id !== 'b') await store.flushed()
    }
    const copy = crashed(join(dir, 'store'), join(dir, 'copy'))
    const bytes = readFileSync(join(copy, 'store.log'))
    bytes[bytes.indexOf('folder/b')]! ^= 1
    writeFileSync(join(copy, 'store.log'), bytes)
    for (const damage of [/log of the store was damaged/, /^$/]) {
      const found = Store.open(copy)
      assert.match(found.damage.join(), damage)
      assert.deepEqual(ids(found), ['a', 'c', 'd'])
      await found.close()
    }
    await store.close()
  }))

  it('are there whenever the process is killed', { timeout: 120_000 }, withFolder(async (dir) => {
    for (let round = 0; round < 8; round++) {
      const at = join(dir, `store${round}`)
      // One change after the other, each safe before the next; the records are large, so that the database is handed some all the time.
      const child = spawn(process.execPath, ['--input-type=module', '-e', `
        import { writeSync } from 'node:fs'
        const { Store } = await import(${JSON.stringify(new URL('./store.js', import.meta.url).href)})
        const { changeOf } = await import(${JSON.stringify(new URL('./write-behind.testing.js', import.meta.url).href)})
        const store = Store.open(${JSON.stringify(at)})
        for (let n = 0; ; n++) {
          const { id, record } = changeOf(n)
          if (record === undefined) void store.drafts.remove(id)
          else store.saveDraft(record)
          await store.flushed()
          writeSync(1, n + '\\n')
        }`], { stdio: ['ignore', 'pipe', 'inherit'] })
      let said = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        said += text
        if (said.split('\n').length > 30 + round * 37) child.kill('SIGKILL')
      })
      await once(child, 'close')
      const acknowledged = Number(said.trimEnd().split('\n').at(-1))
      const store = Store.open(at)
      const states = [acknowledged, acknowledged + 1].map(stateAfter)
      assert.ok(states.some((state) => JSON.stringify(state) === JSON.stringify(store.drafts.getRange().map(({ key, value }) => [key, value.size]).sort())), `round ${round}, ${acknowledged} acknowledged`)
      assert.deepEqual(store.damage, [])
      await store.close()
    }
  }))
})

async function run(code: string): Promise<void> {
  await once(spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'ignore', 'inherit'] }), 'close')
}

/** Ids and sizes of what is there after so many changes. */
function stateAfter(last: number): Array<[string, number]> {
  const state = new Map<string, number>()
  for (let n = 0; n <= last; n++) {
    const { id, record } = changeOf(n)
    if (record === undefined) state.delete(id)
    else state.set(id, record.size)
  }
  return [...state].sort()
}
