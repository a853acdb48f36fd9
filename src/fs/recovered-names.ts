/**
 * Names of an earlier process that the server was not told of: renames, new folders, deletes. First everything is looked up
 * where the server has it, then it is put where it was here, folders above before what is in them.
 */
import type { FolderRecord, MoveRecord, RemovalRecord, UnlinkRecord } from '../cache/store.js'
import { type CellsNode, ETAG_TEMPORARY } from '../cells/types.js'
import type { Logger } from '../log.js'
import { fromPair, type Inode, type Place } from './inodes.js'
import type { Journal } from './journal.js'
import type { RecordedPaths } from './recorded-paths.js'
import type { Removals } from './removals.js'
import type { Tree } from './tree.js'
import type { Unlinks } from './unlinks.js'
import type { Uploader } from './uploader.js'

/** A record of the store. */
export interface Kept<T> {
  readonly key: string
  readonly value: T
}

export interface NameRecords {
  readonly moves: readonly Kept<MoveRecord>[]
  readonly unlinks: readonly Kept<UnlinkRecord>[]
  readonly folders: readonly Kept<FolderRecord>[]
}

/** An old node that is to go once its content is under another name (removals.ts). Its folder is pinned. */
export interface Left {
  readonly place: Place
  readonly record: RemovalRecord
  /** Of the record that says so. */
  readonly table: 'removals' | 'moves'
  readonly key: string
}

export interface RecoveredNamesDeps {
  readonly tree: Tree
  readonly paths: RecordedPaths
  readonly journal: Journal
  readonly unlinks: Unlinks
  readonly removals: Removals
  readonly uploader: Uploader
  /** Is there something at a path, or at a folder above it, that could not be brought back yet? */
  readonly waits: (path: string) => boolean
  /** Brings one record back, or keeps it for later, with the reason. Never rejects. */
  readonly attempt: (key: string, path: string, work: () => Promise<void>, here?: string) => Promise<void>
  readonly logger: Logger
}

export class RecoveredNames {
  private readonly deps: RecoveredNamesDeps

  constructor(deps: RecoveredNamesDeps) {
    this.deps = deps
  }

  /** The names of old nodes that are to go are not shown. */
  async oldNodes(records: readonly Kept<RemovalRecord>[]): Promise<Left[]> {
    const found: Left[] = []
    for (const { key, value } of records) {
      await this.deps.attempt(key, value.path, async () => {
        const place = await this.deps.paths.serverPlace(value.path)
        if (place !== undefined) {
          found.push(this.hidden(place, value, 'removals', key))
          return
        }
        this.deps.paths.needsProof()
        await this.deps.tree.deps.store.removals.remove(key)
      })
    }
    return found
  }

  private hidden(place: Place, record: RemovalRecord, table: Left['table'], key: string): Left {
    place.folder.pins++
    if (!place.folder.local.has(place.name)) place.folder.local.set(place.name, null)
    this.deps.removals.expect(key, place)
    return { place, record, table, key }
  }

  /** The old node goes when its content is there under its new name. */
  async remove({ place, record, table, key }: Left): Promise<void> {
    const { tree, removals, unlinks } = this.deps
    const keeper = await this.deps.paths.inode(record.keeper)
    if (keeper === undefined) this.deps.paths.needsProof()
    const there = keeper === undefined ? await tree.deps.server.stat(tree.places.pathAt(place.folder, place.name)) : undefined
    // With the new record, or not at all.
    void tree.deps.store[table].remove(key)
    if (keeper !== undefined) removals.add(place, record.uuid ?? '', record.etags, keeper)
    // The content has been deleted since. Whose Uuid was never told is known by its content, as soon as it is shown.
    else if (there === undefined ? (record.uuid ?? '') === '' : isOld(there, record)) {
      unlinks.add(place, undefined, { unshown: there === undefined ? [tree.places.pathAt(place.folder, place.name)] : [], deleted: [{ etags: new Set(record.etags), expected: undefined }] })
    }
    if (place.folder.local.get(place.name) === null) tree.leave(place.folder, place.name)
  }

