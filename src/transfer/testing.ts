/** Temporary local trees for the tests of this room. */
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'cec-transfer-')))
  try {
    await test(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Writes `{ 'a/b.txt': 'content', 'empty/': '' }` below `folder`. */
export async function writeTree(folder: string, tree: Readonly<Record<string, string | Buffer>>): Promise<void> {
  for (const [path, content] of Object.entries(tree)) {
    const full = join(folder, path)
    await mkdir(path.endsWith('/') ? full : dirname(full), { recursive: true })
    if (!path.endsWith('/')) await writeFile(full, content)
  }
}

/** The reverse of writeTree; folders are listed when they are empty. */
export async function readTree(folder: string, prefix = ''): Promise<Record<string, string>> {
  const tree: Record<string, string> = {}
  for (const entry of await readdir(join(folder, prefix), { withFileTypes: true })) {
    const path = join(prefix, entry.name)
    if (entry.isDirectory()) {
      const inside = await readTree(folder, path)
      if (Object.keys(inside).length === 0) tree[`${path}/`] = ''
      Object.assign(tree, inside)
    } else {
      tree[path] = entry.isSymbolicLink() ? '(link)' : await readFile(join(folder, path), 'utf8')
    }
  }
  return tree
}
