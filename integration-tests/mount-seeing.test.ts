/** What a mount tells of itself: what is sent and what is not, as people, scripts and programs ask for it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { withMount } from './helpers/mount.js'
import { onlyEmbedded } from './helpers/suite.js'

describe('what a mount tells', { timeout: 230_000, skip: onlyEmbedded }, () => {
  it('sync: what was deleted is in the bin, also the first time', () => withMount({ indexDelayMs: 500 }, async ({ sh, cellsfs }) => {
    const sync = async (): Promise<void> => assert.deepEqual(await cellsfs(['sync']), { code: 0, stdout: '', stderr: '' })
    await sh('ls; echo one > a.txt; echo two > b.txt')
    await sync()
    await sh('ls; rm a.txt')
    await sync()
    assert.equal(await sh('ls recycle_bin; rm b.txt'), 'a.txt\n')
    await sync()
    assert.equal(await sh('ls recycle_bin'), 'a.txt\nb.txt\n')
  }))
})
