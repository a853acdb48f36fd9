/**
 * Programs that a benchmark runs. Nothing here touches a mount itself: a process that waits for a mount it serves,
 * or counts the time of one, must not hang with it.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'

const running = new Set<ChildProcess>()
const groups = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  for (const child of groups) killGroup(child)
})

export interface Timed {
  readonly ms: number
  /** 0 when it succeeded; 128 when it was killed. */
  readonly code: number
  readonly stdout: string
  /** Its last words, for the record of a failure. */
  readonly stderr: string
  /** It was ended because it took longer than `timeoutMs`. */
  readonly late: boolean
}

export interface Where {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  readonly timeoutMs?: number
}

/**
 * Runs a program to its end and says how long that took, from before the fork until its last output. One that takes longer than
 * `timeoutMs` is ended with all it has started, and not waited for: a program that waits for a mount ends only when the mount answers.
 */
export function timed(program: string, args: readonly string[], { cwd, env, timeoutMs = 600_000 }: Where = {}): Promise<Timed> {
  return new Promise((resolve, reject) => {
    const start = performance.now()
    const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    groups.add(child)
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text })
    child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr = (stderr + text).slice(-2000) })
    const over = (code: number, late: boolean): void => {
      clearTimeout(timer)
      groups.delete(child)
      resolve({ ms: performance.now() - start, code, stdout, stderr: stderr.trim(), late })
    }
    const timer = setTimeout(() => {
      killGroup(child)
      child.stdout.destroy()
      child.stderr.destroy()
      child.unref()
      over(128, true)
    }, timeoutMs)
    child.once('error', (error) => {
      clearTimeout(timer)
      groups.delete(child)
      reject(error)
    })
    child.once('close', (code) => over(code ?? 128, false))
  })
}

/** A program that was started detached, and what it has started. */
function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

/** A program that stays, like a mount. */
export interface Daemon {
  readonly pid: number
  /** Its first line on stdout. Rejects when it ends before. */
  readonly firstLine: Promise<string>
  /** Asks it to end, and ends it after `patienceMs`. */
  readonly stop: (patienceMs?: number) => Promise<void>
  readonly said: () => string
}

export function daemon(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Daemon {
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  let said = ''
  let line = ''
  const exited = new Promise<void>((resolve) => {
    const over = (): void => {
      running.delete(child)
      resolve()
    }
    child.once('error', over)
    child.once('close', over)
  })
  const firstLine = new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      line += text
      if (line.includes('\n')) resolve(line.slice(0, line.indexOf('\n')))
    })
    child.once('error', reject)
    child.once('close', () => reject(new Error(`${program} ended: ${said.trim()}`)))
  })
  // rclone prints nothing: nobody waits for its line.
  firstLine.catch(() => {})
  child.stderr.setEncoding('utf8').on('data', (text: string) => { said = (said + text).slice(-20_000) })
  return {
    pid: child.pid ?? 0,
    firstLine,
    said: () => said,
    stop: async (patienceMs = 60_000) => {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs)
      await exited
      clearTimeout(timer)
    },
  }
}

/** It did not happen in time. */
export class Late extends Error {}

/** Awaits until `condition` holds. @throws Late with `what` when it does not in time */
export async function until(what: string, condition: () => Promise<boolean>, everyMs: number, timeoutMs: number): Promise<void> {
  const end = Date.now() + timeoutMs
  while (!await condition()) {
    if (Date.now() > end) throw new Late(`not within ${timeoutMs / 1000} s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}

export async function isMounted(path: string): Promise<boolean> {
  return (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').some((line) => line.split(' ')[4] === path)
}
