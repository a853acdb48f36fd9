/**
 * undici in two portions. All of it (fetch, WebSocket, caches, mocks) takes 80 ms to load, which every command would feel; its
 * connections alone take 20.
 */
import { createRequire } from 'node:module'
import type * as Undici from 'undici'

const load = createRequire(import.meta.url)

/** All of it. From the first call on every dispatcher has `request()`, which without it has `dispatch()` only. */
export const undici = (): typeof Undici => load('undici') as typeof Undici

/** `request()` over the connections alone: what a sign-in needs. */
export function requestAlone(): typeof Undici.request {
  try {
    const request = load('undici/lib/api/api-request.js') as (this: Undici.Dispatcher, options: unknown) => Promise<Undici.Dispatcher.ResponseData>
    return ((url: string, { dispatcher, ...options }: { dispatcher: Undici.Dispatcher; method?: string }) => {
      const { origin, pathname, search } = new URL(url)
      return request.call(dispatcher, { method: 'GET', ...options, origin, path: pathname + search })
    }) as unknown as typeof Undici.request
  } catch {
    return undici().request
  }
}

/** The connections alone. */
export function agentClass(): typeof Undici.Agent {
  try {
    return load('undici/lib/dispatcher/agent.js') as typeof Undici.Agent
  } catch {
    // Its files are its own affair: another version may have them elsewhere.
    return undici().Agent
  }
}
