/**
 * Move, copy, delete and restore: the checks that a call makes before it answers, and the work its job does
 * afterwards, with the recorded surprises (contract, section 5; traps 4, 5 and 8).
 */
import { createHash, randomUUID } from 'node:crypto'
import type { Access, Location } from './access.js'
import { SOURCES, splitPath } from './access.js'
import type { DemoUser, ServerVersion } from './auth/types.js'
import type { BlobStore } from './blobs.js'
import { forbidden, notFound, RestError } from './errors.js'
import type { EventBus } from './event-bus.js'
import type { Indexer } from './indexer.js'
import type { Jobs } from './jobs.js'
import { mustHaveObjects, strand } from './job-objects.js'
import { freeName } from './names.js'
import type { Strays } from './strays.js'
import { nowSeconds } from './tree.js'
import type { NodeRecord, Tree } from './tree.js'

export const RECYCLE_BIN = 'recycle_bin'

export interface MutationDeps {
  readonly version: ServerVersion
  readonly tree: Tree
  readonly blobs: BlobStore
  readonly bus: EventBus
  readonly strays: Strays
  readonly indexer: Indexer
  readonly access: Access
  readonly jobs: Jobs
}

interface Target {
  readonly location: Location
  readonly isParent: boolean
}

export class Mutations {
  readonly #d: MutationDeps

  constructor(deps: MutationDeps) {
    this.#d = deps
  }

