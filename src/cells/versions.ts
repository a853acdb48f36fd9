/**
 * Earlier versions of a file, where a server keeps them: 3.x and later, in data sources with a versioning policy. They are
 * listed by the bulk call with `Versions` and read with `?versionId=` (newer-servers 3.6, 3.4).
 */
import { CellsError } from './errors.js'
import type { Features } from './features.js'
import { checkExistingPath } from './names.js'
import { asString, isObject, parseNode } from './node.js'
import type { Rest } from './rest.js'
import type { CallOptions } from './server.js'
import { TIMEOUTS } from './timeouts.js'
import type { CellsNode } from './types.js'

export interface FileVersion {
  readonly id: string
  readonly description: string
  /** Size, time and etag of that version; the path is that of the file. */
  readonly node: CellsNode
}

/**
 * Newest first; empty when none are kept.
 * @throws CellsError `invalid` for a server that has no versions
 */
export async function listVersions(rest: Rest, features: Features, path: string, options: CallOptions = {}): Promise<FileVersion[]> {
  const file = checkExistingPath(path)
  if (await features.major(options.signal) < 3) throw new CellsError('invalid', 'this server does not offer versions of files (Cells 2.x)')
  const answer = await rest.call({
    method: 'POST', path: '/a/meta/bulk/get', json: { NodePaths: [file], Versions: true }, doing: `list the versions of ${file}`, timeoutMs: options.timeoutMs ?? TIMEOUTS.page, signal: options.signal,
  })
  const rows = isObject(answer) && Array.isArray(answer['Nodes']) ? answer['Nodes'] : []
  const versions = rows.flatMap((row) => {
    const node = parseNode(row)
    const id = asString(node?.meta['versionId'])
    // What has no id is the file itself.
    return node === undefined || id === '' || node.path !== file ? [] : [{ id, description: asString(node.meta['versionDescription']), node }]
  })
  return versions.sort((a, b) => b.node.mtime - a.node.mtime)
}
