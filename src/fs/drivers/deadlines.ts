/**
 * How long a request of the kernel may wait for the engine before the program gets ETIMEDOUT: a process that waits for an
 * answer cannot even be killed. These are backstops; the engine's own deadlines are shorter.
 */

/** Milliseconds by the kind of wait. */
export const DEADLINES = {
  metadata: 20_000,
  listing: 120_000,
  data: 60_000,
  /** Server jobs: moving or removing a large folder. */
  change: 180_000,
  /** close and fsync wait until the content is safe; see `saving`. */
  save: 600_000,
} as const

/** Time for a save that has `bytes` to bring to safety: 10 minutes, and more below 512 KiB/s. */
export function saving(bytes: number): number {
  return DEADLINES.save + bytes / 512
}
