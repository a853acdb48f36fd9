/**
 * The accounts file: `config.json` in cec's folder, shared with Pydio's cec (cec-reference 2.1, 2.2). Mode
 * 0600, written beside and renamed over, and every read-modify-write under a lock between processes.
 */
import { constants } from 'node:fs'
import { mkdir, open, readFile, realpath, rename, unlink } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { homedir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { accountsHome } from '../paths.js'
import { AuthError } from './errors.js'
import { formatConfig, NO_ACCOUNTS, parseConfig, type Accounts } from './goconfig.js'
import { withLock } from './lock.js'
import { VERSION } from '../version.js'

/** The folder of config.json: `--config`, else the place of the operating system. */
export function configFolder(flag: string): string {
  if (flag !== '') return resolve(flag)
  const xdg = process.env['XDG_CONFIG_HOME']
  // macOS has its own place; XDG there counts only when somebody set it.
  if (process.platform === 'darwin' && !(xdg !== undefined && isAbsolute(xdg))) return join(homedir(), 'Library', 'Application Support', 'Pydio', 'cells-client')
  return accountsHome()
}

export class AccountsFile {
  readonly folder: string
  readonly path: string

  /** @param folder see configFolder */
  constructor(folder: string) {
    this.folder = folder
    this.path = join(folder, 'config.json')
  }

  /** Folder for what we keep beside config.json: locks and refresh records. Pydio's cec ignores it. */
  get privateFolder(): string {
    return join(this.folder, '.cellsfs')
  }

  /**
   * Reads the file; undefined when there is none. A file of an older layout is rewritten, silently.
   *
   * @throws AuthError `storage` when it cannot be read or is not JSON
   */
  async read(): Promise<Accounts | undefined> {
    const parsed = await this.#parse()
    if (parsed === undefined) return undefined
    // A file that we may not write (a mounted secret, say) still serves.
    if (parsed.migrated) await this.update((accounts) => accounts).catch(() => {})
    return parsed.accounts
  }

  /**
   * Reads, changes and writes under the lock. `change` gives the new content, or undefined to remove the file.
   *
   * @throws AuthError `storage`
   */
  async update(change: (accounts: Accounts) => Accounts | undefined): Promise<Accounts | undefined> {
    // Before the lock, whose own folder is private.
    await this.#prepare()
    return await withLock(join(this.privateFolder, 'file.lock'), async () => {
      const next = change((await this.#parse())?.accounts ?? NO_ACCOUNTS)
      if (next === undefined) await this.#remove()
      else await this.#write(formatConfig(next))
      return next
    })
  }

  async #prepare(): Promise<void> {
    try {
      await mkdir(this.folder, { recursive: true, mode: 0o755 })
    } catch (error) {
      throw new AuthError('storage', `cannot make the folder ${this.folder}: ${(error as Error).message}`, { cause: error })
    }
  }

  async #parse(): Promise<ReturnType<typeof parseConfig> | undefined> {
    // Pydio's cec writes in place: a half-written file heals within milliseconds.
    for (let tries = 0; ; tries++) {
      let text: string
      try {
        text = await readFile(this.path, 'utf8')
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
        throw new AuthError('storage', `cannot read ${this.path}: ${(error as Error).message}`, { cause: error })
      }
      try {
        return parseConfig(text, VERSION)
      } catch {
        // No cause: a JSON error quotes the text, which may be a secret.
        if (tries === 5) throw new AuthError('storage', `${this.path} is not an accounts file (not JSON); repair or remove it`)
      }
      await sleep(40)
    }
  }

  async #remove(): Promise<void> {
    await unlink(this.path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw new AuthError('storage', `cannot remove ${this.path}: ${error.message}`, { cause: error })
    })
  }

  async #write(text: string): Promise<void> {
    try {
      // The file may be a link into somebody's dot-files; it stays one.
      await writeDurably(await realpath(this.path).catch(() => this.path), text)
    } catch (error) {
      throw new AuthError('storage', `cannot write ${this.path}: ${(error as Error).message}`, { cause: error })
    }
  }
}

/** Writes a 0600 file beside `path`, syncs it and renames it over: after a crash there is the old or the new content. */
export async function writeDurably(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`
  try {
    const file = await open(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(draft, path)
  } catch (error) {
    await unlink(draft).catch(() => {})
    throw error
  }
}
