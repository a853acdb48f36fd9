import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { Store } from './store.js'
import { compareNames, FOLDER_MARKER, Tree } from './tree.js'

type Model = Map<string, number | 'folder'>

/** The tree as path -> size. */
function paths(tree: Tree): Model {
  const model: Model = new Map()
  for (const node of tree.walk('root')) if (node.uuid !== 'root') model.set(tree.place(node).names.join('/'), node.folder ? 'folder' : node.size)
  return model
}

const parentOf = (path: string): string => path.split('/').slice(0, -1).join('/')
const sorted = (model: Model): [string, number | 'folder'][] => [...model].sort(([a], [b]) => (a < b ? -1 : 1))

const name = fc.constantFrom('a', 'b', 'c', 'A', 'é')
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map(names => names.join('/'))
const command = fc.oneof(
  fc.record({ op: fc.constant('put' as const), path, size: fc.integer({ min: 0, max: 1000 }) }),
  fc.record({ op: fc.constant('mkdir' as const), path }),
  fc.record({ op: fc.constant('remove' as const), path }),
  fc.record({ op: fc.constant('move' as const), path, to: path }),
)

test('the tree agrees with a map of paths, before and after a new start', async () => {
  await fc.assert(fc.asyncProperty(fc.array(command, { maxLength: 40 }), async commands => {
    const dir = await mkdtemp(join(tmpdir(), 'demo-tree-'))
    try {
      const store = await Store.open(dir)
      const tree = new Tree(store, FOLDER_MARKER)
      tree.insert({ uuid: 'root', parent: '', name: '', folder: true })
      const model: Model = new Map()
      const find = (at: string): ReturnType<Tree['get']> => at.split('/').filter(Boolean).reduce<ReturnType<Tree['get']>>((node, each) => node && tree.child(node.uuid, each), tree.get('root'))
      for (const each of commands) {
        const parent = find(parentOf(each.path))
        const node = find(each.path)
        if (each.op === 'put' && parent?.folder && !node?.folder) {
          if (node) tree.update(node.uuid, { size: each.size })
          else tree.insert({ parent: parent.uuid, name: each.path.split('/').at(-1) ?? '', folder: false, size: each.size })
          model.set(each.path, each.size)
        } else if (each.op === 'mkdir' && parent?.folder && !node) {
          tree.insert({ parent: parent.uuid, name: each.path.split('/').at(-1) ?? '', folder: true })
          model.set(each.path, 'folder')
        } else if (each.op === 'remove' && node) {
          tree.remove(node.uuid)
          for (const key of [...model.keys()]) if (key === each.path || key.startsWith(`${each.path}/`)) model.delete(key)
        } else if (each.op === 'move' && node) {
          const target = find(parentOf(each.to))
          if (!target?.folder || find(each.to) || tree.isWithin(target.uuid, node.uuid)) continue
          tree.move(node.uuid, target.uuid, each.to.split('/').at(-1) ?? '')
          for (const [key, value] of [...model]) {
            if (key !== each.path && !key.startsWith(`${each.path}/`)) continue
            model.delete(key)
            model.set(each.to + key.slice(each.path.length), value)
          }
        }
      }
      const size = [...model.values()].reduce<number>((sum, value) => sum + (value === 'folder' ? FOLDER_MARKER : value), 0)
      const root = tree.get('root')
      assert.ok(root)
      assert.deepEqual(sorted(paths(tree)), sorted(model))
      assert.equal(tree.totalSize(root), size)
      await store.close()
      const reopened = await Store.open(dir)
      const again = new Tree(reopened, FOLDER_MARKER)
      assert.deepEqual(sorted(paths(again)), sorted(model))
      assert.equal(again.totalSize(root), size)
      for (const node of again.walk('root')) assert.deepEqual(again.names(node.uuid), [...again.names(node.uuid)].sort(compareNames))
      await reopened.close()
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  }), { numRuns: 60 })
})

test('names are in byte order of UTF-8', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (a, b) => {
    assert.equal(Math.sign(compareNames(a, b)), Buffer.compare(Buffer.from(a), Buffer.from(b)))
  }))
})
