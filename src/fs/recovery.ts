/**
 * What an earlier process had promised and not told the server: brought back from the store before the mount answers. First
 * everything is looked up where the server has it, then it is put where it was here: folders above before what is in
 * them, contents last. Without the server, what it said last has to do; what cannot be decided by that waits. A record whose node is gone or has become another one is dropped with a word in the log; content is never
 * dropped.
 */
import { open, readdir, readFile, rename, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DraftRecord, FolderRecord, MoveRecord, RemovalRecord, UnlinkRecord } from '../cache/store.js'
import { CellsError } from '../cells/errors.js'
import { ETAG_TEMPORARY } from '../cells/types.js'
import type { Logger } from '../log.js'
import type { Contents } from './contents.js'
import { Draft } from './drafts.js'
import { digestFile } from './hashing.js'
import { fromPair, type Inode, type Place } from './inodes.js'
import type { Journal } from './journal.js'
import type { Removals } from './removals.js'
import type { Specials } from './specials.js'
import type { FailedChange } from './status.js'
import type { Tree } from './tree.js'
import type { Unlinks } from './unlinks.js'
import { abandonUpload } from './upload.js'
import type { Uploader } from './uploader.js'

export interface RecoveryDeps {
  readonly tree: Tree
  readonly contents: Contents
  readonly journal: Journal
  readonly unlinks: Unlinks
  readonly removals: Removals
  readonly specials: Specials
  readonly uploader: Uploader
  readonly logger: Logger
}

const FIRST_RETRY_MS = 2_000
const MAX_RETRY_MS = 60_000

type Kept<T> = { readonly key: string; readonly value: T }

/** An old node that is to go once its content is under another name (removals.ts). Its folder is pinned. */
interface Left {
  readonly place: Place
  readonly record: RemovalRecord
  /** Of the record that says so. */
  readonly table: 'removals' | 'moves'
  readonly key: string
}

export class Recovery {
  private readonly deps: RecoveryDeps
  private drafts: readonly Kept<DraftRecord>[] = []
  private moves: readonly Kept<MoveRecord>[] = []
  private unlinks: readonly Kept<UnlinkRecord>[] = []
  private folders: readonly Kept<FolderRecord>[] = []
  private removals: readonly Kept<RemovalRecord>[] = []
  private specials = true
  /** Keys of records that could not be brought back, with path and reason. */
  private readonly left = new Map<string, FailedChange>()
  private files = new Set<string>()
  private running: Promise<void> | undefined
  private timer: NodeJS.Timeout | undefined
  private attempts = 0
  private closed = false

  constructor(deps: RecoveryDeps) {
    this.deps = deps
  }

  /** What waits for the server to be asked. */
  waiting: readonly FailedChange[] = []

  /** Never rejects: what cannot be brought back now stays on disk, for `again` and for the next time. */
  async run(): Promise<void> {
    const { store } = this.deps.tree.deps
    this.drafts = store.drafts.getRange()
    this.moves = store.moves.getRange()
    this.unlinks = store.unlinks.getRange()
    this.folders = store.folders.getRange()
    this.removals = store.removals.getRange()
    this.files = await this.sweep(new Set(this.drafts.map(({ key }) => key)))
    await this.turn()
  }

  /** What waited is tried again. Never rejects. */
  async again(): Promise<void> {
    if (this.left.size > 0) await this.turn()
  }

