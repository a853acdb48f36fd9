/**
 * Which content each open file shows, and whose pages the kernel holds.
 *
 * The kernel has one page cache for an inode, whatever handles are open on it; a handle shows one version, from its
 * first byte to its last (design, invariant 3). So all handles whose reads go through the cache show the same
 * content. When somebody replaces the file on the server, those that have been given bytes stay behind, on the old
 * content: their pages are dropped, and what they go on to read is the old version's, from our blocks, or an error. A handle opened
 * meanwhile shows the new content, past the cache (direct I/O).
 *
 * A handle that is alone and begins again at the first byte may go over to the new content: nothing of the old is in the
 * cache any more, if the kernel has dropped it as it was told and nothing of it was read since. (The kernel asks for whole pages: a
 * program that pauses within its first 4 KiB is taken for one that begins again. Else no open reader would ever see a change.)
 *
 * Content is counted (Inode.content): what the kernel itself writes does not count, it has it in its pages.
 */
import { FsError } from './errno.js'
import type { Inode } from './inodes.js'
import type { KernelView } from './kernelview.js'
import type { ReadPattern, VersionReader } from './reader.js'

/** One open file. */
export interface Handle {
  readonly inode: Inode
  readonly write: boolean
  readonly append: boolean
  readonly pattern: ReadPattern
  /** Where the bytes of its content come from, once it has read any from the server. */
  reader: VersionReader | undefined
  /** The Inode.content that it shows. */
  content: number
  /** Its reads go past the kernel's pages. */
  direct: boolean
  /** A program may have been given bytes of this content through it. */
  fed: boolean
  /** What was written through it will never be on the server: it is good for nothing any more. */
  lost: boolean
}

/** @throws FsError ESTALE */
export function checkUsable({ lost }: Handle): void {
  if (lost) throw new FsError('ESTALE', 'The file was replaced on the server before all of what was to stay of it had come')
}

/** A handle that is behind leaves old pages in the cache. The kernel is told to drop them, but not after each of its reads. */
const LEFTOVERS_MS = 300

export class Pages {
  private readonly kernel: KernelView
  private readonly open = new Map<Inode, Set<Handle>>()
  private readonly leftovers = new Map<Inode, NodeJS.Timeout>()

  constructor(kernel: KernelView) {
    this.kernel = kernel
  }

  /** Takes a new handle in and says what the kernel is to do with its pages. */
  opened(handle: Handle): { keepCache: boolean; directIo?: boolean } {
    const { inode } = handle
    const handles = this.open.get(inode) ?? new Set()
    this.open.set(inode, handles)
    const behind = [...handles].filter((it) => this.isBehind(it) && !it.direct)
    handles.add(handle)
    if (behind.some((it) => it.fed)) {
      if (!this.kernel.canDropPages) return { keepCache: false }
      handle.direct = true
      return { keepCache: false, directIo: true }
    }
    for (const each of behind) this.moveOn(each)
    const keepCache = this.kernel.canDropPages && inode.pages === inode.content
    inode.pages = inode.content
    handle.fed = keepCache
    return { keepCache }
  }

  closed(handle: Handle): void {
    const handles = this.open.get(handle.inode)
    if (handles === undefined) return
    handles.delete(handle)
    if (handles.size === 0) {
      this.open.delete(handle.inode)
      return
    }
    // What it read may have fed the others, through the cache.
    if (handle.fed && !handle.direct) for (const each of this.sharing(handle)) each.fed = true
  }

  /** Does it show a content that is not the file's any more? */
  isBehind(handle: Handle): boolean {
    return handle.content !== handle.inode.content
  }

  /** Before a read: a handle that is behind goes over to the present content if nobody can see both. */
  beforeRead(handle: Handle, offset: number): void {
    if (!this.isBehind(handle)) return
    const sharing = handle.direct ? [handle] : this.sharing(handle)
    if (sharing.some((it) => it.fed)) {
      if (offset > 0 || sharing.length > 1) return
      if (!handle.direct && (this.leftovers.has(handle.inode) || !this.kernel.hasDroppedPages(handle.inode))) return
    }
    for (const each of sharing) this.moveOn(each)
  }

  /** A read was served. `short`: fewer bytes than were asked for. */
  served(handle: Handle, short: boolean): void {
    handle.fed = true
    if (!this.isBehind(handle) || handle.direct) return
    const { inode } = handle
    // The kernel takes this end for the file's.
    if (short) this.kernel.attributes(inode)
    if (this.leftovers.has(inode)) return
    this.leftovers.set(inode, setTimeout(() => {
      this.leftovers.delete(inode)
      this.kernel.pages(inode)
    }, LEFTOVERS_MS).unref())
  }

  /** Can the handle, which could not read its version, take the present one instead? Then it does. */
  replace(handle: Handle): boolean {
    const sharing = handle.direct ? [handle] : this.sharing(handle)
    if (sharing.some((it) => it.fed)) return false
    for (const each of sharing) this.moveOn(each)
    return true
  }

  /** Has a program been given bytes of the handle's content? */
  fed(handle: Handle): boolean {
    return handle.direct ? handle.fed : this.sharing(handle).some((it) => it.fed)
  }

  /** The present content is a draft's from now on, or a draft's no longer: older readers do not have it. */
  forgetReaders(inode: Inode): void {
    for (const each of this.open.get(inode) ?? []) if (!this.isBehind(each)) each.reader = undefined
  }

  /** The inode goes on with another content; what its writers have made of the last one is lost to them. */
  lose(inode: Inode): void {
    for (const each of this.open.get(inode) ?? []) each.lost ||= each.write
  }

  close(): void {
    for (const timer of this.leftovers.values()) clearTimeout(timer)
  }

  /** Handles of the same content through the same pages. */
  private sharing({ inode, content }: Handle): Handle[] {
    return [...this.open.get(inode) ?? []].filter((it) => !it.direct && it.content === content)
  }

  private moveOn(handle: Handle): void {
    handle.content = handle.inode.content
    handle.reader = undefined
    handle.fed = false
    if (!handle.direct) handle.inode.pages = handle.inode.content
  }
}
