import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { isDying, isDyingStatus } from './callers.js'

const status = (masks: { SigPnd?: string; ShdPnd?: string; SigBlk?: string; SigIgn?: string; SigCgt?: string }): string =>
  Object.entries({ SigPnd: '0', ShdPnd: '0', SigBlk: '0', SigIgn: '0', SigCgt: '0', ...masks }).map(([name, mask]) => `${name}:\t${mask.padStart(16, '0')}\n`).join('')

test('a pending SIGKILL, or a core signal that nothing stops, is death; a caught signal is not', () => {
  assert.equal(isDyingStatus(status({})), false)
  assert.equal(isDyingStatus(status({ SigPnd: '100' })), true)
  // Ctrl-C that is caught, or still on its way to another thread.
  assert.equal(isDyingStatus(status({ SigPnd: '2', SigCgt: '2' })), false)
  assert.equal(isDyingStatus(status({ ShdPnd: '2' })), false)
  assert.equal(isDyingStatus(status({ ShdPnd: '4' })), true)
  for (const stopped of ['SigBlk', 'SigIgn', 'SigCgt']) assert.equal(isDyingStatus(status({ SigPnd: '4', [stopped]: '4' })), false)
  assert.equal(isDyingStatus(''), false)
})

test('a living process, a process that is gone, and none', async () => {
  const child = spawn('sleep', ['100'])
  assert.equal(isDying(child.pid!), false)
  child.kill('SIGKILL')
  await once(child, 'close')
  assert.equal(isDying(child.pid!), false)
  assert.equal(isDying(0), false)
})
