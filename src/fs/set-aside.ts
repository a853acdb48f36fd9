/**
 * Contents that were saved here and that no server can be given: what was written over a part of a file that somebody replaced before the rest
 * of it was here (bases.ts). Each lies in `lost+found` of the state folder, its bytes at their places and zeros between them, and is reported as failed,
 * over new starts too, until a person has taken what is needed of it and deleted it.
 */
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { link } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from '../log.js'
import type { Draft } from './drafts.js'
import { ListFile } from './listfile.js'
import type { FailedChange } from './status.js'

export interface SetAsideDeps {
  readonly stateDir: string
  /** Where a draft's file is. */
  readonly draftFile: (id: string) => string
  readonly logger: Logger
}

export class SetAside {
  private readonly deps: SetAsideDeps
  /** By the name in lost+found: the path in the mount. */
  private readonly entries = new Map<string, string>()
  private readonly file: ListFile

  constructor(deps: SetAsideDeps) {
    this.deps = deps
    this.file = new ListFile(join(deps.stateDir, 'set-aside.json'))
  }

  /** Those of an earlier process. Never rejects. */
  async start(): Promise<void> {
    try {
      for (const entry of await this.file.read()) {
        const slash = entry.indexOf('/')
        this.entries.set(entry.slice(0, slash), entry.slice(slash + 1))
      }
    } catch (error) {
      this.deps.logger.warn('the list of what was set aside cannot be read', { error })
    }
  }

  /** Keeps what there is of a draft; resolves when it and its entry are on disk. `path`: in the mount. */
  async add(draft: Draft, path: string): Promise<void> {
    const name = `${path.slice(path.lastIndexOf('/') + 1)}.${randomUUID().slice(0, 8)}`
    await draft.sync()
    await link(this.deps.draftFile(draft.id), this.where(name))
    this.entries.set(name, path)
    await this.save()
    this.deps.logger.error('somebody has replaced a file of which a part was changed here, and the rest had not come yet: what was written is set aside', { path, where: this.where(name) })
  }

  /** Those that are still there. */
  get failures(): FailedChange[] {
    const found: FailedChange[] = []
    for (const [name, path] of this.entries) {
      if (existsSync(this.where(name))) {
        found.push({
          path, reason: 'somebody replaced it on the server before all of what was to stay of its old content had come',
          advice: `take what you need from ${this.where(name)} (what was written here, in its place) and delete that file`,
        })
        continue
      }
      this.entries.delete(name)
      this.save().catch((error: unknown) => this.deps.logger.warn('the list of what was set aside cannot be written', { error }))
    }
    return found
  }

  private where(name: string): string {
    return join(this.deps.stateDir, 'lost+found', name)
  }

  private save(): Promise<void> {
    return this.file.write(() => [...this.entries].map(([name, path]) => `${name}/${path}`))
  }
}
