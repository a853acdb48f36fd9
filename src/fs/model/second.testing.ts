/** The second client: changes the tree on the server, where our changes may or may not have arrived. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Digester, compareWithNode } from '../../cells/digest.js'
import { type Model, Mismatch } from './model.testing.js'
import { INDEX_DELAY_MS, md5, type Site } from './site.testing.js'
import type { Wire } from './wire.testing.js'
import { isBelow, parentOf, type World } from './world.testing.js'

export interface SecondDeps {
  readonly site: Site
  readonly model: Model
  readonly wire: Wire
  readonly remote: string
  /** The content, or the place, of this node was changed. */
  readonly onNode: (id: number) => void
}

export class SecondClient {
  private readonly deps: SecondDeps
  /** Until the server shows what was done. */
  private arriving: Promise<unknown>[] = []

  constructor(deps: SecondDeps) {
    this.deps = deps
  }

  /** Resolves when the server shows everything that was done here. */
  async arrived(): Promise<void> {
    const all = this.arriving
    this.arriving = []
    await Promise.all(all)
  }

  /** The same, and long enough for anybody who asks the server to know. */
  async settled(): Promise<void> {
    await this.arrived()
    await new Promise((resolve) => setTimeout(resolve, 3 * INDEX_DELAY_MS + 60))
  }

  async dropBlocks(state: string): Promise<void> {
    await rm(join(state, 'cache'), { recursive: true, force: true })
  }

  private path(path: string): string {
    return `${this.deps.remote}/${path}`
  }

  /** Runs a change; where it meets one of ours, it may fail. */
  private async act(paths: readonly string[], request: () => Promise<unknown>, work: (world: World) => void): Promise<boolean> {
    const { model } = this.deps
    await this.arrived()
    const certain = model.theyWill(paths)
    for (const path of paths) this.touch(path)
    try {
      await request()
    } catch (error) {
      if (certain) throw new Mismatch(`the second client was refused: ${(error as Error).message}`)
      return false
    }
    model.theyDid(paths, work)
    return true
  }

  private touch(path: string): void {
    for (const [name, id] of this.deps.model.newest.names) if (name === path || isBelow(name, path)) this.deps.onNode(id)
  }

  /** Contents that the second client replaces or removes at or below a path: all of its own, ours if they have arrived. */
  private release(there: string, meets: boolean): void {
    const { model, wire } = this.deps
    for (const path of model.namesHere(there)) {
      const busy = wire.busy(path)
      for (const [key, work] of model.work) {
        if (work.path !== path && !isBelow(work.path, path)) continue
        if (!meets || work.who !== 'we' || busy || model.theirOwn.has(key) || wire.sent.has(md5(Buffer.from(key, 'latin1')))) model.work.delete(key)
      }
      if (meets) model.partial.add(path)
    }
  }

  /** A request that replaces or removes: what of ours is sent while it is under way may be there first. */
  private async taking(path: string, request: () => Promise<unknown>): Promise<void> {
    const meets = this.deps.model.isLoose(path)
    this.release(path, meets)
    await request()
    if (meets) this.release(path, meets)
  }

  async put(path: string, data: Buffer): Promise<void> {
    const { model, site } = this.deps
    const { newest } = model
    const present = newest.at(path)
    if (newest.at(parentOf(path))?.type !== 'folder' || (present !== undefined && present.type !== 'file')) return
    const id = model.ids.next()
    model.everKnown.add(data.toString('latin1'))
    await this.act([path], async () => {
      await this.taking(path, () => site.other.put(this.path(path), async function* () { yield await Promise.resolve(data) }, data.length))
      model.acknowledged('they', path, data)
      this.arriving.push(this.shown(path, data))
    }, (world) => {
      const node = world.at(path)
      world.names.set(path, node?.id ?? id)
      world.nodes.set(node?.id ?? id, { id: node?.id ?? id, type: 'file', content: data, mode: undefined, mtime: undefined })
    })
  }

  private async shown(path: string, data: Buffer): Promise<void> {
    const digester = new Digester()
    digester.update(data)
    const digest = digester.finish()
    // Or something else, if we were faster.
    await this.deps.site.other.waitFor(this.path(path), (node) => node === undefined || compareWithNode(digest, node) === 'same', { timeoutMs: 5_000 }).catch(() => {})
  }

  async remove(path: string): Promise<void> {
    const { model, site } = this.deps
    if (model.newest.at(path) === undefined) return
    await this.act([path], async () => {
      await this.taking(path, () => site.other.remove([this.path(path)]))
    }, (world) => world.removeTree(path))
  }

  async move(from: string, to: string): Promise<void> {
    const { model, site } = this.deps
    const { newest } = model
    const free = newest.at(to) === undefined && newest.at(parentOf(to))?.type === 'folder' && from !== to && !isBelow(to, from)
    // Onto a name that is taken the server makes another one: only where it is surely free.
    if (!free || newest.at(from) === undefined || model.meets([from, to])) return
    await this.act([from, to], async () => {
      await site.other.move(this.path(from), this.path(to))
      model.workMoved('they', from, to)
      model.theyMoved(from, to)
    }, (world) => world.rename(from, to))
  }

  async mkdir(path: string): Promise<void> {
    const { model, site } = this.deps
    if (model.newest.at(path) !== undefined || model.newest.at(parentOf(path))?.type !== 'folder') return
    // Onto a file's name the server never answers.
    if (model.meets([path])) return
    const id = model.ids.next()
    await this.act([path], async () => {
      await site.other.mkdir([this.path(path)])
      // Or not, if we took the folder around it away.
      this.arriving.push(site.other.waitFor(this.path(path), (node) => node !== undefined, { timeoutMs: 5_000 }).catch(() => {}))
    }, (world) => world.create(path, { id, type: 'folder', content: Buffer.alloc(0), mode: undefined, mtime: undefined }))
  }
}
