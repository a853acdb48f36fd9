/**
 * Numbered moments at which a test kills the process: before and after every step that makes something durable, here or on the
 * server. Without CELLSFS_CRASH_AT in the environment a crash point costs one comparison.
 *
 * CELLSFS_CRASH_AT=7 kills the process (-9) at the seventh point it passes; CELLSFS_CRASH_LOG names a file that gets the
 * name of each point passed.
 */
import { appendFileSync } from 'node:fs'

const at = Number(process.env['CELLSFS_CRASH_AT'] ?? -1)
const log = process.env['CELLSFS_CRASH_LOG']
let passed = 0

/** To be called right before and right after a step; `name` says which, for people. */
export function crashPoint(name: string): void {
  if (at >= 0) pass(name)
}

function pass(name: string): void {
  passed++
  if (log !== undefined) appendFileSync(log, `${name}\n`)
  if (passed !== at) return
  process.kill(process.pid, 'SIGKILL')
  // The signal may take a moment; nothing more happens here.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
}
