/** Opens a page in the person's browser: `BROWSER`, else what the desktop provides. */
import { spawn } from 'node:child_process'

function commandFor(url: string, env: NodeJS.ProcessEnv, platform: NodeJS.Platform): { file: string; args: string[] } {
  // The convention of BROWSER: programs separated by colons, %s for the address.
  const wanted = (env['BROWSER'] ?? '').split(':').find((entry) => entry.trim() !== '')
  if (wanted !== undefined) {
    const words = wanted.trim().split(/\s+/)
    const args = words.slice(1).map((word) => word.replaceAll('%s', () => url))
    return { file: words[0] ?? '', args: wanted.includes('%s') ? args : [...args, url] }
  }
  return { file: platform === 'darwin' ? 'open' : 'xdg-open', args: [url] }
}

/**
 * Starts the browser and does not wait for it.
 *
 * @returns false when there is no program to start
 */
export function openBrowser(url: string, env: NodeJS.ProcessEnv = process.env, platform: NodeJS.Platform = process.platform): Promise<boolean> {
  const { file, args } = commandFor(url, env, platform)
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: 'ignore', detached: true, env })
    child.once('error', () => resolve(false))
    child.once('spawn', () => {
      child.unref()
      resolve(true)
    })
  })
}
