/**
 * Is whoever waits for a reply about to die?
 *
 * An interrupt of the kernel says only that a signal has arrived. Programs that catch signals (git's timers, Go's
 * SIGURG) must not see EINTR from a file, so a request that has begun goes on. But a caller that a fatal signal has hit stays
 * in uninterruptible sleep until its reply comes, and nobody is left to be told anything: it gets its reply at once.
 */
import { readFileSync } from 'node:fs'

const bit = (signal: number): bigint => 1n << BigInt(signal - 1)
const SIGKILL = bit(9)
/** Signals that end a process by default with a core dump (signal(7)): the kernel does not turn these into SIGKILL. */
const CORE = [3, 4, 5, 6, 7, 8, 11, 24, 25, 31].map(bit).reduce((all, one) => all | one)

/** `status` is the text of /proc/<thread>/status (proc_pid_status(5)). */
export function isDyingStatus(status: string): boolean {
  const mask = (field: string): bigint => BigInt(`0x${new RegExp(`^${field}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1] ?? '0'}`)
  const pending = mask('SigPnd') | mask('ShdPnd')
  // Ctrl-C, SIGTERM and the like: where nobody catches them, the kernel makes them a SIGKILL for each thread at once.
  if ((mask('SigPnd') & SIGKILL) !== 0n) return true
  return (pending & CORE & ~mask('SigBlk') & ~mask('SigIgn') & ~mask('SigCgt')) !== 0n
}

/** `pid` as in a request's header: a thread, 0 when it is outside of our pid namespace. */
export function isDying(pid: number): boolean {
  if (pid === 0) return false
  try {
    return isDyingStatus(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    // Gone: nobody waits.
    return false
  }
}
