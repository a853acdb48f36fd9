import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { it } from 'node:test'
import { Confirmer, type ConfirmDeps } from './confirm.js'
import { Inode } from './inodes.js'

/** A confirmer that never gets to asking. */
function begin(): { confirmer: Confirmer; inode: Inode } {
  const deps = { tree: { deps: { metadata: { now: () => 0, pushed: false } }, pause: (ms: number) => ms, places: { isWithinThere: () => true } } } as unknown as ConfirmDeps
  return { confirmer: new Confirmer(deps), inode: new Inode(2, 'file', undefined, 'f', { mode: 0o644, uid: 0, gid: 0 }) }
}

it('a wait that is over listens to its signal no longer, which may live as long as the mount', async () => {
  const { confirmer, inode } = begin()
  const stop = new AbortController()
  confirmer.awaitPresent(inode)
  const waits = [confirmer.confirmed(inode, stop.signal), confirmer.confirmedBelow(inode, stop.signal), confirmer.drained(() => true, stop.signal)]
  assert.equal(getEventListeners(stop.signal, 'abort').length, 3)
  confirmer.drop(inode)
  await Promise.all(waits)
  assert.equal(getEventListeners(stop.signal, 'abort').length, 0)
  await confirmer.close()
})

it('nothing is waited for under a signal that has fired', async () => {
  const { confirmer, inode } = begin()
  const stop = new AbortController()
  confirmer.awaitPresent(inode)
  const waits = confirmer.confirmed(inode, stop.signal)
  stop.abort(new Error('over'))
  await assert.rejects(waits, /over/)
  await assert.rejects(confirmer.confirmed(inode, stop.signal), /over/)
  await confirmer.close()
})
