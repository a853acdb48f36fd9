import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { it } from 'node:test'
import { isAlive, startTime } from './processes.js'

const linux = process.platform === 'linux'

it('tells a process from another that has its pid, and from one that has ended', { skip: !linux && 'needs /proc' }, async (test) => {
  assert.ok(isAlive(process.pid, startTime(process.pid)))
  assert.ok(isAlive(process.pid, ''))
  assert.equal(isAlive(process.pid, '1'), false)
  // A parent that never asks how its child has ended: the shell becomes a program that does not know of it.
  const parent = spawn('sh', ['-c', 'sleep 0 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'inherit'] })
  test.after(() => parent.kill('SIGKILL'))
  const [line] = await once(parent.stdout, 'data') as [Buffer]
  const pid = Number(line.toString())
  const state = (): string | undefined => {
    try {
      return readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.[0]
    } catch {
      return undefined // the shell was quicker
    }
  }
  while (state() !== undefined && state() !== 'Z') await new Promise((resolve) => setTimeout(resolve, 10))
  assert.equal(isAlive(pid, startTime(pid)), false)
})
