/**
 * Mounting in a process of its own. That process gets the settings over a pipe (secrets never stand in
 * an argument or an environment that others can read) and says that the drive answers, or why not.
 *
 * `detached`: it goes on when we end (`cellsfs mount`). `attached`: it ends when we end, however (`cellsfs demo`).
 */
import { fork, type ChildProcess } from 'node:child_process'
import { CommandError, SilentFailure } from '../errors.js'
import { YOUNG_HEAP } from './heap.js'
import type { MountSettings } from './options.js'

export interface WorkerSettings {
  readonly settings: MountSettings
  readonly attached: boolean
}

/** From the worker. */
export type WorkerMessage =
  | { readonly type: 'ready'; readonly mountpoint: string; readonly note?: string }
  | { readonly type: 'failed'; readonly sentence: string }

export interface Worker {
  readonly mountpoint: string
  /** Something that the person should know. */
  readonly note?: string
  readonly process: ChildProcess
}

/** Resolves when the drive answers. @throws CommandError with the worker's sentence */
export async function startWorker({ settings, attached }: WorkerSettings): Promise<Worker> {
  // A session of its own in both cases: a Ctrl-C on the terminal is ours, and we pass it on in our order.
  // Node has four threads for all files: while some of them wait for the disk to sync, reading and writing would wait, too.
  const env = { ...process.env, UV_THREADPOOL_SIZE: process.env['UV_THREADPOOL_SIZE'] ?? '16' }
  const child = fork(process.argv[1]!, ['mount-worker'], { detached: true, stdio: ['ignore', 'ignore', attached ? 'inherit' : 'ignore', 'ipc'], execArgv: [...process.execArgv, YOUNG_HEAP], env })
  const stop = (): void => { child.kill('SIGTERM') }
  const signals: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const signal of signals) process.on(signal, stop)
  try {
    const ready = await new Promise<{ readonly mountpoint: string; readonly note?: string }>((resolve, reject) => {
      child.on('message', (message: WorkerMessage) => {
        if (message.type === 'ready') resolve(message)
        else reject(new CommandError(message.sentence))
      })
      child.on('error', (cause) => reject(new CommandError(`could not start the process of the mount: ${cause.message}`)))
      child.on('exit', (code, signal) => reject(signal === null
        ? new CommandError(`the process of the mount ended with ${code} before the drive was ready`)
        : new SilentFailure('stopped')))
      child.send({ settings, attached } satisfies WorkerSettings)
    })
    if (!attached) {
      child.disconnect()
      child.unref()
    }
    return { mountpoint: ready.mountpoint, note: ready.note, process: child }
  } finally {
    for (const signal of signals) process.off(signal, stop)
  }
}
