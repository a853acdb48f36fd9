/**
 * What the kernel believes, and how it hears that it is wrong. While the server's event stream is there and the driver can
 * tell the kernel things, the kernel may believe names, attributes, listings and absences for minutes: a warm `stat` or `ls` never
 * reaches this process. Everything that changes one of these without the kernel having asked for it goes through one
 * of four calls here: `name`, `content`, `attributes`, `everything`. What the kernel itself asked for (its own create,
 * write, rename) it knows, and is not told. A notice too many costs a question; one too few is a lie for minutes.
 *
 * A loss of the stream ends all belief at that moment, not at the reconnection: from then on nobody would tell us of a change, so the
 * kernel has to ask again, and we answer with short times until the stream is back. At the reconnection there
 * is then nothing left to take back: what was said in between has run out, and pages are compared with each open.
 * Names are let run out one by one, because a folder whose name is dropped is lost to the programs working in it.
 *
 * Without such a driver or without the stream the times are short and nothing is told.
 */
import { ABSENT_TTL_MS, type MetadataCache } from '../cache/metadata.js'
import type { Ino, KernelNotices } from './drivers/driver.js'
import type { Inode, InodeTable } from './inodes.js'

/** How long the kernel may believe what nobody would tell it the end of. */
export const SHORT_MS = 1_000
/** And else. Not for ever: an event can be lost on the way (cache/metadata.ts). */
export const LONG_MS = 120_000
/** Absences that the kernel was told of are remembered, to be taken back; above this many it is told them for no time. */
const MAX_ABSENT = 20_000

export class KernelView {
  private readonly inodes: InodeTable
  private readonly metadata: MetadataCache
  private notices: KernelNotices = {}
  private able = false
  /** Names said to be absent, by folder, with the time when the kernel stops believing it. In order of that time. */
  private readonly absences = new Map<string, { readonly folder: Ino; readonly name: string; readonly until: number }>()

  constructor(inodes: InodeTable, metadata: MetadataCache) {
    this.inodes = inodes
    this.metadata = metadata
  }

  attach(notices: KernelNotices): void {
    this.notices = notices
    this.able = notices.invalidateEntry !== undefined && notices.invalidateInode !== undefined
  }

  /** Can the kernel be told of changes, and do we hear of them? */
  get live(): boolean {
    return this.able && this.metadata.pushed
  }

  /** Can the kernel be told to drop its pages? */
  get canDropPages(): boolean {
    return this.able
  }

  /** Has the kernel dropped the pages that it was told to drop? */
  hasDroppedPages(inode: Inode): boolean {
    return this.able && this.notices.stillHolds?.(inode.ino) === false
  }

  // -- how long to believe

  /** For name and attributes of an inode. */
  beliefMs(inode: Inode): number {
    if (!this.live) return SHORT_MS
    const { parent, name } = inode
    if (parent === undefined) return LONG_MS
    return !inode.unlinked && (parent.local.get(name) === inode || this.metadata.covered(parent.ino, name)) ? LONG_MS : SHORT_MS
  }

  /** May the kernel keep the names of a folder? */
  mayKeepListing(folder: Inode): boolean {
    return this.live && this.metadata.coveredWhole(folder.ino)
  }

  get absentMs(): number {
    return this.live && this.absences.size < MAX_ABSENT ? ABSENT_TTL_MS : 0
  }

  /** The kernel is about to hear that a name is absent. */
  saidAbsent(folder: Inode, name: string, spelled: string): void {
    const { absences } = this
    const now = this.metadata.now()
    for (const [key, { until }] of absences) {
      if (until > now) break
      absences.delete(key)
    }
    if (this.absentMs === 0) return
    const key = `${folder.ino}/${spelled}`
    absences.delete(key)
    absences.set(key, { folder: folder.ino, name: spelled, until: now + ABSENT_TTL_MS })
    // It became doubtful while the answer was on its way: told after the answer, the kernel asks again.
    const sure = folder.local.get(name) === null || this.metadata.covered(folder.ino, name)
    if (!sure) this.notices.invalidateEntry?.(folder.ino, spelled)
  }

  // -- what has changed

  /** A name leads elsewhere now, nowhere, or somewhere for the first time. */
  name(folder: Inode, name: string): void {
    folder.listingChanges++
    this.notices.invalidateEntry?.(folder.ino, name)
    this.otherSpellings(folder, name)
    // Its cached listing: a name that the kernel does not know tells it nothing about the folder.
    this.notices.invalidateInode?.(folder.ino)
  }

  /** The kernel takes another spelling of a name for another name; what happens to the name happens to all. */
  otherSpellings(folder: Inode, name: string): void {
    const spellings = new Set([name.normalize('NFC'), name.normalize('NFD')])
    if (spellings.size > 1) for (const each of spellings) this.notices.invalidateEntry?.(folder.ino, each)
  }

  /** The file has another content, which did not come through the kernel. */
  content(inode: Inode): void {
    inode.content++
    // Pages of a file that nobody has open go with the next open (pages.ts), which may be the very one that found the change: a notice would meet
    // its first read, and wait for it.
    if (inode.opens > 0) this.pages(inode)
    else this.attributes(inode)
  }

  /** The kernel's pages are to go: they may be another version's. */
  pages(inode: Inode): void {
    this.notices.invalidateInode?.(inode.ino)
  }

  attributes(inode: Inode): void {
    if (this.notices.invalidateAttributes !== undefined) this.notices.invalidateAttributes(inode.ino)
    else this.notices.invalidateInode?.(inode.ino)
  }

  /** Nothing is certain any more: the stream is lost, or rights have changed. */
  everything(): void {
    if (!this.able) return
    for (const inode of this.inodes.all()) {
      const { parent } = inode
      if (parent !== undefined && inode.lookups === 0) continue
      if (parent !== undefined && !inode.unlinked) this.notices.invalidateEntry?.(parent.ino, inode.name)
      if (inode.type === 'folder') {
        inode.listingChanges++
        this.notices.invalidateInode?.(inode.ino)
      } else {
        this.attributes(inode)
      }
    }
    for (const { folder, name } of this.absences.values()) this.notices.invalidateEntry?.(folder, name)
    this.absences.clear()
  }
}
