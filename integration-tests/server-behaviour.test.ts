/**
 * What a 2.x server does with its index when objects come and go quickly, and with names that SQL takes for patterns. The
 * client lives with these (src/fs/removals.ts, src/cells/wildcards.ts, src/cells/tombstones.ts), so the embedded server must do the
 * same as a real one: each test passes against both. Against a real one, name it with CELLS_URL, CELLS_LOGIN and
 * CELLS_PASSWORD; nobody else may use its data sources meanwhile.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { BareServer, md5, realUrl } from './helpers/bare-server.js'

describe('a 2.x server, objects that come and go', { timeout: 300_000 }, () => {
  let server: BareServer
  before(async () => { server = await BareServer.start() })
  after(() => server.close())

  const uuid = async (path: string): Promise<string | undefined> => (await server.stat(path))?.uuid
  const content = (tag: string): string => `content of ${tag} ${server.base}`

  /** Writes other files until `ms` have gone by: the index never gets the quiet time that it waits for. */
  async function keepBusy(folder: string, ms: number): Promise<void> {
    let count = 0
    for (const end = Date.now() + ms; Date.now() < end; ) {
      await server.put(`${folder}/busy-${count}`, `busy ${count++}`)
      await new Promise((resolve) => setTimeout(resolve, server.quietMs / 5))
    }
  }

  for (const [order, run] of [
    ['deleted, then written', async (at: string, text: string) => { await server.remove(`${at}/a`); await server.put(`${at}/b`, text) }],
    ['written, then deleted', async (at: string, text: string) => { await server.put(`${at}/b`, text); await server.remove(`${at}/a`) }],
  ] as const) {
    it(`takes a file for moved that is ${order} elsewhere with the same content`, async () => {
      const text = content(order)
      const { uuid: a } = await server.save(`${order}/a`, text)
      const { events, stop } = await watch()
      await run(order, text)
      await server.settled()
      assert.equal(await uuid(`${order}/a`), undefined)
      assert.equal(await uuid(`${order}/b`), a)
      assert.equal((await server.stat(`${order}/b`))?.etag, md5(text))
      assert.equal(await server.read(`${order}/b`), text)
      stop()
      const about = events().filter((event) => event.includes(a))
      assert.ok(about.some((event) => event.startsWith('UPDATE_PATH')), about.join())
      assert.ok(!about.some((event) => event.startsWith('DELETE') || event.startsWith('CREATE')), about.join())
    })
  }

  it('does so in another folder, and over a file that loses its own Uuid by it', async () => {
    const { uuid: a } = await server.save('m/a', content('m'))
    const { uuid: c } = await server.save('m/c', content('m c'))
    const { uuid: d } = await server.save('m/d', 'its own')
    await server.remove('m/a')
    await server.put('m/below/b', content('m'))
    await server.put('m/d', content('m c'))
    await server.remove('m/c')
    await server.settled()
    assert.equal(await uuid('m/below/b'), a)
    assert.equal(await uuid('m/d'), c)
    assert.notEqual(c, d)
    assert.equal(await server.read('m/d'), content('m c'))
  })

  it('chooses the closest path', async () => {
    const { uuid: a } = await server.save('n/a', content('n'))
    const { uuid: b } = await server.save('n/sub/b', content('n'))
    await server.remove('n/a')
    await server.remove('n/sub/b')
    await server.put('n/other/b', content('n'))
    await server.settled()
    assert.equal(await uuid('n/other/b'), b)
    assert.notEqual(a, b)
    assert.equal(await uuid('n/a'), undefined)
  })

  it('does not when the new file was indexed first, or lies in another data source', async () => {
    const { uuid: a } = await server.save('o/a', content('o'))
    const { uuid: b } = await server.save('o/b', content('o'))
    await server.remove('o/a')
    await server.settled()
    assert.equal(await uuid('o/b'), b)
    assert.notEqual(a, b)
    const there = `common-files/behaviour-${b}`
    const { uuid: c } = await server.save(there, content('o c'))
    await server.remove(there)
    await server.put('o/c', content('o c'))
    await server.settled()
    await server.until('the file in the other source gone', async () => await server.stat(there) === undefined)
    assert.notEqual(await uuid('o/c'), c)
    assert.notEqual(await uuid('o/c'), undefined)
  })

  it('does so with what a job deletes for good, but not with what goes to the bin', async () => {
    const { uuid: a } = await server.save('p/a-p', content('p'))
    await server.deleteJob('p/a-p')
    await server.put('p/b', content('p'))
    await server.settled()
    assert.notEqual(await uuid('p/b'), a)
    const bin = await server.until('it in the bin', async () => (await server.list('personal-files/recycle_bin')).find((entry) => entry.uuid === a))
    await server.deleteJob(`personal-files/recycle_bin/${bin.name}`)
    await server.put('p/c', content('p'))
    await server.settled()
    await server.until('the file in the bin gone', async () => !(await server.list('personal-files/recycle_bin')).some((entry) => entry.name === bin.name && entry.uuid === a))
    assert.equal(await uuid('p/c'), a)
  })

  it('indexes nothing of a data source until nothing has been written there for a moment', async () => {
    const { uuid: a } = await server.save('q/a', content('q'))
    await server.put('q/b', content('q'))
    await server.mkdir('q/folder')
    await keepBusy('q', 2.5 * server.quietMs)
    assert.equal((await server.stat('q/b'))?.etag, 'temporary')
    assert.equal(await server.stat('q/folder'), undefined)
    await server.remove('q/a')
    await server.settled()
    assert.equal(await uuid('q/b'), a)
    assert.equal((await server.stat('q/folder'))?.folder, true)
  })

  it('keeps a ghost of a file that is deleted before it was indexed', async () => {
    await server.put('g/ghost', 'never seen')
    await server.remove('g/ghost')
    await server.save('g/x', 'x')
    await server.settled()
    const ghost = await server.stat('g/ghost')
    assert.deepEqual([ghost?.etag, ghost?.size], ['temporary', 10])
    assert.match(await server.read('g/ghost'), /404|cut/)
    // Nothing that works on the object gets rid of it.
    await server.remove('g/ghost')
    await server.job('move', 'g/ghost', 'g/moved')
    await server.settled()
    await server.deleteJob('g/ghost')
    await server.settled()
    assert.equal(await uuid('g/ghost'), ghost?.uuid)
    assert.equal(await server.stat('g/moved'), undefined)
    // A write that is left to be indexed makes it a file like any other, once the failed jobs have let go of it.
    await server.until('a write', async () => await server.put('g/ghost', 'seen') === 200)
    await server.settled()
    assert.equal((await server.stat('g/ghost'))?.etag, md5('seen'))
    await server.remove('g/ghost')
    await server.settled()
    assert.equal(await server.stat('g/ghost'), undefined)
  })

  it('cannot move a folder that holds a ghost, and leaves it locked when that was tried', async () => {
    await server.save('l/x', 'x')
    await server.put('l/ghost', 'never seen')
    await server.remove('l/ghost')
    await server.settled()
    await server.job('move', 'l', 'l2')
    await server.settled()
    assert.equal(await server.stat('l2'), undefined)
    assert.equal((await server.list('l')).length, 2)
    assert.equal(await server.put('l/x', 'other'), 500)
    assert.equal((await server.job('move', 'l', 'l3')).status, 423)
  })

  it('drops a ghost with an upload in parts that is given up', async () => {
    await server.put('h/ghost', 'never seen')
    await server.remove('h/ghost')
    await server.settled()
    assert.equal((await server.stat('h/ghost'))?.etag, 'temporary')
    const begun = await server.client.s3('POST', server.at('h/ghost'), { query: '?uploads' })
    const id = /<UploadId>(.*)<\/UploadId>/.exec(begun.text)?.[1] ?? ''
    assert.equal((await server.client.s3('DELETE', server.at('h/ghost'), { query: `?uploadId=${id}` })).status, 204)
    await server.until('the ghost gone', async () => await server.stat('h/ghost') === undefined)
  })

  it('keeps the old entry of a file that is overwritten and deleted, or deleted and written again', async () => {
    const { uuid: a } = await server.save('i/a', 'old')
    await server.put('i/a', 'newer and longer')
    await server.remove('i/a')
    const { uuid: b } = await server.save('i/b', 'old b')
    await server.settled()
    assert.deepEqual([await uuid('i/a'), (await server.stat('i/a'))?.etag], [a, md5('old')])
    assert.match(await server.read('i/a'), /404|cut/)
    await server.remove('i/b')
    await server.put('i/b', 'newer and longer')
    await server.settled()
    assert.deepEqual([await uuid('i/b'), (await server.stat('i/b'))?.etag], [b, md5('old b')])
    assert.equal(await server.read('i/b'), 'newer')
    // The next write heals both.
    await server.save('i/a', 'third')
    await server.save('i/b', 'third')
    assert.deepEqual([await uuid('i/a'), await uuid('i/b')], [a, b])
  })

  it('loses a folder made with its parent in one call when more than ten things happen in the same batch', async () => {
    assert.equal((await server.mkdir('s/few/inside')).status, 200)
    await server.settled()
    assert.equal((await server.stat('s/few/inside'))?.folder, true)
    for (let i = 0; i < 12; i++) await server.put(`s/${i}`, content(`s ${i}`))
    assert.equal((await server.mkdir('s/many/inside')).status, 200)
    assert.equal((await server.mkdir('s/alone')).status, 200)
    await server.settled()
    assert.equal(await server.stat('s/many'), undefined)
    assert.equal(await server.stat('s/many/inside'), undefined)
    assert.equal((await server.stat('s/alone'))?.folder, true)
  })

  it('tells nothing of nodes whose own name begins with a dot', async () => {
    const { events, stop } = await watch()
    const { uuid: dot } = await server.save('r/.dot', content('r'))
    await server.job('move', 'r/.dot', 'r/.other')
    await server.until('the move', async () => await server.stat('r/.other') !== undefined)
    const { uuid: below } = await server.save('r/.folder/below', content('r below'))
    const folder = await uuid('r/.folder')
    await server.remove('r/.other')
    await server.settled()
    const { uuid: plain } = await server.save('r/plain', content('r plain'))
    const told = (id: string | undefined): boolean => events().some((event) => event.endsWith(` ${id}`))
    await server.until('the events', () => Promise.resolve(told(plain) && told(below)))
    assert.deepEqual([told(dot), told(folder)], [false, false])
    // One that gets or loses its dot is told of.
    await server.job('move', 'r/plain', 'r/.plain')
    await server.until('the move', () => Promise.resolve(events().some((event) => event === `UPDATE_PATH ${plain}`)))
    stop()
  })

  it('leaves a folder behind that has come into being with an upload in parts or as the target of a job', async () => {
    await server.save('k/file', 'moved')
    await server.job('move', 'k/file', 'k/made/file')
    await server.until('the move', async () => await server.stat('k/made/file') !== undefined)
    await server.settled()
    const { uuid: made } = (await server.stat('k/made'))!
    const { uuid: inside } = (await server.stat('k/made/file'))!
    await server.job('move', 'k/made', 'k/moved')
    await server.until('the move', async () => await server.stat('k/moved/file') !== undefined)
    await server.settled()
    assert.equal(await uuid('k/made'), made)
    assert.deepEqual(await server.list('k/made'), [])
    assert.notEqual(await uuid('k/moved'), made)
    assert.equal(await uuid('k/moved/file'), inside)
    const begun = await server.client.s3('POST', server.at('k/parts/file'), { query: '?uploads' })
    await server.client.s3('DELETE', server.at('k/parts/file'), { query: `?uploadId=${/<UploadId>(.*)<\/UploadId>/.exec(begun.text)?.[1] ?? ''}` })
    await server.settled()
    const { uuid: parts } = (await server.stat('k/parts'))!
    await server.deleteJob('k/parts')
    await server.settled()
    assert.equal(await uuid('k/parts'), parts)
    // With a marker it goes like any other.
    await server.mkdir('k/parts')
    await server.settled()
    await server.deleteJob('k/parts')
    await server.until('it gone', async () => await server.stat('k/parts') === undefined)
  })

  /** Node events from now on, as `TYPE uuid`. */
  async function watch(): Promise<{ events: () => string[]; stop: () => void }> {
    const stream = await server.client.events()
    await server.save(`.watched-${Math.random()}`, String(Math.random()))
    return {
      events: () => stream.messages.filter((message) => typeof message === 'object').map((message) => {
        const node = (message['Target'] ?? message['Source'] ?? {}) as Record<string, unknown>
        return `${typeof message['Type'] === 'string' ? message['Type'] : 'READ'} ${String(node['Uuid'])}`
      }),
      stop: () => stream.close(),
    }
  }
})