  private turn(): Promise<void> {
    clearTimeout(this.timer)
    return this.running ??= this.deps.uploader.afterwards(() => this.work()).finally(() => {
      this.running = undefined
      if (this.left.size === 0 || this.closed) return
      // A server that is only slow now and then tells nobody that it is back.
      this.timer = setTimeout(() => void this.turn(), Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.attempts++))
      this.timer.unref()
    })
  }

  /** Nothing is begun any more; resolves when what is being done is done. */
  async close(): Promise<void> {
    this.closed = true
    clearTimeout(this.timer)
    await this.running
  }

  private async work(): Promise<void> {
    const { store } = this.deps.tree.deps
    this.left.clear()
    // Places on the server are looked up before anything gets the name that it has here.
    const left = [...await this.oldNodes(), ...await this.names(new Set(this.drafts.map(({ value }) => value.path)))]
    for (const { key, value } of this.drafts) {
      await this.attempt(key, value.path, async () => {
        await this.restore(value)
        if (value.content === undefined && !this.files.has(value.id)) {
          this.deps.logger.warn('a change of an earlier run has a record but no content', { path: value.path })
          await store.drafts.remove(value.id)
        } else {
          await this.draft(value)
        }
      })
    }
    for (const it of left) {
      await this.attempt(it.key, it.record.path, () => this.remove(it))
      it.place.folder.pins--
      this.deps.tree.deps.inodes.release(it.place.folder)
    }
    if (this.specials) await this.deps.specials.recover((path) => this.place(path))
    this.specials = false
    const kept = <T>(all: readonly Kept<T>[]): Kept<T>[] => all.filter(({ key }) => this.left.has(key))
    this.drafts = kept(this.drafts)
    this.moves = kept(this.moves)
    this.unlinks = kept(this.unlinks)
    this.folders = kept(this.folders)
    this.removals = kept(this.removals)
    this.waiting = [...this.left.values()]
    await this.deps.journal.flushed()
  }

  /** The names of old nodes that are to go are not shown. */
  private async oldNodes(): Promise<Left[]> {
    const found: Left[] = []
    for (const { key, value } of this.removals) {
      await this.attempt(key, value.path, async () => {
        const place = await this.serverPlace(value.path)
        if (place !== undefined) {
          found.push(this.hidden(place, value, 'removals', key))
          return
        }
        this.needsProof()
        await this.deps.tree.deps.store.removals.remove(key)
      })
    }
    return found
  }

  private hidden(place: Place, record: RemovalRecord, table: Left['table'], key: string): Left {
    place.folder.pins++
    if (!place.folder.local.has(place.name)) place.folder.local.set(place.name, null)
    return { place, record, table, key }
  }

  private async remove({ place, record, table, key }: Left): Promise<void> {
    const { tree, removals, unlinks } = this.deps
    const keeper = await this.inode(record.keeper)
    if (keeper === undefined) this.needsProof()
    const there = keeper === undefined ? await tree.deps.server.stat(tree.pathAt(place.folder, place.name)) : undefined
    // With the new record, or not at all.
    void tree.deps.store[table].remove(key)
    if (keeper !== undefined) removals.add(place, record.uuid ?? '', record.etags, keeper)
    // The content has been deleted since.
    else if (there !== undefined && there.uuid === record.uuid) unlinks.add(place)
    if (place.folder.local.get(place.name) === null) tree.leave(place.folder, place.name)
  }

  private async attempt(key: string, path: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.left.set(key, { path, reason: `a change of an earlier run waits: ${(error as Error).message}` })
      this.deps.logger.warn('a change of an earlier run waits', { path, error })
    }
  }

  /** What follows from an absence is not done as long as that is only what was known last. */
  private needsProof(): void {
    const { tree } = this.deps
    if (tree.cutOff() || tree.patience.paused) throw new CellsError('network', 'the server cannot be asked')
  }

  /** A content that stands in its record was not synced as a file. What is sent is the server's, and the file tells if more was written since. */
  private async restore({ id, state, content }: DraftRecord): Promise<void> {
    if (content === undefined) return
    const path = this.deps.tree.deps.store.draftFile(id)
    const data = Buffer.from(content, 'base64')
    const there = await readFile(path).catch(() => undefined)
    if (there !== undefined && (state === 'sent' || there.equals(data))) return
    await writeFile(path, data, { mode: 0o600, flush: true })
  }

  /** Files without a record are what a crash left of unacknowledged writes, unless records were lost. Returns the names of all files. */
  private async sweep(kept: ReadonlySet<string>): Promise<Set<string>> {
    const { store } = this.deps.tree.deps
    const files = new Set(await readdir(join(store.dir, 'drafts')))
    for (const name of files) {
      if (kept.has(name)) continue
      if (store.damage.length === 0) {
        await unlink(store.draftFile(name))
        continue
      }
      const where = join(store.dir, 'lost+found', `unnamed.${name}`)
      await rename(store.draftFile(name), where)
      this.deps.logger.error('a content without a record was set aside, for records are damaged', { where })
    }
    return files
  }

  /** Renames, new folders and deletes. `drafts`: names that have a content of ours. Returns what is sent again under another name. */
  private async names(drafts: ReadonlySet<string>): Promise<Left[]> {
    const { tree, unlinks, journal, uploader, logger } = this.deps
    const { store, inodes } = tree.deps
    const moves: Array<{ key: string; record: MoveRecord; inode: Inode; from: Place }> = []
    const deletes: Array<{ key: string; record: UnlinkRecord; inode: Inode | undefined; place: Place }> = []
    const strays: Left[] = []
    const folders = this.folders.map(({ key, value }) => ({ key, record: value }))
    for (const { key, value } of this.moves) {
      await this.attempt(key, value.from, async () => {
        const found = await this.movedNode(value, value.from) ?? (value.also === undefined ? undefined : await this.movedNode(value, value.also))
        if (found !== undefined) {
          found.inode.pins++
          moves.push({ key, record: value, ...found })
          return
        }
        this.needsProof()
        const place = await this.serverPlace(value.from)
        if (value.uuid === '' && value.folder !== true && place !== undefined && drafts.has(value.to)) {
          // Sent, and not to be seen: sent again under its new name, and the old one goes if it comes.
          strays.push(this.hidden(place, { path: value.from, keeper: value.to, etags: value.sent ?? [] }, 'moves', key))
          return
        }
        logger.info('a rename of an earlier run has nothing to rename', { from: value.from, to: value.to })
        await store.moves.remove(key)
      })
    }
    for (const { key, value } of this.unlinks) {
      await this.attempt(key, value.path, async () => {
        const place = await this.serverPlace(value.path)
        const inode = place === undefined ? undefined : await this.serverNode(place)
        const other = inode !== undefined && value.uuid !== undefined && value.uuid !== '' && inode.uuid !== value.uuid
        const changed = value.etags !== undefined && inode?.version !== undefined && !value.etags.includes(inode.version.etag) && inode.version.etag !== ETAG_TEMPORARY
        if (place === undefined || other || changed || (inode === undefined && value.unshown !== true)) {
          this.needsProof()
          await store.unlinks.remove(key)
          return
        }
        if (inode !== undefined) inode.pins++
        place.folder.pins++
        deletes.push({ key, record: value, inode, place })
      })
    }
    for (const { inode, from } of moves) tree.hold(inode, from)
    for (const { key, record, inode, place } of deletes) {
      // With the new record, or not at all.
      void store.unlinks.remove(key)
      if (inode?.unlinked === true) continue
      unlinks.add(place, inode, {
        unshown: inode === undefined ? [tree.pathAt(place.folder, place.name)] : [],
        deleted: (record.below ?? []).map((etags) => ({ etags: new Set(etags), expected: undefined })),
      })
      if (inode === undefined) {
        tree.leave(place.folder, place.name)
        continue
      }
      const { parent, name } = inode
      if (inode.type === 'folder') tree.hold(inode, place)
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
      ...moves.map((it) => ({ key: it.key, path: it.record.to, put: (place: Place) => this.putMoved(it, place), leave: () => this.putBack(it) })),
      ...folders.map((it) => ({ key: it.key, path: it.record.path, put: (place: Place) => this.putFolder(it, place), leave: () => {} })),
    ].sort((a, b) => a.path.split('/').length - b.path.split('/').length)
    for (const { key, path, put, leave } of placing) {
      await this.attempt(key, path, async () => {
        const place = await this.place(path).catch((error: unknown) => {
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
    const from = await this.serverPlace(path)
    const inode = from === undefined ? undefined : await this.serverNode(from)
    if (from === undefined || inode === undefined) return undefined
    // Renamed before the server had told the Uuid: known by what it holds.
    const etag = inode.version?.etag
    const same = uuid !== '' ? inode.uuid === uuid : folder === true ? inode.type === 'folder' : etag !== undefined && sent?.includes(etag) === true
    return same ? { inode, from } : undefined
  }

  /** It stays where the server has it until its folder here is found. */
  private putBack({ inode, from }: { inode: Inode; from: Place }): void {
    const { tree } = this.deps
    tree.hold(inode, undefined)
    from.folder.local.delete(from.name)
    from.folder.children.set(from.name, inode)
  }

  private async putMoved({ key, record, inode }: { key: string; record: MoveRecord; inode: Inode }, place: Place): Promise<void> {
    const { tree, journal } = this.deps
    const there = place.folder.children.get(place.name)
    // Made here while this one waited.
    const taken = there !== undefined && there !== inode && place.folder.local.get(place.name) === there && there.pending
    if (there !== undefined && there !== inode && !taken) tree.deps.inodes.detach(there)
    tree.deps.inodes.move(inode, place.folder, taken ? await this.freeName(place, there) : place.name)
    inode.graceUntil = record.backup === true ? 1 : 0
    tree.overlay(inode)
    journal.recovered('move', inode, key)
    // With the Uuid, where it had none.
    journal.move(inode)
  }

  private async putFolder({ key, record }: { key: string; record: FolderRecord }, place: Place): Promise<void> {
    const { tree, journal, uploader } = this.deps
    const there = await tree.child(place.folder, place.name)
    if (there?.type === 'folder') {
      // Made in the last moment before the end.
      void tree.deps.store.folders.remove(key)
      there.mode = record.facts.mode ?? there.mode
      if (record.facts.mtime !== undefined) there.mtime = there.ctime = there.atime = fromPair(record.facts.mtime)
      tree.deps.store.updateFacts(there.uuid, there.facts())
      return
    }
    if (there !== undefined) tree.deps.inodes.detach(there)
    const inode = tree.deps.inodes.create('folder', place.folder, place.name, '', record.facts.ino, tree.ownership('folder'))
    inode.mode = record.facts.mode ?? inode.mode
    if (record.facts.mtime !== undefined) inode.mtime = inode.ctime = inode.atime = fromPair(record.facts.mtime)
    place.folder.local.set(place.name, inode)
    tree.deps.metadata.setAll(inode.ino, new Map(), tree.deps.metadata.now())
    journal.recovered('folder', inode, key)
    uploader.add(inode)
  }

  private async draft(record: DraftRecord): Promise<void> {
    const { tree, contents, logger } = this.deps
    const { store, inodes } = tree.deps
    // Its folder may be one that waits.
    const waits = [...this.left.values()].some((it) => record.path.startsWith(`${it.path}/`))
    if (waits) throw new Error('The folder it is in cannot be brought back now')
    const place = await this.place(record.path)
    const usable = record.complete || (record.base !== undefined && record.written !== undefined && record.baseLimit !== undefined)
    if (place === undefined) this.needsProof()
    if (record.state === 'open' || !usable || place === undefined) {
      const where = await contents.toLostAndFound(record)
      logger.warn('a file that was not closed when the last run ended was set aside', { path: record.path, where })
      return
    }
    const existing = await tree.child(place.folder, place.name)
    // Sent in the last moment before the end, perhaps: only an indexed content can be compared.
    if (existing?.type === 'file') await contents.finished(existing).catch((error: unknown) => logger.debug('not indexed yet', { path: record.path, error }))
    const shown = existing?.version?.etag
    if (existing !== undefined && shown !== undefined && record.md5 !== undefined) {
      const ours = shown === record.md5
      const lags = shown === record.base?.etag || shown === ETAG_TEMPORARY || record.sent?.includes(shown) === true
      // It is there, or somebody has written after us.
      if (ours || (record.state === 'sent' && !lags)) {
        if (ours) {
          store.updateFacts(existing.uuid, { ...record.facts, version: shown })
          existing.mode = record.facts.mode ?? existing.mode
          if (record.facts.mtime !== undefined) existing.mtime = existing.ctime = fromPair(record.facts.mtime)
          // Looked up before it was known to be a link.
          if (record.facts.symlink !== undefined && existing.type === 'file') inodes.detach(existing)
        }
        if (record.upload !== undefined) await abandonUpload(tree.deps.server, record.upload)
        await store.drafts.remove(record.id)
        await unlink(store.draftFile(record.id))
        return
      }
    }
    if (record.state === 'sent' && record.complete && record.md5 !== undefined && await this.changedSince(record)) {
      // The server has what was acknowledged; what was written after it was not.
      const where = await contents.toLostAndFound(record)
      logger.warn('a file that was not closed when the last run ended was set aside', { path: record.path, where })
      return
    }
    const mine = existing !== undefined && (existing.uuid === record.base?.uuid || record.state === 'sent' || (shown !== undefined && (record.sent?.includes(shown) === true || (shown === ETAG_TEMPORARY && record.sent !== undefined))))
    const type = record.facts.symlink === undefined ? 'file' : 'symlink'
    const inode = mine && existing.type === type ? existing : inodes.create(type, place.folder, await this.freeName(place, mine ? undefined : existing), '', record.facts.ino, tree.ownership(type))
    if (mine && inode !== existing) {
      const { uuid } = existing
      inodes.detach(existing)
      place.folder.children.set(place.name, inode)
      inodes.setUuid(inode, uuid)
    }
    const base = record.complete || record.base === undefined ? undefined : contents.baseOf(inode, record.base)
    inode.draft = await Draft.reopen((id) => store.draftFile(id), record.id, record.size, base === undefined ? undefined : { base, baseLimit: record.baseLimit!, written: record.written! })
    inode.draft.upload = record.upload
    inode.recordId = record.id
    inode.base = record.base
    inode.localOnly = record.state === 'local'
    if (record.state === 'local') inode.draft.committed = inode.draft.generation
    for (const md5 of record.sent ?? []) inode.sent.add(md5)
    if (record.state === 'sent' && record.md5 !== undefined) inode.sent.add(record.md5)
    inode.mode = record.facts.mode ?? inode.mode
    if (record.facts.mtime !== undefined) inode.mtime = inode.ctime = fromPair(record.facts.mtime)
    if (record.facts.symlink !== undefined) inode.symlink = record.facts.symlink
    tree.overlay(inode)
    if (inode.name !== place.name) contents.record(inode, 'closed')
    if (record.state !== 'local') {
      logger.info('sending a change of an earlier run', { path: record.path })
      this.deps.uploader.add(inode)
    }
  }

  private async changedSince(record: DraftRecord): Promise<boolean> {
    const file = await open(this.deps.tree.deps.store.draftFile(record.id), 'r')
    try {
      const { size } = await file.stat()
      return size !== record.size || (await digestFile(file, size)).md5 !== record.md5
    } finally {
      await file.close()
    }
  }

  /** A recovered file whose name is somebody else's now keeps its content beside it. */
  private async freeName(place: Place, existing: Inode | undefined): Promise<string> {
    if (existing === undefined) return place.name
    for (let n = 1; ; n++) {
      const name = `${place.name} (recovered${n > 1 ? ` ${n}` : ''})`
      if (await this.deps.tree.child(place.folder, name) === undefined) return name
    }
  }

  /** The live folder and name of a path below the mount, or undefined if that folder is proven gone. */
  private async place(path: string): Promise<Place | undefined> {
    const names = path.split('/')
    const name = names.pop()!
    const folder = await this.inode(names.join('/'))
    return folder === undefined || folder.type !== 'folder' ? undefined : { folder, name }
  }

  /** As `place`, of a path on the server. */
  private async serverPlace(path: string): Promise<Place | undefined> {
    const names = path.split('/')
    const name = names.pop()!
    let folder: Inode | undefined = this.deps.tree.deps.inodes.root
    for (const step of names) folder = folder === undefined || folder.type !== 'folder' ? undefined : await this.serverNode({ folder, name: step })
    return folder === undefined || folder.type !== 'folder' ? undefined : { folder, name }
  }

  /** The node that the server has at a place of its own, which may be elsewhere here. */
  private async serverNode({ folder, name }: Place): Promise<Inode | undefined> {
    const { tree } = this.deps
    const held = tree.heldBy(folder, name)
    if (held !== undefined) return held
    const inode = await tree.child(folder, name)
    return inode?.heldAt === undefined ? inode : undefined
  }

  private async inode(path: string): Promise<Inode | undefined> {
    let at: Inode | undefined = this.deps.tree.deps.inodes.root
    for (const step of path.split('/').filter((it) => it !== '')) {
      if (at === undefined || at.type !== 'folder') return undefined
      at = await this.deps.tree.child(at, step)
    }
    return at
  }
}
