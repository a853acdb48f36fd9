/**
 * The process that is killed: an engine and a program in one. Told by one JSON argument; says `<lane> <steps acknowledged>` after
 * each step, on a pipe that keeps what was written when the process dies.
 */
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { TokenSource } from '../../auth/types.js'
import { openEngine } from '../engine.js'
import { PathFs } from '../posix.testing.js'
import { perform, type Step } from './crash-steps.testing.js'
import { mountTree } from './observe.testing.js'
import { clientOf, modelLogger } from './site.testing.js'

export interface ChildTask {
  readonly url: string
  readonly token: string
  readonly remote: string
  readonly state: string
  readonly cache: string
  readonly tag: string
  /** Programs that run at the same time. */
  readonly lanes: readonly { readonly steps: readonly Step[]; readonly firstIndex: number }[]
  /** Pause after each step: long enough for its upload to begin before the next one. */
  readonly paceMs?: number
  /** Ends without a word once all steps are acknowledged. */
  readonly die?: boolean
}

/** What the mount shows in the end, as JSON. */
export interface ChildShown {
  readonly path: string
  readonly type: string
  readonly mode: number | undefined
  readonly mtime: string | undefined
  readonly content: string
}

/** How long the last process may take to send everything. The longest of 1,300 took 20 s on a busy machine. */
const SYNC_MS = 80_000

async function main(task: ChildTask): Promise<void> {
  const tokens: TokenSource = { get: () => Promise.resolve(task.token), reject: () => {} }
  const server = clientOf(task.url, tokens)
  const engine = await openEngine({
    server, remote: task.remote, stateDir: task.state, cacheDir: task.cache, uid: 1, gid: 1, umask: 0o022, readOnly: false, logger: modelLogger,
  })
  const fs = new PathFs(engine.fs)
  await Promise.all(task.lanes.map(async ({ steps, firstIndex }, lane) => {
    for (const [index, step] of steps.entries()) {
      await perform(fs, step, firstIndex + index, task.tag, () => engine.sync())
      writeSync(1, `${lane} ${index + 1}\n`)
      if (task.paceMs !== undefined) await pause(task.paceMs)
    }
  }))
  if (task.die === true) process.kill(process.pid, 'SIGKILL')
  const sent = await engine.sync('', AbortSignal.timeout(SYNC_MS))
  const failed: unknown[] = [...sent.failed, ...(sent.unsent === undefined ? [] : [`${sent.unsent} changes not sent after ${SYNC_MS / 1_000} s`, ...engine.status({ verbose: true }).changes ?? []])]
  const tree = await mountTree(fs).catch((error: unknown) => {
    failed.push(`the mount cannot be read: ${String(error)}`)
    return new Map<string, never>()
  })
  const shown: ChildShown[] = [...tree].map(([path, { type, mode, mtime, content }]) => ({ path, type, mode, mtime: mtime?.toString(), content: content.length > 100_000 ? '' : content.toString('latin1') }))
  await engine.close(AbortSignal.timeout(5_000))
  await server.close()
  writeSync(1, `done ${JSON.stringify({ failed, shown })}\n`)
}

export const CHILD = join(import.meta.dirname, 'crash-child.testing.js')

if (process.argv[1] === CHILD) await main(JSON.parse(process.argv[2]!) as ChildTask)
