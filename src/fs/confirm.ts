/**
 * What the server has answered "done" to and does not show yet: contents, new folders, deletes. Until it
 * shows them, our own word stands (design, invariant 5; contract, traps 1, 2, 6, 12). The server's events and every listing
 * are proofs that cost nothing; what no event names is asked about in batches, ever more rarely, without end.
 */
import type { KnownNode } from '../cache/known.js'
import { compareWithNode } from '../cells/digest.js'
import { type CellsNode, ETAG_TEMPORARY } from '../cells/types.js'
import { Conditions } from './conditions.js'
import type { Inode } from './inodes.js'
import { Settling, type SettlingDeps } from './settling.js'
import { askedOf } from './strays.js'

const FIRST_CHECK_MS = 2_500
const FIRST_CHECK_WITHOUT_EVENTS_MS = 1_100
const MAX_INTERVAL_MS = 30_000
/** First and longest interval for what a program waits for. */
const HURRIED_MS = 120
const HURRIED_MAX_MS = 600
/** After this long nobody expects it at once any more. */
const PATIENT_MS = 60_000
/** Paths of one question. */
const BATCH = 50

interface Waiting {
  /** Of a name that was deleted: the node that was there. */
  readonly gone?: string
  /** It is still there after all this time: somebody else sees to it from now on. */
  readonly onStays?: () => void
  readonly since: number
  interval: number
  next: number
  /** No interval is longer than this while the wait is young. */
  limit: number
  warned: boolean
  /** Another one's content was shown, which may have come later than ours. */
  contradicted: boolean
  /** The path that a content was sent to. */
  readonly sentTo: string | undefined
}

export interface ConfirmDeps extends SettlingDeps {
  /** The server has answered to a content and does not know of it: it is to be sent again. */
  readonly onLost: (inode: Inode) => void
  /** A folder that was made is not there any more: it is not to be made again. */
  readonly onFolderGone: (folder: Inode) => void
  /** After so long, milliseconds, the index of a server is thought to have caught up. */
  readonly resendMs: number
}

export class Confirmer {
  private readonly deps: ConfirmDeps
  private readonly present = new Map<Inode, Waiting>()
  /** By folder, then name. */
  private readonly absent = new Map<Inode, Map<string, Waiting>>()
  /** When the youngest of what is confirmed was sent. */
  private confirmedSince = 0
  private timer: NodeJS.Timeout | undefined
  private checking: Promise<void> | undefined
  private readonly settling: Settling
  private closed = false
  private readonly changes = new Conditions()

  constructor(deps: ConfirmDeps) {
    this.deps = deps
    this.settling = new Settling(deps)
  }

  /** Told of a content of ours that the server has never shown and never will. True if it is kept elsewhere, which drops the inode here. */
  onOverwritten: (inode: Inode, theirs: KnownNode) => boolean = () => false

  /** Told of a content of ours that is not where the inode is now, and was sent to another path (strays.ts). */
  onAstray: (inode: Inode, sentTo: string, nodes: ReadonlyMap<string, CellsNode>) => void = () => {}

  get pending(): number {
    let names = 0
    for (const folder of this.absent.values()) names += folder.size
    return this.present.size + names
  }

  /** `inode.expected` was sent to this path, or a new folder was. */
  awaitPresent(inode: Inode, sentTo?: string): void {
    inode.unconfirmed = true
    const wait = this.newWait(sentTo)
    wait.next = Math.max(wait.next, inode.trustAfter)
    this.present.set(inode, wait)
    this.arm()
  }

  /** The node of this Uuid was deleted; the tombstone in `folder.local` stays until the server agrees, or shows another node there. */
  awaitAbsent(folder: Inode, name: string, uuid: string, onStays: () => void): void {
    const names = this.absent.get(folder) ?? new Map<string, Waiting>()
    names.set(name, { ...this.newWait(), gone: uuid, onStays })
    this.absent.set(folder, names)
    this.arm()
  }

  /** Is one of those that the server does not show yet among these? */
  awaits(concerns: (inode: Inode) => boolean): boolean {
    for (const inode of this.present.keys()) if (concerns(inode)) return true
    return false
  }

