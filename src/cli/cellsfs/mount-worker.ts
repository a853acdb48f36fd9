/** The process behind a drive that is not in front; started by background.ts, never by a person. */
import type { CecCommand } from '../command.js'
import { CommandError, SilentFailure, sentenceOf } from '../errors.js'
import type { WorkerMessage, WorkerSettings } from './background.js'
import { serveMount } from './session.js'

async function work(): Promise<void> {
  const send = process.send?.bind(process)
  if (send === undefined) throw new CommandError('mount-worker is started by `cellsfs mount`')
  // Closing the terminal is no reason to take the drive away.
  process.on('SIGHUP', () => {})
  // The starter may be gone: then nobody listens, which is no error.
  const say = (message: WorkerMessage): Promise<void> => new Promise((resolve) => send(message, undefined, undefined, () => resolve()))
  const { settings, attached } = await new Promise<WorkerSettings>((resolve) => process.once('message', (message) => resolve(message as WorkerSettings)))
  // No folder is kept busy by us.
  process.chdir('/')
  let ready = false
  const orphaned = (): void => { process.kill(process.pid, 'SIGTERM') }
  try {
    await serveMount(settings, {
      onReady: (mountpoint, note) => {
        ready = true
        void say({ type: 'ready', mountpoint, note })
        if (attached) process.once('disconnect', orphaned)
      },
      signals: ['SIGINT', 'SIGTERM'],
      log: 'file',
    })
  } catch (error) {
    if (!ready) await say({ type: 'failed', sentence: sentenceOf(error) })
    else process.stderr.write(`${sentenceOf(error)}\n`)
    throw new SilentFailure('told')
  } finally {
    process.off('disconnect', orphaned)
    if (process.connected) process.disconnect()
  }
}

export const command: CecCommand = { command: 'mount-worker', describe: false, builder: (yargs) => yargs, handler: work }
