/** The file below a draft. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { DraftFile } from './draft-file.js'

/** Open descriptors of this process that lead to `path`. */
async function descriptors(path: string): Promise<number> {
  const links = await Promise.all((await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
  return links.filter((link) => link === path).length
}

it('is opened once when several want it first', { skip: process.platform !== 'linux' && 'no /proc' }, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'cellsfs-draftfile-'))
  try {
    // As many as live in memory; this one is a file from the start.
    const others = Array.from({ length: 1_000 }, (_, n) => DraftFile.create(String(n), join(dir, String(n))))
    const path = join(dir, 'file')
    const file = DraftFile.create('file', path)
    await Promise.all([file.sync(), file.read(Buffer.alloc(1), 0, 1, 0), file.read(Buffer.alloc(1), 0, 1, 0)])
    assert.equal(await descriptors(path), 1)
    const reading = file.read(Buffer.alloc(1), 0, 1, 0)
    await Promise.all([reading, file.discard()])
    assert.equal(await descriptors(path), 0)
    await Promise.all(others.map((other) => other.discard()))
    assert.deepEqual(await readdir(dir), [])
  } finally {
    await rm(dir, { recursive: true })
  }
})
