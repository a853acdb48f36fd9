/**
 * Whose mount it is, and what happens to a mount whose sign-in ends.
 *
 * A mount is the same one again when account, folder and mountpoint are; who we are only the server can prove. When it does not answer
 * in time, and this account had this mount before, what is stored says it: the mount starts with what is known.
 *
 * A sign-in that has ended is noticed by the calls that fail. From then on the accounts file is looked at: when it changes (`cec config
 * relog`, Pydio's cec, another mount), the mount tries again at once.
 */
import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ConnectionSettings } from '../../auth/types.js'
import { accountIdOf } from '../../auth/url.js'
import type { CellsServer } from '../../cells/server.js'
import { saysNothing } from '../../fs/patience.js'
import type { ConnectionState } from '../../fs/status.js'
import type { Logger } from '../../log.js'
import { orLate } from '../../signals.js'

/** How long a start waits for the server when it could do without. */
const WHOAMI_MS = 300
const LOOK_MS = 1_000

/**
 * The account's id.
 * @param hasMount has this account had this mount before?
 * @throws CellsError, AuthError
 */
export async function identify(server: CellsServer, { url, user = '' }: ConnectionSettings, hasMount: (account: string) => boolean, logger: Logger): Promise<{ account: string; proven: boolean }> {
  const asked = server.whoami().then((it) => accountIdOf(url, it))
  const stored = accountIdOf(url, user)
  if (user === '' || !hasMount(stored)) return { account: await asked, proven: true }
  try {
    const account = await orLate(WHOAMI_MS, asked, () => undefined)
    if (account !== undefined) return { account, proven: true }
  } catch (error) {
    if (!saysNothing(error)) throw error
    logger.debug('who we are is not proven yet', { error })
  }
  return { account: stored, proven: false }
}

/** Does this folder hold the state of an earlier mount? */
export function hasState(stateDir: string): boolean {
  return existsSync(join(stateDir, 'store.mdb'))
}

/** Calls `revive` when the sign-in has ended and the accounts file has changed since. Returns what ends it. */
export function watchSignIn(accountsFile: string, connection: () => ConnectionState, revive: () => void): () => void {
  let seen: string | undefined
  const look = async (): Promise<void> => {
    const state = connection()
    const now = await stat(accountsFile).then(({ mtimeMs, size, ino }) => `${mtimeMs} ${size} ${ino}`, () => 'none')
    if (state === 'login-needed' && seen !== undefined && now !== seen) revive()
    seen = now
  }
  const timer = setInterval(() => void look(), LOOK_MS)
  timer.unref()
  void look()
  return () => clearInterval(timer)
}
