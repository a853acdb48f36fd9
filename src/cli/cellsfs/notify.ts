/**
 * sd_notify(3): tells systemd, which has started us with NOTIFY_SOCKET, how far we are. The socket takes datagrams, which Node
 * cannot send to a path, so systemd's own program does it.
 */
import { spawn } from 'node:child_process'
import type { Logger } from '../../log.js'

/** Words of systemd-notify(1). Does nothing without systemd; never throws. */
export async function notifySystemd(words: readonly string[], logger: Logger): Promise<void> {
  if ((process.env['NOTIFY_SOCKET'] ?? '') === '') return
  const problem = await new Promise<string | undefined>((resolve) => {
    const child = spawn('systemd-notify', words, { stdio: 'ignore' })
    child.on('error', (error) => resolve(error.message))
    child.on('close', (code) => resolve(code === 0 ? undefined : `exit code ${code}`))
  })
  if (problem !== undefined) logger.warn('systemd was not told', { words: words.join(' '), problem })
}
