/**
 * Calls to the file system about small files, of which there are thousands. As a rule the system answers from its memory, in
 * microseconds; handing each call to a thread and coming back costs many times that. But where a disk is slow (a network, one that
 * must start to spin), waiting for it here would hold up everything else. So a call is made at once while that is quick, and in
 * a thread for a while after one that was not.
 */

/** Longer than this nobody should wait, milliseconds: hundreds of times what the calls about one file take as a rule. */
const QUICK_MS = 3
/** Until it is tried again. Then one call costs what a slow disk takes, five times a second. */
const THREADS_MS = 200

let threadsUntil = -Infinity

/** @param inThread does the same, without waiting here */
export async function quickly<T>(now: () => T, inThread: () => Promise<T>): Promise<T> {
  const before = performance.now()
  if (before < threadsUntil) return inThread()
  try {
    return now()
  } finally {
    const after = performance.now()
    if (after - before > QUICK_MS) threadsUntil = after + THREADS_MS
  }
}