  /** Renames, new folders and deletes. `drafts`: names that have a content of ours. Returns what is sent again under another name. */
  async bringBack(records: NameRecords, drafts: ReadonlySet<string>): Promise<Left[]> {
    const { tree, unlinks, journal, uploader, logger } = this.deps
    const { store, inodes } = tree.deps
    const moves: Array<{ key: string; record: MoveRecord; inode: Inode; from: Place }> = []
    const deletes: Array<{ key: string; record: UnlinkRecord; inode: Inode | undefined; place: Place }> = []
    const strays: Left[] = []
    const folders = records.folders.map(({ key, value }) => ({ key, record: value }))
    for (const { key, value } of records.moves) {
      await this.deps.attempt(key, value.from, async () => {
        const found = await this.movedNode(value, value.from) ?? (value.also === undefined ? undefined : await this.movedNode(value, value.also))
        if (found !== undefined) {
          found.inode.pins++
          moves.push({ key, record: value, ...found })
          return
        }
        this.deps.paths.needsProof()
        const place = await this.deps.paths.serverPlace(value.from)
        if (value.uuid === '' && value.folder !== true && place !== undefined && drafts.has(value.to)) {
          // Sent, and not to be seen: sent again under its new name, and the old one goes if it comes.
          strays.push(this.hidden(place, { path: value.from, keeper: value.to, etags: value.sent ?? [] }, 'moves', key))
          return
        }
        logger.info('a rename of an earlier run has nothing to rename', { from: value.from, to: value.to })
        await store.moves.remove(key)
      }, value.to)
    }
    for (const { key, value } of records.unlinks) {
      await this.deps.attempt(key, value.path, async () => {
        const place = await this.deps.paths.serverPlace(value.path)
        const inode = place === undefined ? undefined : await this.deps.paths.serverNode(place)
        const other = inode !== undefined && value.uuid !== undefined && value.uuid !== '' && inode.uuid !== value.uuid
        const changed = value.etags !== undefined && inode?.version !== undefined && !value.etags.includes(inode.version.etag) && inode.version.etag !== ETAG_TEMPORARY
        if (place === undefined || other || changed || (inode === undefined && value.unshown !== true)) {
          this.deps.paths.needsProof()
          await store.unlinks.remove(key)
          return
        }
        if (inode !== undefined) inode.pins++
        place.folder.pins++
        deletes.push({ key, record: value, inode, place })
      })
    }
    for (const { inode, from } of moves) tree.places.hold(inode, from)
    for (const { key, record, inode, place } of deletes) {
      // With the new record, or not at all.
      void store.unlinks.remove(key)
      if (inode?.unlinked === true) continue
      unlinks.add(place, inode, {
        unshown: inode === undefined ? [tree.places.pathAt(place.folder, place.name)] : [],
        // What it was when it was deleted: the server may have had no content of it when it was looked up.
        deleted: [...(record.etags === undefined ? [] : [record.etags]), ...(record.below ?? [])].map((etags) => ({ etags: new Set(etags), expected: undefined })),
      })
      if (inode === undefined) {
        tree.leave(place.folder, place.name)
        continue
      }
      const { parent, name } = inode
      if (inode.type === 'folder') tree.places.hold(inode, place)
      if (parent !== undefined) parent.local.delete(name)
      inodes.detach(inode)
      if (parent !== undefined) tree.leave(parent, name)
    }
    // Taken from where they are before they are put where they belong: names may have changed places.
    for (const { inode, from } of moves) {
      from.folder.local.set(from.name, null)
      inode.parent?.children.delete(inode.name)
    }
    const placing = [
      ...moves.map((it) => ({ key: it.key, path: it.record.to, find: () => this.deps.paths.place(it.record.to), put: (place: Place) => this.putMoved(it, place), leave: () => this.putBack(it) })),
      ...folders.map((it) => ({ key: it.key, path: it.record.path, find: () => this.placeOfNew(it.record.path), put: (place: Place) => this.putFolder(it, place), leave: () => {} })),
    ].sort((a, b) => a.path.split('/').length - b.path.split('/').length)
    for (const { key, path, find, put, leave } of placing) {
      await this.deps.attempt(key, path, async () => {
        const place = await find().catch((error: unknown) => {
          leave()
          throw error
        })
        if (place === undefined) {
          leave()
          throw new Error('The folder it is in cannot be found')
        }
        await put(place)
      })
    }
    for (const inode of [...moves.map((it) => it.inode), ...deletes.flatMap((it) => [it.place.folder, ...(it.inode === undefined ? [] : [it.inode])])]) {
      inode.pins--
      inodes.release(inode)
      if (!inode.unlinked && inode.heldAt !== undefined) uploader.add(inode)
    }
    await journal.flushed()
    return strays
  }

