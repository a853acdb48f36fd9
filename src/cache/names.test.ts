import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { silentLogger as logger } from '../log.js'
import { Known } from './known.js'
import { MetadataCache } from './metadata.js'
import { NamesStore } from './names.js'

const node = (uuid: string): Known => new Known({ uuid, kind: 'file', size: 5, mtime: 7, etag: 'e', hash: '', readOnly: false })

function nodes(folder: string, count: number): Map<string, Known> {
  return new Map(Array.from({ length: count }, (_, n) => [`n${n}`, node(`${folder}-${n}`)]))
}

describe('names on disk', () => {
  let dir: string
  beforeEach(() => { dir = mkdtempSync(join(tmpdir(), 'cellsfs-names-')) })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))

  it('are there for the next process', async () => {
    const first = NamesStore.open(dir, 1000, logger)!
    first.put('u', { complete: true, nodes: nodes('ws/a', 3), self: node('u') })
    await first.close()
    const second = NamesStore.open(dir, 1000, logger)!
    assert.deepEqual(second.get('u'), { complete: true, nodes: nodes('ws/a', 3), self: node('u') })
    assert.equal(second.get('other'), undefined)
    await second.close()
  })

  it('are bounded', async () => {
    const names = NamesStore.open(dir, 100, logger)!
    for (let n = 0; n < 20; n++) names.put(`u${n}`, { complete: true, nodes: nodes('x', 19) })
    await names.flushed()
    assert.equal(names.names, 100)
    assert.equal(names.get('u0'), undefined)
    assert.equal(names.get('u19')?.nodes.size, 19)
    await names.close()
    const again = NamesStore.open(dir, 100, logger)!
    assert.equal(again.names, 100)
    await again.close()
  })

  for (const [what, damage] of [
    ['cut', (file: string) => truncateSync(file, 10_000)],
    ['overwritten', (file: string) => writeFileSync(file, readFileSync(file).map((byte, at) => (at % 97 === 0 ? byte ^ 0x55 : byte)))],
    ['something else', (file: string) => writeFileSync(file, 'x'.repeat(100_000))],
  ] as const) {
    it(`a file that is ${what} is dropped, and fills again`, async () => {
      const first = NamesStore.open(dir, 10_000, logger)!
      for (let n = 0; n < 50; n++) first.put(`u${n}`, { complete: true, nodes: nodes(`x${n}`, 50) })
      await first.close()
      damage(join(dir, 'names.mdb'))
      const second = NamesStore.open(dir, 10_000, logger)!
      for (let n = 0; n < 50; n++) {
        const known = second.get(`u${n}`)
        if (known !== undefined) assert.deepEqual(known.nodes, nodes(`x${n}`, 50))
      }
      second.put('new', { complete: false, nodes: nodes('y', 2) })
      await second.close()
      const third = NamesStore.open(dir, 10_000, logger)!
      assert.equal(third.get('new')?.nodes.size, 2)
      await third.close()
    })
  }

  it('are known and never believed', () => {
    const metadata = new MetadataCache(1000, () => {}, () => 10)
    metadata.shelf = { recall: (folder) => (folder === 5 ? { complete: true, nodes: nodes('x', 2) } : undefined), changed: () => {} }
    metadata.streamConnected()
    assert.equal(metadata.lookup(5, 'n0'), 'unknown')
    assert.equal(metadata.lookup(5, 'absent'), 'unknown')
    assert.equal(metadata.complete(5), undefined)
    assert.equal(metadata.covered(5, 'n0'), false)
    assert.equal(metadata.stale(5, 'n0') === 'unknown', false)
    assert.equal(metadata.stale(5, 'absent'), undefined)
    assert.equal(metadata.stale(6, 'n0'), 'unknown')
    // One answer of today among those of yesterday.
    metadata.set(5, 'n0', undefined, 10)
    assert.equal(metadata.lookup(5, 'n0'), undefined)
    assert.equal(metadata.lookup(5, 'n1'), 'unknown')
  })
})
