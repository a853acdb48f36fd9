/**
 * Versions of ours that were put beside somebody else's (conflict-copies.ts), by their paths on the server, until a person has seen to them: a
 * copy that is deleted or has another name is no conflict any more. Remembered over a restart.
 */
import { join } from 'node:path'
import type { CellsServer } from '../cells/server.js'
import type { Logger } from '../log.js'
import { ListFile } from './listfile.js'
import type { Tree } from './tree.js'

export interface ConflictDeps {
  readonly tree: Tree
  readonly stateDir: string
  readonly logger: Logger
}

export class Conflicts {
  private readonly deps: ConflictDeps
  private readonly paths = new Set<string>()
  private readonly file: ListFile

  constructor(deps: ConflictDeps) {
    this.deps = deps
    this.file = new ListFile(join(deps.stateDir, 'conflicts.json'))
  }

  /** Those of an earlier process; which of them are still there is asked in the background. Never rejects. */
  async start(server: CellsServer): Promise<void> {
    try {
      for (const path of await this.file.read()) this.paths.add(path)
    } catch (error) {
      this.deps.logger.warn('the list of conflicts cannot be read', { error })
    }
    const earlier = [...this.paths]
    if (earlier.length === 0) return
    server.statMany(earlier).then((found) => {
      for (const path of earlier) if (!found.has(path)) this.paths.delete(path)
      this.save()
    }, (error: unknown) => this.deps.logger.debug('conflicts of an earlier run cannot be looked for now', { error }))
  }

  add(path: string): void {
    this.paths.add(path)
    this.save()
  }

  /** Those that are there, as far as is known without asking. One that is on its way may not be there for a moment: none is forgotten because of that. */
  get all(): readonly string[] {
    return [...this.paths].filter((path) => !this.deps.tree.isGone(path))
  }

  private save(): void {
    this.file.write(() => this.paths).catch((error: unknown) => this.deps.logger.warn('the list of conflicts cannot be written', { error }))
  }
}
