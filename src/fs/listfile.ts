/** A short list of texts in a file of the state folder: written whole, in order, and only when it has changed. */
import { readFile, rename, writeFile } from 'node:fs/promises'

export class ListFile {
  private readonly path: string
  private written = '[]'
  private last: Promise<void> = Promise.resolve()

  constructor(path: string) {
    this.path = path
  }

  /** Empty when there is no file. @throws when it cannot be read */
  async read(): Promise<string[]> {
    try {
      const list: unknown = JSON.parse(await readFile(this.path, 'utf8'))
      if (!Array.isArray(list) || !list.every((it) => typeof it === 'string')) throw new Error(`${this.path} holds no list`)
      this.written = JSON.stringify(list)
      return list
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
  }

  /** Resolves when it is on disk; `list` is asked when its turn has come. @throws */
  async write(list: () => Iterable<string>): Promise<void> {
    const work = this.last.then(async () => {
      const text = JSON.stringify([...list()])
      if (text === this.written) return
      await writeFile(`${this.path}.new`, `${text}\n`, { mode: 0o600, flush: true })
      await rename(`${this.path}.new`, this.path)
      this.written = text
    })
    this.last = work.catch(() => {})
    await work
  }
}