  /** What was renamed, if it is at this place of the server. */
  private async movedNode({ uuid, folder, sent }: MoveRecord, path: string): Promise<{ inode: Inode; from: Place } | undefined> {
    const from = await this.deps.paths.serverPlace(path)
    const inode = from === undefined ? undefined : await this.deps.paths.serverNode(from)
    if (from === undefined || inode === undefined) return undefined
    // Renamed before the server had told the Uuid: known by what it holds.
    const etag = inode.version?.etag
    const same = uuid !== '' ? inode.uuid === uuid : folder === true ? inode.type === 'folder' : etag !== undefined && sent?.includes(etag) === true
    return same ? { inode, from } : undefined
  }

  /** It stays where the server has it until its folder here is found. */
  private putBack({ inode, from }: { inode: Inode; from: Place }): void {
    const { tree } = this.deps
    tree.places.hold(inode, undefined)
    from.folder.local.delete(from.name)
    from.folder.children.set(from.name, inode)
  }

  private async putMoved({ key, record, inode }: { key: string; record: MoveRecord; inode: Inode }, place: Place): Promise<void> {
    const { tree, journal } = this.deps
    const there = place.folder.children.get(place.name)
    // Made here while this one waited.
    const taken = there !== undefined && there !== inode && place.folder.local.get(place.name) === there && there.pending
    if (there !== undefined && there !== inode && !taken) tree.deps.inodes.detach(there)
    tree.deps.inodes.move(inode, place.folder, taken ? await this.deps.paths.freeName(place, there) : place.name)
    inode.graceUntil = record.backup === true ? 1 : 0
    tree.overlay(inode)
    journal.recovered('move', inode, key)
    // With the Uuid, where it had none.
    journal.move(inode)
  }

  private async placeOfNew(path: string): Promise<Place | undefined> {
    if (this.deps.waits(path)) throw new Error('What is at its name, or above it, cannot be brought back now')
    return this.deps.paths.placeMade(path)
  }

  private async putFolder({ key, record }: { key: string; record: FolderRecord }, place: Place): Promise<void> {
    const { tree, paths, journal } = this.deps
    const there = await paths.known(place)
    if (there !== undefined && there !== 'unknown') {
      if (there.type === 'folder') {
        // Made in the last moment before the end.
        void tree.deps.store.folders.remove(key)
        there.mode = record.facts.mode ?? there.mode
        if (record.facts.mtime !== undefined) there.mtime = there.ctime = there.atime = fromPair(record.facts.mtime)
        tree.deps.store.updateFacts(there.uuid, there.facts())
        return
      }
      tree.deps.inodes.detach(there)
    }
    const made = paths.newFolder(place, record.facts)
    if (there === 'unknown') tree.questions.unproven.add(made)
    journal.recovered('folder', made, key)
  }
}

/** Is this the node that is to go? */
function isOld(node: CellsNode, { uuid = '', etags }: RemovalRecord): boolean {
  return uuid === '' ? etags.includes(node.etag) || node.etag === ETAG_TEMPORARY : node.uuid === uuid
}
