/**
 * Calls to the file system about small files, of which there are thousands. As a rule the system answers from its memory, in
 * microseconds; handing each call to a thread and coming back costs many times that. But where a disk is slow (a network, one that
 * must start to spin), waiting for it here would hold up everything else. So a call is made at once while that is quick, and in
 * a thread for a while when it no longer is.
 */

/** Longer than this nobody should wait, milliseconds: hundreds of times what the calls about one file take as a rule. */
const QUICK_MS = 3
/** So many in a row are the disk's doing; a single one may be that of a busy computer. */
const SLOW = 2
/** Until it is tried again. Then one call costs what a slow disk takes, five times a second. */
const THREADS_MS = 200

let threadsUntil = -Infinity
let slow = 0

/** @param inThread does the same, without waiting here */
export async function quickly<T>(now: () => T, inThread: () => Promise<T>): Promise<T> {
  const before = performance.now()
  if (before < threadsUntil) return inThread()
  try {
    return now()
  } finally {
    const after = performance.now()
    slow = after - before > QUICK_MS ? slow + 1 : 0
    if (slow >= SLOW) threadsUntil = after + THREADS_MS
  }
}
