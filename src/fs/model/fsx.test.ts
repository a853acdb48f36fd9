/** fsx over the engine; FSX_OPS=1000000 for a long run, FSX_SEED for another one. */
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { PathFs } from '../posix.testing.js'
import type { Engine } from '../status.js'
import { fsx } from './fsx.testing.js'
import { md5, Site } from './site.testing.js'

const operations = Number(process.env['FSX_OPS'] ?? 4_000)
const seed = Number(process.env['FSX_SEED'] ?? Date.now() % 1_000_000)

/** Less than the file, so that blocks come and go. */
const CACHE_BYTES = 128 * 1024
const LARGEST = 256 * 1024

describe('fsx', { timeout: 24 * 3_600_000 }, () => {
  for (const version of [2, 4] as const) {
    it(`${operations} operations on one file, with uploads and a block cache smaller than the file, server ${version}`, async () => {
      const site = await Site.open(version)
      const { remote, state } = await site.place()
      let engine: Engine | undefined
      const start = async (): Promise<PathFs> => {
        engine = await site.engine(remote, state, (server) => server, { cacheBytes: CACHE_BYTES })
        return new PathFs(engine.fs)
      }
      const began = performance.now()
      try {
        const fs = await start()
        const report = await fsx(fs, 'file', {
          seed, operations, largest: LARGEST,
          settle: async () => assert.deepEqual(await engine!.sync(), { failed: [] }),
        })
        // Another engine, without any block, reads what the server has.
        const content = await fs.readFile('file')
        assert.equal(md5(await site.content(`${remote}/file`)), md5(content))
        await engine!.close()
        await rm(join(state, 'cache'), { recursive: true, force: true })
        assert.equal(md5(await (await start()).readFile('file')), md5(content))
        console.log(`fsx, server ${version}: ${report.operations} operations, ${report.bytesWritten} bytes written, ${report.bytesRead} read, ${report.reopened} reopenings, ${((performance.now() - began) / 1000).toFixed(1)} s (seed ${seed})`)
      } finally {
        await engine?.close()
        await site.close()
      }
    })
  }
})
