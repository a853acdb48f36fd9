/**
 * Calls to the file system about small files, of which there are thousands. As a rule the system answers from its memory, in
 * microseconds; handing each call to a thread and coming back costs many times that. But where a disk is slow (a network, one that
 * must start to spin), waiting for it here would hold up everything else. So a call is made at once while that is quick, and in
 * a thread for a while when it no longer is.
 */

/** What the calls about one file may take on the average, milliseconds; beyond that threads, of which several run, are faster. */
const QUICK_MS = 0.25
/** Of the latest call in the average. */
const SHARE = 0.1
/** Longer ones count as this: a single one may be the doing of a busy computer. */
const LONGEST_MS = 1
/** Until it is tried again. Then one call costs what a slow disk takes, five times a second. */
const THREADS_MS = 200

let average = 0
let threadsUntil = -Infinity

/** @param inThread does the same, without waiting here */
export async function quickly<T>(now: () => T, inThread: () => Promise<T>): Promise<T> {
  const before = performance.now()
  if (before < threadsUntil) return inThread()
  try {
    return now()
  } finally {
    const after = performance.now()
    average += SHARE * (Math.min(LONGEST_MS, after - before) - average)
    if (average > QUICK_MS) threadsUntil = after + THREADS_MS
  }
}
