/**
 * What of a tree takes part: `--exclude` and `--include`. Patterns are those of .gitignore, relative to the folder that is
 * transferred. What matches an exclude is left out, a folder with all that is in it (`!` takes back, as in .gitignore); with
 * includes, only the files that match one of them are taken.
 */
import ignore from 'ignore'
import type { Ignore } from 'ignore'

const compile = (patterns: readonly string[]): Ignore => ignore({ ignorecase: false, allowRelativePaths: true }).add([...patterns])

export class Selection {
  readonly #exclude: Ignore | undefined
  readonly #include: Ignore | undefined

  constructor(patterns: { readonly include?: readonly string[]; readonly exclude?: readonly string[] }) {
    const { include = [], exclude = [] } = patterns
    this.#exclude = exclude.length === 0 ? undefined : compile(exclude)
    this.#include = include.length === 0 ? undefined : compile(include)
  }

  /** Folders are made only where a file is taken. */
  get onlySome(): boolean {
    return this.#include !== undefined
  }

  /** @param path relative to the folder that is transferred; `''` is that folder */
  takes(path: string, isFolder: boolean): boolean {
    if (path === '') return true
    if (this.#exclude?.ignores(isFolder ? `${path}/` : path) === true) return false
    return isFolder || this.#include === undefined || this.#include.ignores(path)
  }
}

/** The steps of `plan` without folders in which nothing is done; then nothing gives way to them either. */
export async function * onlyNeededFolders<S extends { readonly kind: string; readonly path: string }>(plan: AsyncIterable<S>): AsyncGenerator<S> {
  const waiting = new Map<string, readonly S[]>()
  let removal: S | undefined
  for await (const step of plan) {
    // A removal comes just before what takes the place.
    if (step.kind === 'remove') {
      removal = step
      continue
    }
    const first = removal === undefined ? [] : [removal]
    removal = undefined
    if (step.kind === 'folder') {
      waiting.set(step.path, [...first, step])
      continue
    }
    const needed: S[] = []
    for (let end = step.path.lastIndexOf('/'); end > 0 && step.kind === 'file'; end = step.path.lastIndexOf('/', end - 1)) {
      const folder = step.path.slice(0, end)
      const held = waiting.get(folder)
      if (held === undefined) continue
      waiting.delete(folder)
      needed.unshift(...held)
    }
    yield * needed
    yield * first
    yield step
  }
}