  awaitsAbsence(folder: Inode, name: string): boolean {
    return this.absent.get(folder)?.has(name) === true
  }

  /** The inode was deleted or replaced: nothing to wait for. */
  drop(inode: Inode): void {
    inode.unconfirmed = false
    inode.expected = undefined
    this.present.delete(inode)
    this.changes.look()
  }

  /** Resolves when the server shows no node at this name any more (at once if none was deleted there). */
  async nameFree(folder: Inode, name: string, signal?: AbortSignal): Promise<void> {
    this.hurry([this.absent.get(folder)?.get(name)])
    await this.changes.until(() => this.absent.get(folder)?.has(name) !== true, signal)
  }

  /** Resolves when this inode is confirmed. */
  async confirmed(inode: Inode, signal?: AbortSignal): Promise<void> {
    this.hurry([this.present.get(inode)])
    await this.changes.until(() => !this.present.has(inode), signal)
  }

  /** Resolves when nothing in or below a folder is unconfirmed. */
  async confirmedBelow(folder: Inode, signal?: AbortSignal): Promise<void> {
    this.hurry([...this.present].filter(([inode]) => this.deps.tree.places.isWithinThere(inode, folder)).map(([, wait]) => wait))
    await this.changes.until(() => ![...this.present.keys(), ...this.absent.keys()].some((it) => this.deps.tree.places.isWithinThere(it, folder)), signal)
  }

  /** Resolves when what is unconfirmed now is so no longer, to the inodes of it. What comes meanwhile is not waited for: a program may never stop writing. */
  async drained(concerns: (inode: Inode) => boolean, signal?: AbortSignal): Promise<Inode[]> {
    const present = [...this.present].filter(([inode]) => concerns(inode))
    this.hurry(present.map(([, wait]) => wait))
    const absent = [...this.absent].filter(([folder]) => concerns(folder)).flatMap(([folder, names]) => [...names].map(([name, wait]) => ({ folder, name, wait })))
    await this.changes.until(() => present.every(([inode, wait]) => this.present.get(inode) !== wait)
      && absent.every(({ folder, name, wait }) => this.absent.get(folder)?.get(name) !== wait), signal)
    return present.map(([inode]) => inode)
  }

  async close(): Promise<void> {
    this.closed = true
    clearTimeout(this.timer)
    await this.checking
    await this.settling.done()
  }

  /** The server shows `node` where `inode` is. True if the inode's own word still stands or has just been settled. */
  offer(inode: Inode, node: KnownNode): boolean {
    if (!inode.unconfirmed) return false
    const wait = this.present.get(inode)
    if (inode.type === 'folder') {
      if (node.kind === 'folder') this.settleFolder(inode, node)
      return true
    }
    if (node.kind !== 'file' || node.etag === ETAG_TEMPORARY || node.etag === '') return true
    if (this.agrees(inode, node)) {
      if (inode.trustAfter > this.deps.tree.deps.metadata.now()) return true
      const { serverPlace } = inode
      this.settleFile(inode, node)
      // Of two events nobody knows which one is the newer.
      if (wait?.contradicted === true && serverPlace !== undefined) this.deps.tree.doubt(serverPlace.folder, serverPlace.name)
      return true
    }
    // An older content, ours or the one we wrote over: the index lags.
    if (inode.sent.has(node.etag) || node.etag === inode.base?.etag || this.deps.tree.echoes.isSpent(node)) return true
    if (wait !== undefined) wait.contradicted = true
    // Somebody has moved it, or the folder around it: ours may be where it was sent.
    if (this.strayed(inode) !== undefined) return true
    // Somebody wrote after us, and nobody has seen ours: it may not have been known to them when they did.
    if (this.onOverwritten(inode, node)) return true
    this.deps.logger.info('content was replaced on the server right after it was sent', { path: this.deps.tree.places.localPath(inode) })
    this.settleFile(inode, node)
    return true
  }

