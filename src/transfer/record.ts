/**
 * A small file of facts about unfinished work that belongs to one process at a time: what a partial download has, or which
 * parts of an upload the server has. It is written whole (new file, rename), so a reader sees one state or the other, also
 * after kill -9. Its owner (process, start time) stands in it: the record of a dead owner may be
 * taken over, by one taker only.
 */
import { randomBytes } from 'node:crypto'
import { link, readFile, rename, rm, stat, unlink, writeFile } from 'node:fs/promises'
import { isAlive, startTime } from '../processes.js'

interface Written {
  readonly owner: { readonly pid: number; readonly start: string }
  readonly facts: unknown
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? ''

async function readWritten(path: string): Promise<Written | undefined> {
  try {
    const value = JSON.parse(await readFile(path, 'utf8')) as Partial<Written> | null
    if (typeof value?.owner?.pid !== 'number' || typeof value.owner.start !== 'string') return undefined
    return value as Written
  } catch (error) {
    if (error instanceof SyntaxError || codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

const living = (written: Written): boolean => isAlive(written.owner.pid, written.owner.start)

/** What a record says, whoever owns it; undefined when there is none or it is damaged. */
export async function readRecord(path: string): Promise<{ readonly facts: unknown; readonly inUse: boolean } | undefined> {
  const written = await readWritten(path)
  return written === undefined ? undefined : { facts: written.facts, inUse: living(written) }
}

/** Is this the name of a temporary file that is left of a new record, because its process (pid and start time in the name) has died at just that moment? */
export function isLeftBehind(name: string): boolean {
  const [, pid, start] = /\.json\.(\d+)-(\d*)-[0-9a-f]{8}$/.exec(name) ?? []
  return pid !== undefined && start !== undefined && !isAlive(Number(pid), start)
}

export class WorkRecord {
  readonly path: string
  /** Of the dead owner this was taken from; undefined for a new record. To be checked by the caller: a file is only input. */
  readonly found: unknown
  #saving: Promise<void> = Promise.resolve()
  /** What the next write will write, and that write. */
  #waiting: { facts: unknown; readonly written: Promise<void> } | undefined

  private constructor(path: string, found: unknown) {
    this.path = path
    this.found = found
  }

  /** @returns undefined while a living process (this one included) owns it, or takes it over */
  static async claim(path: string, initial: unknown): Promise<WorkRecord | undefined> {
    const created = new WorkRecord(path, undefined)
    if (await created.#create(initial)) return created
    const taking = `${path}.taking`
    if (!await createEmpty(taking)) return undefined
    try {
      // Only now: nobody else replaces the record of a dead owner.
      const written = await readWritten(path)
      if (written !== undefined && living(written)) return undefined
      const taken = new WorkRecord(path, written?.facts)
      await taken.save(written?.facts ?? initial)
      return taken
    } finally {
      await rm(taking, { force: true })
    }
  }

  /** False when there is one. */
  async #create(facts: unknown): Promise<boolean> {
    const temporary = `${this.path}.${process.pid}-${startTime(process.pid)}-${randomBytes(4).toString('hex')}`
    await writeFile(temporary, text(facts), { flag: 'wx', mode: 0o600 })
    try {
      // Unlike a rename, a link never replaces.
      await link(temporary, this.path)
      await unlink(temporary)
      return true
    } catch (error) {
      await unlink(temporary)
      if (codeOf(error) === 'EEXIST') return false
      if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(codeOf(error))) throw error
    }
    // A file system without hard links.
    try {
      await writeFile(this.path, text(facts), { flag: 'wx', mode: 0o600 })
      return true
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false
      throw error
    }
  }

  /** Resolves when these facts, or later ones, are written. Writes come one after the other; what waits for its turn is replaced. */
  save(facts: unknown): Promise<void> {
    if (this.#waiting !== undefined) {
      this.#waiting.facts = facts
      return this.#waiting.written
    }
    const written = this.#saving.catch(() => {}).then(async () => {
      const now = this.#waiting?.facts
      this.#waiting = undefined
      await writeFile(this.#next, text(now), { mode: 0o600 })
      await rename(this.#next, this.path)
    })
    this.#waiting = { facts, written }
    this.#saving = written
    return written
  }

  /** Always the same name: what kill -9 leaves behind is written over. */
  get #next(): string {
    return `${this.path}.new`
  }

  async remove(): Promise<void> {
    await this.#saving.catch(() => {})
    await rm(this.path, { force: true })
    await rm(this.#next, { force: true })
  }
}

/** Taking over takes milliseconds: who is longer at it has died. */
const TAKING_MS = 10_000

/** False when somebody has made it; one that was left behind is removed for the next time. */
async function createEmpty(path: string): Promise<boolean> {
  try {
    await writeFile(path, '', { flag: 'wx', mode: 0o600 })
    return true
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
    const info = await stat(path).catch(() => undefined)
    if (info !== undefined && Date.now() - info.mtimeMs > TAKING_MS) await rm(path, { force: true })
    return false
  }
}

function text(facts: unknown): string {
  const written: Written = { owner: { pid: process.pid, start: startTime(process.pid) }, facts }
  return JSON.stringify(written)
}
