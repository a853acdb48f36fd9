/**
 * Serialises changes of the tree. A real server loses a PUT into a folder that is being moved and
 * corrupts what is renamed twice at once (contract, traps 5 and 8), so a change holds its own names exclusively
 * and every folder above them shared; moving a folder thereby waits for everything in flight below it.
 *
 * All keys of a request are granted together, in order of arrival, so there is no deadlock and no starvation.
 * Keys are opaque strings; the engine uses inode identities, which do not change when a parent is renamed.
 */
import type { Inode } from './inodes.js'

export interface LockRequest {
  readonly shared: readonly string[]
  readonly exclusive: readonly string[]
}

interface Waiting extends LockRequest {
  granted: () => void
}

export class TreeLock {
  private readonly sharedHeld = new Map<string, number>()
  private readonly exclusiveHeld = new Set<string>()
  private waiting: Waiting[] = []

  /** Resolves with the function that gives the keys back; call it exactly once. @throws the signal's reason if it fires first */
  async acquire(request: LockRequest, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted()
    if (this.waiting.length > 0 || !this.free(request, this.sharedHeld, this.exclusiveHeld)) {
      await new Promise<void>((resolve, reject) => {
        const leave = (): void => {
          this.waiting = this.waiting.filter((it) => it !== waiter)
          // Those behind waited for this one, too.
          this.grantWaiting()
          reject(signal?.reason as Error)
        }
        const waiter: Waiting = {
          ...request,
          granted: () => {
            signal?.removeEventListener('abort', leave)
            resolve()
          },
        }
        this.waiting.push(waiter)
        signal?.addEventListener('abort', leave, { once: true })
      })
    } else {
      this.take(request)
    }
    let released = false
    return () => {
      if (released) return
      released = true
      this.giveBack(request)
    }
  }

  get idle(): boolean {
    return this.sharedHeld.size === 0 && this.exclusiveHeld.size === 0 && this.waiting.length === 0
  }

  private free(request: LockRequest, shared: { has(key: string): boolean }, exclusive: { has(key: string): boolean }): boolean {
    for (const key of request.exclusive) if (shared.has(key) || exclusive.has(key)) return false
    for (const key of request.shared) if (exclusive.has(key)) return false
    return true
  }

  private take(request: LockRequest): void {
    for (const key of request.exclusive) this.exclusiveHeld.add(key)
    for (const key of request.shared) this.sharedHeld.set(key, (this.sharedHeld.get(key) ?? 0) + 1)
  }

  private giveBack(request: LockRequest): void {
    for (const key of request.exclusive) this.exclusiveHeld.delete(key)
    for (const key of request.shared) {
      const count = this.sharedHeld.get(key)! - 1
      if (count === 0) this.sharedHeld.delete(key)
      else this.sharedHeld.set(key, count)
    }
    this.grantWaiting()
  }

  /** Grants every waiting request that conflicts neither with a holder nor with an earlier waiter. */
  private grantWaiting(): void {
    const aheadShared = new Set<string>()
    const aheadExclusive = new Set<string>()
    const still: Waiting[] = []
    for (const request of this.waiting) {
      if (this.free(request, this.sharedHeld, this.exclusiveHeld) && this.free(request, aheadShared, aheadExclusive)) {
        this.take(request)
        request.granted()
      } else {
        for (const key of request.shared) aheadShared.add(key)
        for (const key of request.exclusive) aheadExclusive.add(key)
        still.push(request)
      }
    }
    this.waiting = still
  }
}

/** The lock key of a name here. (Of a place on the server: placeKey, places.ts.) */
export function nameKey(folder: Inode, name: string): string {
  return `n${folder.ino}/${name}`
}

/** The lock key of a folder and what is in it. */
export function folderKey(folder: Inode): string {
  return `d${folder.ino}`
}

/** The lock keys of a folder and of all above it, here. (On the server: Places.folderKeys.) */
export function foldersOf(folder: Inode): string[] {
  const keys: string[] = []
  for (let at: Inode | undefined = folder; at !== undefined; at = at.parent) keys.push(folderKey(at))
  return keys
}
