/**
 * undici in two portions. All of it (fetch, WebSocket, caches, mocks) takes 80 ms to load, which every command would feel; its
 * connections alone take 20.
 */
import { createRequire } from 'node:module'
import type * as Undici from 'undici'

const load = createRequire(import.meta.url)

/** All of it. From the first call on every dispatcher has `request()`, which without it has `dispatch()` only. */
export const undici = (): typeof Undici => load('undici') as typeof Undici

/** The connections alone. */
export function agentClass(): typeof Undici.Agent {
  try {
    return load('undici/lib/dispatcher/agent.js') as typeof Undici.Agent
  } catch {
    // Its files are its own affair: another version may have them elsewhere.
    return undici().Agent
  }
}