  /** `PUT /a/jobs/user/{move|copy}`: checks, starts the job, returns its id. */
  transfer(mode: 'move' | 'copy', user: DemoUser, paths: readonly string[], targetPath: string, isParent: boolean): string {
    const { access, jobs } = this.#d
    const sources = paths.map(path => access.locate(user, path, 403))
    const target: Target = { location: access.locate(user, targetPath, 403), isParent }
    const nodes = sources.map(source => {
      const node = access.visible(source)
      if (!node) throw notFound(404, `Could not retrieve node ${access.internalPath(source)}`)
      if (mode === 'move') this.#mayChange(source, node)
      return node
    })
    if (!target.location.view.writable) throw forbidden(403, 'path is not writeable')
    if (mode === 'move') this.#lock(nodes)
    const arrived = mode === 'move' ? this.#expect(nodes, target) : undefined
    const verb = mode === 'move' ? 'Moving' : 'Copying'
    const source = access.source(target.location)
    return jobs.start({
      kind: 'copy-move', owner: user.login, label: `${verb} ${nodes[0]?.folder ? 'folder' : 'file'} in background...`, action: 'actions.tree.copymove',
      paths: sources.map(location => access.source(location) + access.internalPath(location)),
      parameters: { create: 'true', recursive: 'true', target: source + access.internalPath(target.location), targetParent: isParent ? 'true' : '', type: mode },
      work: async progress => {
        try {
          await this.#pause(nodes)
          for (const [i, node] of nodes.entries()) {
            progress(`${verb} ${node.name}`)
            mustHaveObjects(this.#d, node, sources[i])
            await (mode === 'move' ? this.#move(node.uuid, target) : this.#copy(node, target))
          }
        } catch (error) {
          if (mode === 'move') this.#keepLocked(nodes)
          throw error
        } finally {
          if (mode === 'move') this.#unlock(nodes)
          arrived?.()
        }
      },
    })
  }

  /** `POST /a/tree/delete`: to the bin, or for good (inside the bin, the bin itself, or `permanently`). */
  remove(user: DemoUser, paths: readonly string[], permanently: boolean): { Uuid: string; Label: string }[] {
    const { access, version } = this.#d
    if (paths.length === 0) throw new RestError(500, 'please provide at least one node')
    const locations = paths.map(path => access.locate(user, path, 403))
    const nodes = locations.map(location => {
      const node = access.must(location, version === 2 ? 500 : 404)
      this.#mayChange(location, node)
      return node
    })
    this.#lock(nodes)
    const inBin = (node: NodeRecord): boolean => this.#bin(node) !== undefined
    const forGood = nodes.filter(node => permanently || inBin(node))
    const toBin = nodes.filter(node => !forGood.includes(node))
    const started: { Uuid: string; Label: string }[] = []
    if (toBin.length > 0) started.push(this.#startRecycling(user, toBin, toBin.map(node => locations[nodes.indexOf(node)])))
    if (forGood.length > 0) started.push(this.#startErasing(user, forGood))
    return started
  }

  /** `POST /a/tree/restore`. @throws RestError 500 for what is not directly in a bin */
  restore(user: DemoUser, paths: readonly string[]): { Uuid: string; Label: string; NodeUuid: string }[] {
    const { access, jobs, version } = this.#d
    return paths.map(path => {
      if (!access.view(user, splitPath(path)[0] ?? '')) throw notFound(version === 2 ? 500 : 404, 'Not found')
      const location = access.locate(user, path, 403)
      const node = access.must(location, version === 2 ? 500 : 404)
      // What was restored once remembers its place, and may be "restored" again (to a name beside itself).
      if (node.origin === undefined) throw new RestError(500, 'cannot find restore location for selected node')
      this.#mayChange(location, node)
      this.#lock([node])
      const origin = splitPath(node.origin)
      const label = `Moving ${node.folder ? 'folder' : 'file'} in background...`
      const id = jobs.start({
        kind: 'copy-move', owner: user.login, label, action: 'actions.tree.copymove', paths: [access.source(location) + access.internalPath(location)],
        parameters: { create: 'true', recursive: 'true', target: node.origin, targetParent: '', type: 'move' },
        work: async () => {
          try {
            await this.#pause([node])
            this.#moveTo(node.uuid, this.#folders(this.#recycleRoot(node), origin.slice(0, -1)), origin.at(-1) ?? node.name, { origin: node.origin })
          } finally {
            this.#unlock([node])
          }
        },
      })
      return { Uuid: id, Label: label, NodeUuid: node.uuid }
    })
  }

  #startRecycling(user: DemoUser, nodes: readonly NodeRecord[], locations: readonly (Location | undefined)[]): { Uuid: string; Label: string } {
    const { jobs, tree } = this.#d
    const label = 'Moving to recycle bin in background...'
    const root = this.#recycleRoot(nodes[0] as NodeRecord)
    const binPath = this.#sourcePath(root) + `/${RECYCLE_BIN}`
    const id = jobs.start({
      kind: 'copy-move', owner: user.login, label, action: 'actions.tree.copymove', paths: nodes.map(node => this.#sourcePath(node)),
      parameters: { create: 'true', recursive: 'true', target: binPath, targetParent: 'true', type: 'move' },
      work: async progress => {
        try {
          await this.#pause(nodes)
          for (const { uuid } of nodes) {
            const node = tree.get(uuid)
            if (!node) continue
            progress(`Moving ${node.name}`)
            mustHaveObjects(this.#d, node, locations[nodes.findIndex(each => each.uuid === uuid)])
            const home = this.#recycleRoot(node)
            const bin = this.#folders(home, [RECYCLE_BIN])
            const names = tree.place(node).names.slice(tree.place(home).names.length)
            this.#moveTo(uuid, bin, node.name, { origin: names.join('/') })
          }
        } catch (error) {
          this.#keepLocked(nodes)
          throw error
        } finally {
          this.#unlock(nodes)
        }
      },
    })
    return { Uuid: id, Label: label }
  }

  #startErasing(user: DemoUser, nodes: readonly NodeRecord[]): { Uuid: string; Label: string } {
    const { jobs, indexer } = this.#d
    const label = 'Deleting selection in background...'
    const id = jobs.start({
      kind: 'delete', owner: user.login, label, action: 'actions.tree.delete', paths: nodes.map(node => this.#sourcePath(node)),
      work: async progress => {
        if (indexer.flat) {
          for (const { uuid } of nodes) indexer.erase(uuid)
          return
        }
        await this.#pause(nodes)
        for (const node of nodes) progress(`Deleting ${node.name}`)
        // The job is done when the objects are gone; the index hears of it a second later.
        void Promise.all(nodes.map(({ uuid }) => indexer.eraseObjects(uuid))).then(() => this.#unlock(nodes))
      },
    })
    return { Uuid: id, Label: label }
  }

  #mayChange(location: Location, node: NodeRecord): void {
    const { indexer, version } = this.#d
    if (!location.view.writable) throw forbidden(403, 'path is not writeable')
    if (location.names.length === 0) {
      // A 2.x server accepts this and ruins the workspace half-way ("never send it"): not imitated.
      throw version === 2 ? forbidden(403, 'path is not writeable') : new RestError(403, 'do not modify directly the root', 'Forbidden: please do not modify directly the root of a workspace')
    }
    if (indexer.moving.has(node.uuid) || indexer.isLocked(node.uuid)) throw new RestError(423, 'This resource is currently locked, please retry later!')
  }

  /**
   * Locks begin a moment after the call: two calls at the same time both get through (contract 09, "two renames of the
   * same file at once"), one after the other does not.
   */
  #lock(nodes: readonly NodeRecord[]): void {
    if (this.#d.indexer.flat) return
    setImmediate(() => {
      for (const node of nodes) this.#d.indexer.moving.add(node.uuid)
    })
  }

  #unlock(nodes: readonly NodeRecord[]): void {
    for (const node of nodes) this.#d.indexer.moving.delete(node.uuid)
  }

  #keepLocked(nodes: readonly NodeRecord[]): void {
    if (!this.#d.indexer.flat) for (const node of nodes) this.#d.indexer.keepLocked(node)
  }

  /** A folder on its way to a place: a PUT below the new name waits for it. Returns what to call when it is there. */
  #expect(nodes: readonly NodeRecord[], target: Target): (() => void) | undefined {
    const { indexer, access, tree } = this.#d
    const names = target.isParent ? target.location.names : target.location.names.slice(0, -1)
    const parent = access.find({ ...target.location, names })
    const node = nodes[0]
    if (indexer.flat || !parent || !node?.folder || nodes.length > 1) return undefined
    const name = target.isParent ? node.name : (target.location.names.at(-1) ?? '')
    if (tree.child(parent.uuid, name)) return undefined
    const key = `${parent.uuid}/${name}`
    let done = (): void => {}
    indexer.arriving.set(key, new Promise(resolve => (done = resolve)))
    return () => {
      indexer.arriving.delete(key)
      done()
    }
  }

  /** A move is seen 30-120 ms after the answer, the later the more there is below it. */
  async #pause(nodes: readonly NodeRecord[]): Promise<void> {
    const { indexer } = this.#d
    if (indexer.flat) return
    const folders = nodes.some(node => node.folder)
    await indexer.pause((folders ? 0.07 : 0.045) * indexer.delayMs)
  }

  #move(uuid: string, target: Target): Promise<void> {
    const { tree, indexer } = this.#d
    const node = tree.get(uuid)
    if (!node) return Promise.resolve()
    const { folder, name } = this.#destination(node, target)
    if (tree.isWithin(folder.uuid, uuid)) {
      // Trap 5: the job reports success and the whole subtree is lost.
      indexer.erase(uuid)
      return Promise.resolve()
    }
    this.#moveTo(uuid, folder, name)
    return Promise.resolve()
  }

  #moveTo(uuid: string, folder: NodeRecord, wanted: string, change: Partial<NodeRecord> = {}): void {
    const { tree, bus, blobs } = this.#d
    const node = tree.get(uuid)
    if (!node) throw new Error('Errors found while copy/move node, stopping')
    if (node.bare) return this.#moveWithin(node, folder, wanted, change)
    const before = bus.snapshot(node)
    const across = tree.place(node).chain[0] !== tree.place(folder).chain[0]
    const name = this.#freeName(folder, wanted, node.folder)
    const found = tree.found(folder.uuid, name)
    // The index takes the new name for another node (like.ts), which it replaces, or for the node itself, which keeps its name.
    if (found && found.uuid !== uuid) for (const each of tree.remove(found.uuid)) if (each.blob) void blobs.remove(each.blob.segments)
    const after = tree.move(uuid, folder.uuid, found?.name ?? name, { origin: undefined, ...(across && !node.folder ? { mtime: nowSeconds() } : {}), ...change })
    if (found) strand(this.#d, after, name)
    bus.moved(before, after)
  }

  /** A folder without a marker stays, empty; what is in it goes to a new one. */
  #moveWithin(node: NodeRecord, folder: NodeRecord, wanted: string, change: Partial<NodeRecord>): void {
    const { tree, bus, indexer } = this.#d
    if ([...tree.walk(node.uuid)].every(each => each.folder && each.bare)) return
    const made = indexer.folderForJob(folder, this.#freeName(folder, wanted, true))
    bus.changed('CREATE', tree.update(made.uuid, change))
    for (const child of tree.children(node.uuid)) if (!child.hidden) this.#moveTo(child.uuid, made, child.name)
  }

  async #copy(source: NodeRecord, target: Target): Promise<void> {
    const { indexer } = this.#d
    const { folder, name } = this.#destination(source, target)
    const free = this.#freeName(folder, name, source.folder)
    if (indexer.flat) return this.#copyInto(source, folder, free)
    indexer.later(0.95 * indexer.delayMs, () => this.#copyInto(source, folder, free))
  }

  async #copyInto(source: NodeRecord, folder: NodeRecord, name: string): Promise<void> {
    const { tree, bus, blobs } = this.#d
    // The tree below is taken before anything is added: a folder may be copied into itself.
    const children = tree.children(source.uuid).filter(child => !child.hidden)
    const blob = source.blob ? await blobs.copy(source.blob) : undefined
    const uuid = randomUUID()
    const etag = source.folder ? createHash('md5').update(uuid).digest('hex') : source.etag
    const copy = tree.insert({ ...source, uuid, etag, unmarked: undefined, origin: undefined, parent: folder.uuid, name: this.#freeName(folder, name, source.folder), mtime: nowSeconds(), ...(blob ? { blob: { ...blob, mtime: nowSeconds() } } : {}) })
    bus.changed('CREATE', copy)
    for (const child of children) await this.#copyInto(child, copy, child.name)
  }

  #destination(node: NodeRecord, target: Target): { folder: NodeRecord; name: string } {
    const { location, isParent } = target
    const names = isParent ? location.names : location.names.slice(0, -1)
    return { folder: this.#folders(location.view.root, names), name: isParent ? node.name : (location.names.at(-1) ?? node.name) }
  }

  /** Missing folders are made; a file in the way ends the job. */
  #folders(root: NodeRecord, names: readonly string[]): NodeRecord {
    return names.reduce((folder, name) => {
      const existing = this.#d.tree.found(folder.uuid, name)
      if (existing && !existing.folder) throw new Error('Errors found while copy/move node, stopping')
      return this.#d.indexer.folderForJob(folder, name)
    }, root)
  }

  #freeName(folder: NodeRecord, wanted: string, isFolder: boolean): string {
    return freeName(this.#d.tree.names(folder.uuid), wanted, isFolder)
  }

  /** The bin that a node is in or is. */
  #bin(node: NodeRecord): NodeRecord | undefined {
    const { tree } = this.#d
    const bin = tree.child(this.#recycleRoot(node).uuid, RECYCLE_BIN)
    return bin && tree.isWithin(node.uuid, bin.uuid) ? bin : undefined
  }

  /** The folder whose `recycle_bin` serves a node: the user's own folder, or the data source. */
  #recycleRoot(node: NodeRecord): NodeRecord {
    const { tree } = this.#d
    const { chain } = tree.place(node)
    const root = tree.get((chain[0] === SOURCES.personal.uuid ? chain[1] : chain[0]) ?? '')
    if (!root) throw new Error('index: node without a root')
    return root
  }

  #sourcePath(node: NodeRecord): string {
    const { chain, names } = this.#d.tree.place(node)
    return [chain[0] === SOURCES.personal.uuid ? SOURCES.personal.name : SOURCES.common.name, ...names].join('/')
  }
}
