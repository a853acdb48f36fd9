import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import type { PartialUpload } from '../cache/store.js'
import { Digester, HASH_BLOCK } from '../cells/digest.js'
import { CellsError } from '../cells/errors.js'
import type { BodySource, CellsServer } from '../cells/server.js'
import type { MultipartPart } from '../cells/types.js'
import { digestFile } from './hashing.js'
import { upload, type UploadLedger } from './upload.js'

const STEP = 1000
const content = randomBytes(9_500)
const md5 = createHash('md5').update(content).digest('hex')

/** As much of a server as an upload needs. */
class Parts {
  readonly uploads = new Map<string, Map<number, Buffer>>()
  readonly sent: number[] = []
  readonly aborted: string[] = []
  whole: Buffer | undefined
  failAt = Infinity
  private count = 0

  readonly server = {
    multipartStart: () => {
      const id = `u${++this.count}`
      this.uploads.set(id, new Map())
      return Promise.resolve(id)
    },
    multipartExists: (_path: string, id: string) => Promise.resolve(this.uploads.has(id)),
    multipartPart: async (_path: string, id: string, number: number, body: BodySource, size: number): Promise<MultipartPart> => {
      if (this.sent.length >= this.failAt) throw new CellsError('network', 'gone')
      this.sent.push(number)
      const chunks: Buffer[] = []
      for await (const chunk of body()) chunks.push(Buffer.from(chunk))
      const data = Buffer.concat(chunks)
      assert.equal(data.length, size)
      this.uploads.get(id)!.set(number, data)
      return { number, size, etag: createHash('md5').update(data).digest('hex') }
    },
    multipartComplete: (_path: string, id: string, parts: readonly MultipartPart[]) => {
      const all = this.uploads.get(id)!
      this.whole = Buffer.concat([...parts].sort((a, b) => a.number - b.number).map((it) => all.get(it.number)!))
      return Promise.resolve()
    },
    multipartAbort: (_path: string, id: string) => {
      this.aborted.push(id)
      this.uploads.delete(id)
      return Promise.resolve()
    },
  } as unknown as CellsServer
}

async function withFile(work: (send: (parts: Parts, kept: { upload: PartialUpload | undefined }, path?: string, sum?: string) => Promise<void>) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'cellsfs-upload-'))
  await writeFile(join(folder, 'f'), content)
  const file = await open(join(folder, 'f'))
  try {
    await work((parts, kept, path = 'ws/f', sum = md5) => {
      const ledger: UploadLedger = { found: kept.upload, save: (it) => { kept.upload = it }, goesOn: () => true, again: () => Promise.resolve(), partBytes: STEP }
      return upload(parts.server, path, file, { size: content.length, md5: sum }, ledger)
    })
  } finally {
    await file.close()
    await rm(folder, { recursive: true })
  }
}

it('an upload that was interrupted goes on: no part is sent twice, and the bytes are equal', async () => {
  await withFile(async (send) => {
    const [parts, kept] = [new Parts(), { upload: undefined as PartialUpload | undefined }]
    parts.failAt = 4
    await assert.rejects(send(parts, kept), /gone/)
    assert.equal(kept.upload?.parts.length, 4)
    parts.failAt = Infinity
    await send(parts, kept)
    assert.deepEqual([...parts.sent].sort((a, b) => a - b), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    assert.ok(parts.whole?.equals(content))
    assert.equal(kept.upload, undefined)
    assert.deepEqual(parts.aborted, [])
  })
})

it('for another content, or another place, it is given up and begun anew', async () => {
  await withFile(async (send) => {
    for (const [path, sum] of [['ws/other', md5], ['ws/f', '0'.repeat(32)]] as const) {
      const [parts, kept] = [new Parts(), { upload: undefined as PartialUpload | undefined }]
      parts.failAt = 4
      await assert.rejects(send(parts, kept), /gone/)
      parts.failAt = Infinity
      await send(parts, kept, path, sum)
      assert.deepEqual(parts.aborted, ['u1'])
      assert.equal(parts.sent.length, 14)
      assert.ok(parts.whole?.equals(content))
    }
  })
})

it('an upload that the server has forgotten begins anew', async () => {
  await withFile(async (send) => {
    const [parts, kept] = [new Parts(), { upload: undefined as PartialUpload | undefined }]
    parts.failAt = 4
    await assert.rejects(send(parts, kept), /gone/)
    parts.failAt = Infinity
    parts.uploads.clear()
    await send(parts, kept)
    assert.ok(parts.whole?.equals(content))
  })
})

it('the digests of a large content are those of its bytes, holes too; parts of the size of a block are compared with them', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cellsfs-upload-'))
  const whole = Buffer.concat([randomBytes(HASH_BLOCK + 5), Buffer.alloc(HASH_BLOCK), randomBytes(1000)])
  await writeFile(join(folder, 'f'), whole.subarray(0, HASH_BLOCK + 5))
  const file = await open(join(folder, 'f'), 'r+')
  try {
    await file.write(whole, 2 * HASH_BLOCK + 5, 1000, 2 * HASH_BLOCK + 5)
    const digester = new Digester()
    digester.update(whole)
    const { blocks, ...digest } = await digestFile(file, whole.length)
    assert.deepEqual(digest, digester.finish())
    const ledger: UploadLedger = { found: undefined, save: () => {}, goesOn: () => false, again: () => Promise.resolve(), partBytes: HASH_BLOCK }
    const parts = new Parts()
    await upload(parts.server, 'ws/f', file, { ...digest, blocks: blocks! }, ledger)
    assert.ok(parts.whole?.equals(whole))
    await file.write(Buffer.from('x'), 0, 1, HASH_BLOCK + 100)
    await assert.rejects(upload(new Parts().server, 'ws/f', file, { ...digest, blocks: blocks! }, ledger), /Part 2 of ws\/f arrived damaged/)
  } finally {
    await file.close()
    await rm(folder, { recursive: true })
  }
})
