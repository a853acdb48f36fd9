/**
 * What only some inodes have: names in it (folders), a reader (files that were read), and all that goes with a change of ours. Almost all inodes are files
 * that are only looked at, a hundred thousand of them after a `find`: each kind lies in an object of its own, made when the first of it is set.
 */
import type { VersionKey } from '../cache/blocks.js'
import type { ContentDigest } from '../cells/digest.js'
import type { Draft } from './drafts.js'
import type { Inode } from './inodes.js'
import type { VersionReader } from './reader.js'

/** A name in a folder. */
export interface Place {
  readonly folder: Inode
  readonly name: string
}

class Names {
  children: Map<string, Inode> | undefined
  local: Map<string, Inode | null> | undefined
  listingChanges = 0
  listingKept = -1
  touched = false
}

class Reading {
  reader: VersionReader | undefined
  content = 0
  pages: number | undefined
}

class Change {
  writers = 0
  writing = 0
  localOnly = false
  symlink: string | undefined
  draft: Draft | undefined
  recordId: string | undefined
  base: VersionKey | undefined
  expected: ContentDigest | undefined
  trustAfter = 0
  resent = 0
  versionAt = 0
  unconfirmed = false
  heldAt: Place | undefined
  movingTo: Place | undefined
  graceUntil = 0
  failure: string | undefined
  commits: Promise<void> = Promise.resolve()
  sent: Set<string> | undefined
}

const [NO_NAMES, UNREAD, UNCHANGED] = [new Names(), new Reading(), new Change()]

export class InodeState {
  #names: Names | undefined
  #reading: Reading | undefined
  #change: Change | undefined

  #setNames<K extends keyof Names>(key: K, value: Names[K]): void {
    if (this.#names !== undefined || value !== NO_NAMES[key]) (this.#names ??= new Names())[key] = value
  }

  #setReading<K extends keyof Reading>(key: K, value: Reading[K]): void {
    if (this.#reading !== undefined || value !== UNREAD[key]) (this.#reading ??= new Reading())[key] = value
  }

  #setChange<K extends keyof Change>(key: K, value: Change[K]): void {
    if (this.#change !== undefined || value !== UNCHANGED[key]) (this.#change ??= new Change())[key] = value
  }

  // -- folders

