/**
 * The process that is killed: an engine and a program in one. Told by one JSON argument; says `<lane> <steps acknowledged>` after
 * each step, on a pipe that keeps what was written when the process dies.
 */
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { TokenSource } from '../../auth/types.js'
import { CellsError } from '../../cells/errors.js'
import type { CellsServer } from '../../cells/server.js'
import { orLate } from '../../signals.js'
import { openEngine } from '../engine.js'
import { PathFs } from '../posix.testing.js'
import { perform, type Step } from './crash-steps.testing.js'
import { mountTree, showOf } from './observe.testing.js'
import { clientOf, md5, modelLogger } from './site.testing.js'

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
  /** Says what the mount shows at these paths, while the server answers nothing but its first question. */
  readonly look?: { readonly paths: readonly string[]; readonly silence: Silence } | undefined
  /** See EngineOptions. */
  readonly partBytes?: number | undefined
  /** Ends without a word once all steps are acknowledged. */
  readonly die?: boolean
}

/** How a server does not answer: until whoever asks gives up, or with an error at once. */
export type Silence = 'stalls' | 'fails'

/** One path as the mount shows it while the server is silent. */
export interface Looked {
  readonly path: string
  readonly type?: string
  /** Size and md5 of a file. */
  readonly content?: string
  /** Why it cannot be shown. */
  readonly error?: string
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

/** A client gives up after this long. (A real one, after longer.) */
const STALL_MS = 3_000
/** Whoever looks while the server says nothing waits for it no longer. */
const LOOK_MS = 1_500

/** The same server, which answers its first question (the folder that is mounted is there) and then none until `answer` is called. */
function silenced(server: CellsServer, how: Silence): { server: CellsServer; answer: () => void } {
  let [silent, asked] = [true, 0]
  let end = (): void => {}
  const answered = new Promise<void>((resolve) => { end = resolve })
  const turn = async (): Promise<void> => {
    if (asked++ === 0 || !silent) return
    if (how === 'fails') throw new CellsError('network', 'not reachable')
    await orLate(STALL_MS, answered, () => { throw new CellsError('timeout', 'no answer') })
  }
  const events: CellsServer['events'] = (listener) => {
    let stream: { close(): void } | undefined
    let closed = false
    void answered.then(() => { if (!closed) stream = server.events(listener) })
    return {
      close: () => {
        closed = true
        stream?.close()
      },
    }
  }
  const list: CellsServer['list'] = async function * (...call) {
    await turn()
    yield * server.list(...call)
  }
  const own: Partial<CellsServer> = { events, list }
  const quiet = new Proxy(server, {
    get: (target, name) => {
      const member = own[name as keyof CellsServer] ?? Reflect.get(target, name) as unknown
      if (name in own || typeof member !== 'function') return member
      return async (...call: unknown[]) => {
        await turn()
        return (member as (...all: unknown[]) => unknown).apply(target, call)
      }
    },
  })
  return { server: quiet, answer: () => { silent = false; end() } }
}

async function lookAt(fs: PathFs, path: string): Promise<Looked> {
  try {
    const { type, content } = await orLate(LOOK_MS, showOf(fs, path), () => { throw Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' }) })
    return { path, type, ...(type !== 'folder' && { content: `${content.length} ${md5(content)}` }) }
  } catch (error) {
    return { path, error: (error as { code?: string }).code ?? String(error) }
  }
}

async function main(task: ChildTask): Promise<void> {
  const tokens: TokenSource = { get: () => Promise.resolve(task.token), reject: () => {} }
  const real = clientOf(task.url, tokens)
  const { server, answer } = task.look === undefined ? { server: real, answer: () => {} } : silenced(real, task.look.silence)
  const engine = await openEngine({
    server, remote: task.remote, stateDir: task.state, cacheDir: task.cache, uid: 1, gid: 1, umask: 0o022, readOnly: false, logger: modelLogger,
    ...(task.partBytes !== undefined && { partBytes: task.partBytes }),
  })
  const fs = new PathFs(engine.fs)
  if (task.look !== undefined) {
    writeSync(1, `look ${JSON.stringify(await Promise.all(task.look.paths.map((path) => lookAt(fs, path))))}\n`)
    answer()
    // Not only when the event stream has found out.
    engine.wake()
  }
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
  await real.close()
  writeSync(1, `done ${JSON.stringify({ failed, shown })}\n`)
}

export const CHILD = join(import.meta.dirname, 'crash-child.testing.js')

if (process.argv[1] === CHILD) await main(JSON.parse(process.argv[2]!) as ChildTask)
