/** What a fresh server holds: a read-only workspace, and on request a few documents to look at. */
import { cellsHash } from './blobs.js'
import { SOURCES } from './access.js'
import type { Context } from './context.js'
import { nowSeconds } from './tree.js'

/** `ro-ws`, a window onto common-files/ro-src: alice may only read it, everybody else may write. */
export function addReadOnlyWorkspace(ctx: Context): void {
  if ([...ctx.access.workspaces.values()].some(row => row.slug === 'ro-ws') || ctx.store.table<boolean>('flags').has('ro-ws')) return
  const common = ctx.tree.get(SOURCES.common.uuid)
  if (!common) throw new Error('index: no data source')
  const root = ctx.indexer.folderForPut(common, 'ro-src')
  ctx.access.addWorkspace({ slug: 'ro-ws', label: 'Read only', description: 'A folder that some may only read', root: root.uuid, everyone: true })
  const alice = ctx.auth.users.find('alice')
  if (alice && alice.readOnlyWorkspaces.length === 0) ctx.auth.users.put({ ...alice, readOnlyWorkspaces: ['ro-ws'] })
  ctx.store.table<boolean>('flags').set('ro-ws', true)
}

/** A picture of one pixel, to have something binary with a familiar name. */
const PIXEL = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==', 'base64')

const COMMON: Readonly<Record<string, string | Buffer>> = {
  'Welcome.md': '# Welcome to Cells\n\nThis folder lives on a server. Open, edit, copy and delete files here as you would anywhere else.\n\n* `Projects` has folders inside folders.\n* Deleted files wait in `recycle_bin`.\n',
  'Notes.txt': 'Write something here, save, and look at the file through another mount.\n',
  'Pictures/pixel.png': PIXEL,
  'Projects/Garden/plan.md': '# Garden\n\n- [ ] beans\n- [ ] tomatoes\n',
  'Projects/Garden/2026/costs.csv': 'item,price\nseeds,12.50\nsoil,30.00\n',
  'Projects/Garden/2026/budget 100% (draft) #1.txt': 'A name with a few characters that URLs do not like.\n',
  'Projects/.editorconfig': 'root = true\n\n[*]\nindent_style = space\n',
  'Projects/Übersicht – été.txt': 'A name beyond ASCII.\n',
  'ro-src/readme.txt': 'Some people may only read this.\n',
}

const PERSONAL: Readonly<Record<string, string>> = {
  'Letter.txt': 'Dear reader,\n\nthis folder is yours alone.\n',
  '.profile': 'export EDITOR=vi\n',
}

export async function addSampleContent(ctx: Context): Promise<void> {
  const put = async (slug: string, user: Parameters<Context['access']['view']>[0], path: string, content: string | Buffer): Promise<void> => {
    const view = ctx.access.view(user, slug)
    if (!view) return
    const written = await ctx.blobs.writeText(content)
    const names = path.split('/')
    const folder = names.slice(0, -1).reduce((at, name) => ctx.indexer.folderForPut(at, name), view.root)
    ctx.indexer.put(folder, names.at(-1) ?? '', {
      segments: [{ id: written.id, size: written.size }], size: written.size, md5: written.md5, storageEtag: written.md5,
      hash: ctx.flat ? cellsHash(written.blocks) : '', mtime: nowSeconds(), contentType: 'application/octet-stream',
    })
  }
  const users = ctx.auth.users.list()
  const first = users[0]
  if (first) for (const [path, content] of Object.entries(COMMON)) await put('common-files', first, path, content)
  for (const user of users) for (const [path, content] of Object.entries(PERSONAL)) await put('personal-files', user, path, content)
  // The first client shall find it indexed.
  await ctx.indexer.settleAll()
  ctx.store.table<boolean>('flags').set('sample', true)
}
