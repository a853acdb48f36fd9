/**
 * Attributes of files and folders: what stat(2) shows, what chmod, chown and utimes change, and extended attributes. The server has none of
 * them but size and time of the content: the others are facts of this computer, kept in the store under the node's Uuid. (A size is a change of
 * the content: open-files.ts.)
 */
import type { Contents, Handle } from './contents.js'
import type { Attr, AttrChange, Caller, StatFs } from './drivers/driver.js'
import type { Inode } from './inodes.js'
import type { Journal } from './journal.js'
import { saysNothing } from './patience.js'
import type { Specials } from './specials.js'
import { hasState } from './state.js'
import type { Tree } from './tree.js'
import { getXattr, listXattrs, type StateOf } from './xattrs.js'

export interface AttributesDeps {
  readonly tree: Tree
  readonly contents: Contents
  readonly journal: Journal
  readonly specials: Specials
  /** For `user.cells.state`. */
  readonly stateOf: StateOf
  /** Bytes; undefined: the server has none, or has not told it. */
  readonly quota: (inode: Inode) => { total: number; used: number } | undefined
}

/** What is answered, and how long the kernel may believe it, milliseconds. */
export interface TimedAttr {
  readonly attr: Attr
  readonly timeoutMs: number
}

export class Attributes {
  private readonly deps: AttributesDeps

  constructor(deps: AttributesDeps) {
    this.deps = deps
  }

  /** `handle`: through which it is asked, if through one. */
  async get(inode: Inode, handle: Handle | undefined, caller: Caller): Promise<TimedAttr> {
    const { tree, contents } = this.deps
    const { kernel } = tree
    // The file as this handle shows it; the next one to ask may see another.
    const size = handle && contents.sizeBehind(handle)
    if (size !== undefined) return { attr: { ...inode.attr(), size }, timeoutMs: 0 }
    if ((handle === undefined || kernel.live) && inode !== tree.deps.inodes.root) {
      try {
        await tree.revalidate(inode, caller)
      } catch (error) {
        // What was known a moment ago is a better answer than an error about the network (design, invariant 8).
        if (!saysNothing(error)) throw error
      }
    }
    return { attr: inode.attr(), timeoutMs: kernel.beliefMs(inode) }
  }

  /** All of `change` but a size. */
  async set(inode: Inode, change: AttrChange): Promise<TimedAttr> {
    const { tree } = this.deps
    const now = BigInt(Date.now()) * 1_000_000n
    if (change.mode !== undefined) inode.mode = change.mode & 0o7777
    if (change.uid !== undefined) inode.uid = change.uid
    if (change.gid !== undefined) inode.gid = change.gid
    if (change.atime !== undefined) inode.atime = change.atime === 'now' ? now : change.atime
    if (change.mtime !== undefined) inode.mtime = change.mtime === 'now' ? now : change.mtime
    inode.ctime = now
    this.keepFacts(inode)
    await tree.deps.store.committed()
    return { attr: inode.attr(), timeoutMs: tree.kernel.beliefMs(inode) }
  }

  private keepFacts(inode: Inode): void {
    const { store } = this.deps.tree.deps
    if (inode.special) this.deps.specials.save(inode)
    const version = inode.type === 'folder' ? undefined : inode.draft === undefined ? inode.version?.etag : inode.expected?.md5
    if (inode.uuid === '') this.deps.journal.folder(inode)
    else store.updateFacts(inode.uuid, { ...inode.facts(), ...(version === undefined ? {} : { version }) })
    if (inode.draft !== undefined && inode.recordId !== undefined) {
      const record = store.drafts.get(inode.recordId)
      if (record !== undefined) store.saveDraft({ ...record, facts: inode.facts() })
    }
  }

  /** @throws FsError ENODATA */
  async xattr(inode: Inode, name: string, caller: Caller): Promise<Buffer> {
    const { tree, stateOf } = this.deps
    const { server, metadata, inodes } = tree.deps
    // Sent a moment ago: the server knows its Uuid, we do not yet.
    if (name === 'user.cells.uuid' && inode.uuid === '' && inode.onServer && inode.parent !== undefined) {
      const at = metadata.now()
      const node = await server.stat(tree.places.pathOf(inode), { signal: caller.signal })
      if (node !== undefined && inode.uuid === '') inodes.setUuid(inode, node.uuid)
      if (node !== undefined && !inode.unlinked) tree.questions.learn(inode.parent, inode.name, node, at)
    }
    return getXattr(inode, inode.unlinked ? '' : tree.places.pathOf(inode), name, stateOf)
  }

  xattrs(inode: Inode): string[] {
    return listXattrs(inode, inode.unlinked ? '' : this.deps.tree.places.pathOf(inode), hasState(inode))
  }

  statfs(inode: Inode): StatFs {
    const blockSize = 4096
    // A server without a quota has no number to give: large, so that no program refuses to write.
    const quota = this.deps.quota(inode) ?? { total: 2 ** 50, used: 0 }
    const blocks = Math.floor(quota.total / blockSize)
    const blocksFree = Math.max(0, Math.floor((quota.total - quota.used) / blockSize))
    return { blockSize, blocks, blocksFree, files: 2 ** 32, filesFree: 2 ** 31, nameMax: 255 }
  }
}