  /** Live children by name: the dentries. */
  get children(): Map<string, Inode> {
    return (this.#names ??= new Names()).children ??= new Map()
  }

  /** Names where our truth differs from the server's last word: null is "not there". */
  get local(): Map<string, Inode | null> {
    return (this.#names ??= new Names()).local ??= new Map()
  }

  /** Has it live children, or names of ours? */
  get hasNames(): boolean {
    return (this.#names?.children?.size ?? 0) > 0 || (this.#names?.local?.size ?? 0) > 0
  }

  /** Counts changes of a folder's names that the kernel did not ask for ... */
  get listingChanges(): number { return (this.#names ?? NO_NAMES).listingChanges }
  set listingChanges(value: number) { this.#setNames('listingChanges', value) }

  /** ... and how many there were when the kernel was last given the names to keep. */
  get listingKept(): number { return (this.#names ?? NO_NAMES).listingKept }
  set listingKept(value: number) { this.#setNames('listingKept', value) }

  /** Its times are ours, and the store does not know them yet (folder-times.ts). */
  get touched(): boolean { return (this.#names ?? NO_NAMES).touched }
  set touched(value: boolean) { this.#setNames('touched', value) }

  // -- files that are read

  get reader(): VersionReader | undefined { return this.#reading?.reader }
  set reader(value: VersionReader | undefined) { this.#setReading('reader', value) }

  /** Counts changes of the content that did not come through the kernel. */
  get content(): number { return (this.#reading ?? UNREAD).content }
  set content(value: number) { this.#setReading('content', value) }

  /** The `content` whose pages the kernel may hold (pages.ts). */
  get pages(): number | undefined { return this.#reading?.pages }
  set pages(value: number | undefined) { this.#setReading('pages', value) }

  // -- what was changed here

  /** Open handles that may write. */
  get writers(): number { return (this.#change ?? UNCHANGED).writers }
  set writers(value: number) { this.#setChange('writers', value) }

  /** Writes under way: the draft must not be taken away. */
  get writing(): number { return (this.#change ?? UNCHANGED).writing }
  set writing(value: number) { this.#setChange('writing', value) }

  /** Never sent (localnames.ts). */
  get localOnly(): boolean { return (this.#change ?? UNCHANGED).localOnly }
  set localOnly(value: boolean) { this.#setChange('localOnly', value) }

  /** What a symbolic link holds. */
  get symlink(): string | undefined { return this.#change?.symlink }
  set symlink(value: string | undefined) { this.#setChange('symlink', value) }

  get draft(): Draft | undefined { return this.#change?.draft }
  set draft(value: Draft | undefined) { this.#setChange('draft', value) }

  /** Key of the draft's record, or of the special file's. */
  get recordId(): string | undefined { return this.#change?.recordId }
  set recordId(value: string | undefined) { this.#setChange('recordId', value) }

  /** The version the draft was made over; undefined: the file is new. */
  get base(): VersionKey | undefined { return this.#change?.base }
  set base(value: VersionKey | undefined) { this.#setChange('base', value) }

  /** Content that the server has answered 200 to and does not show yet. */
  get expected(): ContentDigest | undefined { return this.#change?.expected }
  set expected(value: ContentDigest | undefined) { this.#setChange('expected', value) }

  /** Before this moment (metadata.now()) the server may show `expected` because it had the same content once before. */
  get trustAfter(): number { return (this.#change ?? UNCHANGED).trustAfter }
  set trustAfter(value: number) { this.#setChange('trustAfter', value) }

  /** How often what the server did not keep was sent again. */
  get resent(): number { return (this.#change ?? UNCHANGED).resent }
  set resent(value: number) { this.#setChange('resent', value) }

  /** When the server confirmed `version` (metadata.now()): what was asked before may be about an older one. */
  get versionAt(): number { return (this.#change ?? UNCHANGED).versionAt }
  set versionAt(value: number) { this.#setChange('versionAt', value) }

  /** A content or a folder of ours that the server does not show yet. */
  get unconfirmed(): boolean { return (this.#change ?? UNCHANGED).unconfirmed }
  set unconfirmed(value: boolean) { this.#setChange('unconfirmed', value) }

  /**
   * The server has the node, or is being sent it, under this name, which is not its name here (any more). Undefined: under
   * the same name, or not at all. Set through Tree.hold.
   */
  get heldAt(): Place | undefined { return this.#change?.heldAt }
  set heldAt(value: Place | undefined) { this.#setChange('heldAt', value) }

  /** The server has been told to move it there, and has not answered, or the answer was lost. */
  get movingTo(): Place | undefined { return this.#change?.movingTo }
  set movingTo(value: Place | undefined) { this.#setChange('movingTo', value) }

  /** A rename that looks like an editor's: until this moment (metadata.now()) the node may stay with the place it came from (backup.ts). */
  get graceUntil(): number { return (this.#change ?? UNCHANGED).graceUntil }
  set graceUntil(value: number) { this.#setChange('graceUntil', value) }

  /** Why the last attempt to send failed, for people. */
  get failure(): string | undefined { return this.#change?.failure }
  set failure(value: string | undefined) { this.#setChange('failure', value) }

  /** Tail of the queue of commits. */
  get commits(): Promise<void> { return (this.#change ?? UNCHANGED).commits }
  set commits(value: Promise<void>) { this.#setChange('commits', value) }

  /** md5s sent since the server last agreed: any of them may show up on the server. */
  get sent(): Set<string> {
    return (this.#change ??= new Change()).sent ??= new Set()
  }

  get hasSent(): boolean {
    return (this.#change?.sent?.size ?? 0) > 0
  }
}