  /**
   * The node has left the inode's place, by somebody else's doing, and this is what it was: if ours, the server has shown it, and nothing is to be waited
   * for. Resolves when ours is the server's version, and no longer a draft.
   */
  async left(inode: Inode, node: KnownNode): Promise<void> {
    if (inode.unconfirmed && inode.type === 'folder' && node.kind === 'folder' && (inode.uuid === '' || inode.uuid === node.uuid)) this.settleFolder(inode, node)
    if (!inode.unconfirmed || inode.expected === undefined || compareWithNode(inode.expected, node) !== 'same') return
    if (inode.trustAfter > this.deps.tree.deps.metadata.now()) return
    this.settleFile(inode, node)
    await this.settling.done()
  }

  /** The path that the content was sent to, if that is not the inode's path any more. */
  private strayed(inode: Inode): string | undefined {
    const sentTo = this.present.get(inode)?.sentTo
    return sentTo !== undefined && this.deps.tree.places.hasPath(inode) && this.deps.tree.places.pathOf(inode) !== sentTo ? sentTo : undefined
  }

  /** Is the node's content the one that was sent? Where no digest can tell: a new ETag with our size. */
  agrees(inode: Inode, node: KnownNode): boolean {
    if (inode.expected === undefined) return false
    const verdict = compareWithNode(inode.expected, node)
    return verdict === 'same' || (verdict === 'unknown' && node.etag !== inode.base?.etag && !this.deps.tree.echoes.isSpent(node))
  }

  /** Somebody waits for these: asks now, and again soon. */
  private hurry(waits: Iterable<Waiting | undefined>): void {
    const now = this.deps.tree.deps.metadata.now()
    for (const wait of waits) {
      if (wait === undefined) continue
      wait.interval = Math.min(wait.interval, this.deps.tree.pause(HURRIED_MS))
      wait.limit = this.deps.tree.pause(HURRIED_MAX_MS)
      wait.next = Math.min(wait.next, now)
    }
    clearTimeout(this.timer)
    this.timer = undefined
    this.arm()
  }

  private newWait(sentTo?: string): Waiting {
    const now = this.deps.tree.deps.metadata.now()
    const interval = this.deps.tree.pause(this.deps.tree.deps.metadata.pushed ? FIRST_CHECK_MS : FIRST_CHECK_WITHOUT_EVENTS_MS)
    return { since: now, interval, next: now + interval, limit: MAX_INTERVAL_MS, warned: false, contradicted: false, sentTo }
  }

  private settleFolder(inode: Inode, node: KnownNode): void {
    this.drop(inode)
    this.settling.folder(inode, node)
  }

  private settleFile(inode: Inode, node: KnownNode): void {
    this.confirmedSince = Math.max(this.confirmedSince, this.present.get(inode)?.since ?? 0)
    inode.resent = 0
    // (Before what was expected is forgotten.)
    const ours = this.agrees(inode, node)
    this.drop(inode)
    this.settling.file(inode, node, ours)
  }

  // -- asking

  private arm(): void {
    if (this.closed || this.timer !== undefined || this.checking !== undefined || this.pending === 0) return
    let next = Infinity
    for (const wait of this.present.values()) next = Math.min(next, wait.next)
    for (const names of this.absent.values()) for (const wait of names.values()) next = Math.min(next, wait.next)
    const delay = Math.max(5, next - this.deps.tree.deps.metadata.now())
    this.timer = setTimeout(() => {
      this.timer = undefined
      this.checking = this.check().finally(() => {
        this.checking = undefined
        this.arm()
      })
    }, delay)
  }

