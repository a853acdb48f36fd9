/** What the engine sent to the server and when: to tell what the second client can have met, and what nobody could know. */
import type { CellsServer, PutOptions } from '../../cells/server.js'
import type { Work } from './model.testing.js'
import { isBelow } from './world.testing.js'

interface Call {
  readonly paths: readonly string[]
  readonly began: number
  ended: number
}

/** On top of the index delay: a check and the change that relies on it are two requests. */
const SLACK_MS = 60

export class Wire {
  /** md5s of contents that were sent, or may have been. */
  readonly sent = new Set<string>()
  private calls: Call[] = []

  /** The same server, watched. */
  watch(server: CellsServer, remote: string): CellsServer {
    const below = (path: string): string => path.startsWith(`${remote}/`) ? path.slice(remote.length + 1) : path
    const timed = <T>(paths: readonly string[], work: () => Promise<T>): Promise<T> => {
      const call: Call = { paths: paths.map(below), began: performance.now(), ended: Infinity }
      this.calls.push(call)
      return work().finally(() => { call.ended = performance.now() })
    }
    const watched: Partial<CellsServer> = {
      put: (path, body, size, options?: PutOptions) => {
        if (options?.md5 !== undefined) this.sent.add(options.md5)
        return timed([path], () => server.put(path, body, size, options))
      },
      move: (source, target, options) => timed([source, target], () => server.move(source, target, options)),
      remove: (paths, options) => timed(paths, () => server.remove(paths, options)),
      removeObject: (path, options) => timed([path], () => server.removeObject(path, options)),
      multipartComplete: (path, id, parts, options) => timed([path], () => server.multipartComplete(path, id, parts, options)),
    }
    return new Proxy(server, {
      get: (target, name) => {
        const member = (watched as Record<string | symbol, unknown>)[name] ?? Reflect.get(target, name) as unknown
        return typeof member === 'function' && !(name in watched) ? (member as (...parameters: unknown[]) => unknown).bind(target) : member
      },
    })
  }

  /** Is something of the path, or around it, on its way to the server? */
  busy(path: string): boolean {
    return this.calls.some((call) => call.ended === Infinity && call.paths.some((it) => it === path || isBelow(it, path) || isBelow(path, it)))
  }

  /**
   * A change of ours went over a content that the server did not show yet, or took within the same moment: no client can tell (the
   * server has no conditional write).
   */
  couldNotKnow(work: Work, indexDelayMs: number): boolean {
    const about = (path: string): boolean => [work.path, ...work.was ?? []].some((it) => path === it || isBelow(path, it) || isBelow(it, path))
    return this.calls.some((call) => call.ended > work.at - SLACK_MS && call.began < work.at + 2 * indexDelayMs + SLACK_MS && call.paths.some(about))
  }

  forget(): void {
    this.calls = this.calls.filter((it) => it.ended === Infinity)
  }
}
