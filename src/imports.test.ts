/** The arrows between the rooms (ARCHITECTURE.md) as a test: an import against an arrow fails it. */
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, it } from 'node:test'

/** What each room may import besides itself and the files directly in src/ (log, paths ...). */
const MAY: Readonly<Record<string, readonly string[]>> = {
  auth: [],
  cells: ['auth'],
  cache: ['cells', 'auth'],
  transfer: ['cells', 'auth'],
  fs: ['cache', 'cells', 'auth'],
  demo: [],
  cli: ['transfer', 'fs', 'cache', 'cells', 'auth'],
}

/** Files that cross an arrow on purpose: the demo command is the only one that starts the embedded server. */
const EXCEPT: Readonly<Record<string, readonly string[]>> = {
  'cli/cellsfs/demo.ts': ['demo'],
}

/** The sources: this test runs from a build folder that may lie anywhere below the project. */
async function sources(): Promise<string> {
  for (let folder = dirname(fileURLToPath(import.meta.url)); folder !== dirname(folder); folder = dirname(folder)) {
    const names = await readdir(folder)
    if (names.includes('package.json') && names.includes('tsconfig.json')) return join(folder, 'src')
  }
  throw new Error('the sources were not found')
}

const isTest = (file: string): boolean => /\.(test|testing)\.ts$|test-client\.ts$|testing\.ts$/.test(file)

describe('imports', () => {
  it('run along the arrows', async () => {
    const root = await sources()
    const files = (await readdir(root, { recursive: true })).filter((it) => it.endsWith('.ts') && !isTest(it))
    assert.ok(files.length > 100, `only ${files.length} files found`)
    const wrong: string[] = []
    let imports = 0
    for (const file of files) {
      const parts = file.split(sep)
      const room = parts.length === 1 ? undefined : parts[0]!
      const text = await readFile(join(root, file), 'utf8')
      for (const [, target] of text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)) {
        imports++
        const to = relative(root, join(root, dirname(file), target!)).split(sep)
        const other = to.length === 1 ? undefined : to[0]!
        if (other === undefined || other === room) continue
        const allowed = [...(room === undefined ? [] : MAY[room] ?? []), ...(EXCEPT[file.split(sep).join('/')] ?? [])]
        if (!allowed.includes(other)) wrong.push(`${file} imports ${to.join('/')}`)
      }
      if (parts[0] === 'fs' && parts[1] === 'drivers' && /from '(\.\.\/)+cells\//.test(text)) wrong.push(`${file}: a driver knows no server`)
    }
    assert.ok(imports > 300, `only ${imports} imports found`)
    assert.deepEqual(wrong, [])
  })
})
