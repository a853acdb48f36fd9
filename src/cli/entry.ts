/** A node of the server as commands show it: its kind in cec's words, its line, its JSON. */
import { baseOf } from '../cells/names.js'
import type { CellsNode, Workspace } from '../cells/types.js'
import { isoTime } from './json.js'

export type EntryType = 'Workspace' | 'Cell' | 'Folder' | 'File'

export function typeOf(node: CellsNode): EntryType {
  const scope = node.meta['ws_scope']
  if (scope === 'ROOM') return 'Cell'
  if (typeof scope === 'string' && scope !== '') return 'Workspace'
  return node.kind === 'folder' ? 'Folder' : 'File'
}

/** The scope decides between Workspace and Cell, whatever the node's own metadata says. */
export function workspaceNode(workspace: Workspace): CellsNode {
  return { ...workspace.node, meta: { ...workspace.node.meta, ws_scope: workspace.scope === '' ? 'ADMIN' : workspace.scope } }
}

/** Full path; a folder's ends with a slash. */
export const rawPath = (node: CellsNode): string => (node.kind === 'folder' ? `${node.path}/` : node.path)

export interface EntryJson {
  readonly path: string
  readonly name: string
  readonly type: 'file' | 'folder' | 'workspace' | 'cell'
  readonly size: number
  readonly modified: string | null
  readonly uuid: string
  readonly etag: string | null
  readonly hash: string | null
  readonly readOnly: boolean
}

/** The shape of an entry wherever one is printed (docs/json.md). */
export function entryJson(node: CellsNode): EntryJson {
  const text = (value: string): string | null => (node.kind === 'file' && value !== '' ? value : null)
  return {
    path: node.path, name: baseOf(node.path), type: typeOf(node).toLowerCase() as EntryJson['type'], size: node.size,
    modified: isoTime(node.mtime), uuid: node.uuid, etag: text(node.etag), hash: text(node.hash), readOnly: node.readOnly,
  }
}
