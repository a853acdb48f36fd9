/** What was acknowledged, compared with what is on the server and in the mount after a kill. */
import type { ChildShown, Looked } from './crash-child.testing.js'
import type { Step } from './crash-steps.testing.js'
import { shorten } from './model.testing.js'
import { md5 } from './site.testing.js'
import type { ModelNode, World } from './world.testing.js'

/** One program: its steps, and the world before the first and after each. */
export interface Lane {
  readonly steps: readonly Step[]
  readonly worlds: readonly World[]
  readonly firstIndex: number
}

/** `folder`, or size and md5. */
function keyOf({ type, content }: ModelNode): string {
  return type === 'folder' ? 'folder' : `${content.length} ${md5(content)}`
}

/**
 * What is not right of what the mount shows while the server is silent: what is only here is shown, and whatever is shown is as acknowledged. Of what is on
 * the server (`there`) it may say that it cannot tell; of names that were renamed or deleted, too, which wait for the server (recovery.ts).
 */
export function notShown({ worlds, steps }: Lane, done: number, looked: readonly Looked[], there: ReadonlyMap<string, string>): string[] {
  const possible = worlds.slice(done, done + 2)
  const undecided = steps.flatMap((step) => step[0] === 'rename' ? [step[1], step[2]] : step[0] === 'unlink' || step[0] === 'rmdir' ? [step[1]] : [])
  const stored = new Set(there.values())
  return looked.flatMap(({ path, type, content, error }) => {
    const expected = possible.map((world) => world.at(path))
    const keys = expected.map((node) => node === undefined ? 'ENOENT' : keyOf(node))
    const [key] = keys
    const shown = error ?? (type === 'folder' ? 'folder' : content!)
    if (keys.includes(shown)) return []
    const waits = undecided.some((it) => path === it || path.startsWith(`${it}/`))
    const onlyHere = key !== undefined && key !== 'ENOENT' && key !== 'folder' && keys.every((it) => it === key) && !stored.has(key)
    if (error !== undefined && error !== 'ENOENT' && !(onlyHere && !waits)) return []
    return [`${path} while the server is silent: ${shown}, expected ${keys.join(' or ')}`]
  })
}

/** Size and md5 of each file, with its path. Those of scratch files stay here. */
export function filesOf(world: World): Map<string, string> {
  const found = new Map<string, string>()
  for (const [path, id] of world.names) {
    const node = world.nodes.get(id)!
    if (node.type === 'file' && path !== '4913') found.set(keyOf(node), path)
  }
  return found
}

/** In one sentence each. `whole`: there is no other program. */
export function differences(world: World, server: ReadonlyMap<string, string>, mount: ReadonlyMap<string, ChildShown>, whole: boolean): string[] {
  const wrong: string[] = []
  // Of several programs each has a folder.
  const root = whole ? '' : [...world.names.keys()].find((it) => it !== '')
  const mine = (path: string): boolean => path !== '' && (whole || (root !== undefined && path.startsWith(root.split('/')[0]!)))
  for (const path of new Set([...world.names.keys(), ...server.keys(), ...mount.keys()])) {
    if (!mine(path) || path === '4913') continue
    const node = world.at(path)
    const [there, here] = [server.get(path), mount.get(path)]
    const expected = node === undefined ? undefined : keyOf(node)
    if (there !== expected) wrong.push(`${path} on the server: ${there ?? 'nothing'}, expected ${node === undefined ? 'nothing' : `${expected} ${shorten(node.content)}`}`)
    else if (node === undefined ? here !== undefined : here?.type !== node.type) wrong.push(`${path} in the mount: ${here?.type ?? 'nothing'}, expected ${node?.type ?? 'nothing'}`)
    else if (node?.mode !== undefined && here?.mode !== node.mode) wrong.push(`${path} has mode ${here?.mode?.toString(8)}, expected ${node.mode.toString(8)}`)
    else if (node?.mtime !== undefined && here?.mtime !== node.mtime.toString()) wrong.push(`${path} has mtime ${here?.mtime}, expected ${node.mtime}`)
  }
  return wrong
}
