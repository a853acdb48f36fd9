/**
 * Contents of an earlier process that the server does not have, or does not show yet: put under their names here again, also while the
 * server cannot be asked: what was saved is there for whoever looks. What was not closed is set aside where a person finds it; no content is dropped.
 */
import { open, readdir, readFile, rename, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DraftRecord } from '../cache/store.js'
import { ETAG_TEMPORARY } from '../cells/types.js'
import type { Logger } from '../log.js'
import type { Contents } from './contents.js'
import { Draft } from './drafts.js'
import type { Durability } from './durability.js'
import { digestFile } from './hashing.js'
import { fromPair } from './inodes.js'
import { finished } from './next-version.js'
import type { RecordedPaths } from './recorded-paths.js'
import type { Tree } from './tree.js'
import { abandonUpload } from './upload.js'
import type { Uploader } from './uploader.js'

export interface RecoveredContentsDeps {
  readonly tree: Tree
  readonly paths: RecordedPaths
  readonly contents: Contents
  readonly durability: Durability
  readonly uploader: Uploader
  /** Is there something at a path, or at a folder above it, that could not be brought back yet? */
  readonly waits: (path: string) => boolean
  readonly logger: Logger
}

export class RecoveredContents {
  private readonly deps: RecoveredContentsDeps

  constructor(deps: RecoveredContentsDeps) {
    this.deps = deps
  }

  /** Files without a record are what a crash left of unacknowledged writes, unless records were lost. Returns the names of all files. */
  async sweep(kept: ReadonlySet<string>): Promise<Set<string>> {
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

  /** `files`: what `sweep` gave. @throws why it has to wait */
  async bringBack(record: DraftRecord, files: ReadonlySet<string>): Promise<void> {
    await this.restore(record)
    if (record.content !== undefined || files.has(record.id)) {
      await this.reopen(record)
      return
    }
    this.deps.logger.warn('a change of an earlier run has a record but no content', { path: record.path })
    await this.deps.tree.deps.store.drafts.remove(record.id)
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

  private async reopen(record: DraftRecord): Promise<void> {
    const { tree, contents, durability, logger } = this.deps
    const { store, inodes } = tree.deps
    if (this.deps.waits(record.path)) throw new Error('What is at its name, or above it, cannot be brought back now')
    const usable = record.complete || (record.base !== undefined && record.written !== undefined && record.baseLimit !== undefined)
    const place = record.state === 'open' || !usable ? undefined : await this.deps.paths.placeMade(record.path)
    if (place === undefined) {
      const where = await durability.toLostAndFound(record)
      logger.warn('a file that was not closed when the last run ended was set aside', { path: record.path, where })
      return
    }
    const found = await this.deps.paths.known(place)
    const existing = found === 'unknown' ? undefined : found
    // Sent in the last moment before the end, perhaps: only an indexed content can be compared.
    if (existing?.type === 'file') await finished(tree, existing).catch((error: unknown) => logger.debug('not indexed yet', { path: record.path, error }))
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
      const where = await durability.toLostAndFound(record)
      logger.warn('a file that was not closed when the last run ended was set aside', { path: record.path, where })
      return
    }
    const mine = existing !== undefined && (existing.uuid === record.base?.uuid || record.state === 'sent' || (shown !== undefined && (record.sent?.includes(shown) === true || (shown === ETAG_TEMPORARY && record.sent !== undefined))))
    const type = record.facts.symlink === undefined ? 'file' : 'symlink'
    // Where nobody can be asked, it is the node that was changed. Whether that is still so is seen when it is sent.
    const uuid = found === 'unknown' && record.base !== undefined && inodes.ofUuid(record.base.uuid) === undefined ? record.base.uuid : ''
    const inode = mine && existing.type === type ? existing : inodes.create(type, place.folder, await this.deps.paths.freeName(place, mine ? undefined : existing), uuid, record.facts.ino, tree.attributes.ownership(type))
    if (uuid !== '') inode.version = record.base
    if (mine && inode !== existing) {
      const theirs = existing.uuid
      inodes.detach(existing)
      place.folder.children.set(place.name, inode)
      inodes.setUuid(inode, theirs)
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
    if (inode.name !== place.name) durability.record(inode, 'closed')
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
}