  /** Asks about everything that is due. Never rejects. */
  private async check(): Promise<void> {
    try {
      const { tree, logger } = this.deps
      const now = tree.deps.metadata.now()
      const due: Array<{ path: string; more?: readonly string[]; wait: Waiting; settle: (node: KnownNode | undefined, nodes: ReadonlyMap<string, CellsNode>) => void }> = []
      for (const [inode, wait] of this.present) {
        if (wait.next > now) continue
        // Gone, or with the folder that it was in.
        if (inode.unlinked || !tree.places.hasPath(inode)) {
          this.drop(inode)
          continue
        }
        const sentTo = this.strayed(inode)
        due.push({
          path: tree.places.pathOf(inode), wait, ...(sentTo !== undefined && { more: askedOf(sentTo) }),
          settle: (node, nodes) => {
            if (node !== undefined) this.offer(inode, node)
            if (this.present.get(inode) !== wait) return
            if (sentTo !== undefined && sentTo === this.strayed(inode)) this.onAstray(inode, sentTo, nodes)
            if (this.isLost(inode, wait, node)) this.lost(inode)
          },
        })
      }
      for (const [folder, names] of this.absent) {
        for (const [name, wait] of names) {
          if (wait.next > now) continue
          if (!tree.places.hasPath(folder)) this.forgetAbsent(folder, name)
          else due.push({
            path: tree.places.pathAt(folder, name), wait,
            settle: (node) => {
              if (names.get(name) !== wait) return
              if (node?.uuid !== wait.gone) this.settleAbsent(folder, name, node)
              else if (tree.deps.metadata.now() - wait.since > this.deps.resendMs) {
                wait.onStays?.()
                this.forgetAbsent(folder, name)
              }
            },
          })
        }
      }
      for (let i = 0; i < due.length; i += BATCH) {
        const batch = due.slice(i, i + BATCH)
        for (const { wait, path } of batch) {
          wait.interval = Math.min(now - wait.since > PATIENT_MS ? MAX_INTERVAL_MS : wait.limit, wait.interval * 1.7)
          wait.next = tree.deps.metadata.now() + wait.interval
          if (!wait.warned && now - wait.since > PATIENT_MS) {
            wait.warned = true
            logger.warn('the server took a change and does not show it after a minute', { path })
          }
        }
        const nodes = await tree.deps.server.statMany(batch.flatMap(({ path, more = [] }) => [path, ...more]))
        for (const { path, settle } of batch) settle(nodes.get(path), nodes)
      }
    } catch (error) {
      this.deps.logger.debug('asking about what was sent failed, will ask again', { error })
    }
  }

  /**
   * The server has answered 200 to a content and has known nothing of it ever since (a proxy has answered in its place, a disk was full), or somebody has
   * taken it away, and no event told of it: the server shows something else, or nothing, and has shown what was sent later, or there was time enough for
   * the slowest index.
   */
  private isLost(inode: Inode, { since }: Waiting, node: KnownNode | undefined): boolean {
    if (inode.type !== 'folder' && inode.draft === undefined) return false
    const patience = this.deps.resendMs * 2 ** inode.resent
    const age = this.deps.tree.deps.metadata.now() - since
    // (A node of that size that has no content after so long: a 2.x server has begun to index ours and never went on.)
    const stuck = node?.etag === ETAG_TEMPORARY && node.size === inode.expected?.size && age > patience * 4
    const coming = node !== undefined && !stuck && (node.kind === 'folder') === (inode.type === 'folder') && (node.etag === ETAG_TEMPORARY || node.etag === '' || this.agrees(inode, node))
    return !coming && age > patience && (this.confirmedSince > since || age > patience * 4)
  }

  private lost(inode: Inode): void {
    const { tree, logger } = this.deps
    const { serverPlace } = inode
    this.drop(inode)
    // (It told the Uuid of a folder that it made.)
    if (inode.type === 'folder' && serverPlace !== undefined) {
      logger.warn('a folder that was made is not on the server any more', { path: tree.places.localPath(inode) })
      this.deps.onFolderGone(inode)
      tree.overlay(inode)
      tree.doubt(serverPlace.folder, serverPlace.name)
      return
    }
    logger.warn('the server said that it has a content and does not know of it: sending it again', { path: tree.places.localPath(inode) })
    inode.resent++
    this.deps.onLost(inode)
  }

  /** The server was seen without the node. `theirs`: what somebody has put there since. */
  settleAbsent(folder: Inode, name: string, theirs?: KnownNode): void {
    const { tree } = this.deps
    const { metadata, inodes } = tree.deps
    tree.echoes.vacate(folder, name)
    metadata.ours(folder.ino, name, theirs, metadata.now())
    // First: what is awaited stays hidden.
    this.forgetAbsent(folder, name)
    tree.uncoverHidden(folder, name)
    if (theirs !== undefined) tree.doubt(folder, name)
    inodes.release(folder)
  }

  private forgetAbsent(folder: Inode, name: string): void {
    const names = this.absent.get(folder)
    names?.delete(name)
    if (names?.size === 0) this.absent.delete(folder)
    this.changes.look()
  }
}
