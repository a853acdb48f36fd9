/**
 * Waiting until the server's index agrees. The index follows a change by 15 ms to 2.5 s (contract,
 * traps 2, 12), so: look at growing pauses that fit those delays, and at once whenever the
 * event stream names the path. Events alone would be slower (the last one comes a second after the
 * index has it) and may be lost; looking alone would ask too often.
 */
import type { Deadline } from './deadline.js'
import { CellsError } from './errors.js'
import { isWithin } from './names.js'
import type { CellsEvent, CellsNode } from './types.js'

/** Where wake-ups come from (events.ts). */
export interface WakeUps {
  readonly connected: boolean
  /** Calls `listener` for each event until the returned function is called. */
  watch(listener: (event: CellsEvent) => void): () => void
}

/** Milliseconds after the start; then every LAST_PAUSE. Without events, and with them. */
const SCHEDULE = [0, 40, 110, 220, 450, 800, 1070, 1260, 1600, 2100, 2800]
const SCHEDULE_WITH_EVENTS = [0, 60, 250, 1080, 1600, 2300]
const LAST_PAUSE = 1500

/** Whether an event says something about `path`: about itself, or about a folder above it. */
export function touches(event: CellsEvent, path: string): boolean {
  switch (event.type) {
    case 'create': case 'content': case 'meta': return event.node.path === path
    case 'path': return isWithin(path, event.source.path) || isWithin(path, event.target.path)
    case 'delete': return isWithin(path, event.source.path)
    case 'idm': case 'task': return false
  }
}

export interface WaitSpec {
  readonly look: () => Promise<CellsNode | undefined>
  readonly wanted: (node: CellsNode | undefined) => boolean
  readonly wakesOn: (event: CellsEvent) => boolean
  readonly wakeUps: WakeUps
  readonly deadline: Deadline
}

/** For how long a server that cannot be asked is borne with. */
const PATIENCE_MS = 20_000

/** @throws the deadline's reason; what `look` throws, if it is lasting or goes on for long */
export async function waitUntil(spec: WaitSpec): Promise<CellsNode | undefined> {
  const started = Date.now()
  let lastAnswer = started
  let woken = false
  let wake = (): void => {}
  const stop = spec.wakeUps.watch((event) => {
    if (!spec.wakesOn(event)) return
    woken = true
    wake()
  })
  try {
    for (let look = 0; ; look++) {
      const pause = dueAt(look, spec.wakeUps.connected) - (Date.now() - started)
      if (pause > 0 && !woken) {
        await Promise.race([spec.deadline.sleep(pause), new Promise<void>((resolve) => { wake = resolve })])
      }
      spec.deadline.check()
      woken = false
      try {
        const node = await spec.look()
        if (spec.wanted(node)) return node
        lastAnswer = Date.now()
      } catch (error) {
        if (!(error instanceof CellsError) || !error.transient || spec.deadline.signal.aborted || Date.now() - lastAnswer > PATIENCE_MS) throw error
      }
    }
  } finally {
    stop()
  }
}

function dueAt(look: number, connected: boolean): number {
  const schedule = connected ? SCHEDULE_WITH_EVENTS : SCHEDULE
  const last = schedule.length - 1
  const base = look <= last ? (schedule[look] ?? 0) : (schedule[last] ?? 0) + (look - last) * LAST_PAUSE
  // Many waits begin together (a tar of 500 files): spread them.
  return base * (1 + Math.random() * 0.1)
}