describe('a 2.x server, names with wildcards', { timeout: 300_000 }, () => {
  let server: BareServer
  before(async () => { server = await BareServer.start() })
  after(() => server.close())

  const found = async (path: string): Promise<string | undefined> => (await server.stat(path))?.name

  it('finds a name by SQL LIKE: case matters, a backslash escapes', async () => {
    await server.save('a/100 done', 'x')
    await server.save('a/Abc', 'x')
    await server.save('a/p_q', 'x')
    for (const name of ['100%', '%', '1%e', '100_done', '1__ d_ne']) assert.equal(await found(`a/${name}`), '100 done', name)
    for (const name of ['A_c', 'A%', 'Ab\\c', '___']) assert.equal(await found(`a/${name}`), 'Abc', name)
    for (const name of ['abc', 'a_c', 'Abc ', 'A_', '100\\%', '_bcd', 'Abc_']) assert.equal(await found(`a/${name}`), undefined, name)
    assert.equal(await found('a/p\\_q'), 'p_q')
  })

  it('finds the child that lies first in the folder, where a new one fills the gap of a deleted one', async () => {
    // Names that begin alike elsewhere, so that the database looks at the folder first.
    for (let i = 0; i < 12; i++) await server.put(`elsewhere/c${i}`, 'c')
    for (const name of ['c1', 'c2', 'c3']) await server.save(`b/${name}`, name)
    assert.equal(await found('b/c_'), 'c1')
    await server.remove('b/c1')
    await server.settled()
    assert.equal(await found('b/c_'), 'c2')
    await server.save('b/c9', 'c9')
    assert.equal(await found('b/c_'), 'c9')
    await server.save('b/c0', 'c0')
    assert.equal(await found('b/c_'), 'c9')
  })

  it('or the first by name, where few names begin like the one that is looked for', { skip: realUrl === undefined && 'the embedded server goes by place always' }, async () => {
    for (let i = 0; i < 30; i++) await server.put(`n/other ${i}`, 'x')
    const start = server.base.slice(-6)
    for (const name of [`${start}-2`, `${start}-1`, `${start}_`]) await server.save(`n/${name}`, name)
    assert.equal(await found(`n/${start}-_`), `${start}-1`)
    assert.equal(await found(`n/${start}_%`), `${start}-1`)
  })

  it('keeps both names apart when the one with the wildcard came first', async () => {
    const { uuid: a } = await server.save('c/a_b', 'under')
    const { uuid: b } = await server.save('c/a-b', 'dash')
    assert.notEqual(a, b)
    assert.equal(await server.read('c/a_b'), 'under')
    assert.equal(await server.read('c/a-b'), 'dash')
    await server.remove('c/a_b')
    await server.settled()
    assert.equal(await found('c/a_b'), 'a-b')
  })

  it('a PUT changes the entry of the node that was found; only the new name can be read', async () => {
    const { uuid: a } = await server.save('d/a-b', 'dash')
    await server.put('d/a_b', 'underscore!')
    await server.settled()
    assert.deepEqual((await server.list('d')).map(({ name, uuid, etag, size }) => [name, uuid, etag, size]), [['a-b', a, md5('underscore!'), 11]])
    assert.equal(await server.read('d/a_b'), 'underscore!')
    assert.equal(await server.read('d/a-b'), 'cut')
    // And a DELETE of the new name takes the entry away.
    await server.remove('d/a_b')
    await server.settled()
    assert.deepEqual(await server.list('d'), [])
  })

  it('a PUT below a folder lands in the folder that was found', async () => {
    await server.save('e/d1/x', 'x')
    await server.put('e/d_/y', 'yy')
    await server.settled()
    assert.deepEqual((await server.list('e')).map(({ name }) => name), ['d1'])
    assert.deepEqual((await server.list('e/d1')).map(({ name }) => name), ['x', 'y'])
    assert.deepEqual((await server.list('e/d_')).map(({ name }) => name), ['x', 'y'])
    assert.equal(await server.read('e/d_/y'), 'yy')
    assert.match(await server.read('e/d1/y'), /404|cut/)
    assert.match(await server.read('e/d_/x'), /404|cut/)
  })

  it('a mkdir never shows up', async () => {
    const { uuid: x } = await server.save('f/d1/x', 'x')
    const answer = await server.mkdir('f/d_')
    assert.equal(answer.status, 200)
    await server.settled()
    assert.deepEqual((await server.list('f')).map(({ name }) => name), ['d1'])
    assert.equal((await server.stat('f/d1/x'))?.uuid, x)
    assert.equal(await found('f/d_'), 'd1')
  })

  it('a job does nothing to what was found by another name', async () => {
    const { uuid: a } = await server.save('g/f1', 'f1')
    await server.save('g/k1/x', 'x')
    await server.job('move', 'g/f_', 'g/moved')
    await server.job('copy', 'g/f_', 'g/copied')
    await server.deleteJob('g/f_')
    await server.job('move', 'g/k_', 'g/kk')
    await server.deleteJob('g/k_')
    await server.remove('g/f_')
    await server.settled()
    assert.deepEqual((await server.list('g')).map(({ name }) => name), ['f1', 'k1'])
    assert.equal(await server.read('g/f1'), 'f1')
    assert.equal((await server.stat('g/f1'))?.uuid, a)
  })

  it('a move to a name that finds another node puts it in the place of that one', async () => {
    await server.save('h/e1', 'gone')
    const { uuid: moved } = await server.save('h/source', 'moved')
    await server.job('move', 'h/source', 'h/e_')
    await server.until('the move', async () => await server.stat('h/source') === undefined)
    await server.settled()
    assert.deepEqual((await server.list('h')).map(({ name, uuid, etag }) => [name, uuid, etag]), [['e1', moved, md5('moved')]])
    assert.equal(await server.read('h/e_'), 'moved')
    assert.notEqual(await server.read('h/e1'), 'moved')
  })

  it('the same with folders', async () => {
    await server.save('i/e1/x', 'x')
    const { uuid: y } = await server.save('i/s/y', 'y')
    await server.job('move', 'i/s', 'i/e_')
    await server.until('the move', async () => await server.stat('i/s') === undefined)
    await server.settled()
    assert.deepEqual((await server.list('i')).map(({ name }) => name), ['e1'])
    assert.deepEqual((await server.list('i/e1')).map(({ name, uuid }) => [name, uuid]), [['y', y]])
  })

  it('a rename to a name that finds the node itself moves only the object', async () => {
    const { uuid: a } = await server.save('j/a-b', 'dash')
    await server.job('move', 'j/a-b', 'j/a_b')
    await server.until('the move', async () => await server.read('j/a_b') === 'dash')
    await server.settled()
    assert.deepEqual((await server.list('j')).map(({ name, uuid }) => [name, uuid]), [['a-b', a]])
    assert.match(await server.read('j/a-b'), /404|cut/)
  })

  it('a copy to a name that finds another node leaves both', async () => {
    const { uuid: l } = await server.save('k/l1', 'l1')
    await server.save('k/source', 'copied')
    await server.job('copy', 'k/source', 'k/l_')
    await server.until('the copy', async () => (await server.list('k')).length === 3)
    await server.settled()
    assert.deepEqual((await server.list('k')).map(({ name, etag }) => [name, etag]), [['l1', md5('l1')], ['l_', md5('copied')], ['source', md5('copied')]])
    assert.equal((await server.stat('k/l1'))?.uuid, l)
  })
})
