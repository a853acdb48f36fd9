/**
 * How much memory V8 may take for garbage in a mount, which lives for weeks and knows a hundred thousand files: by itself it lets the heap grow to some
 * times of what is live before it collects, and keeps 32 MB for young objects. Figures: `npm run bench -- memory`, bench/results.
 */
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

/** Half of the room for young objects is empty at any time. For a process that is started with it, megabytes. */
export const YOUNG_HEAP = '--max-semi-space-size=4'
/** The same for one that runs: both halves, bytes. */
const YOUNG_BYTES = 8 * 2 ** 20
const LOOK_MS = 20

/** From now on the room for young objects grows as far as it is good for, and no further. To be called early: it does not become smaller. */
export function keepYoungHeapSmall(): void {
  const look = (): void => {
    if ((getHeapSpaceStatistics().find((it) => it.space_name === 'new_space')?.space_size ?? 0) < YOUNG_BYTES) return
    setFlagsFromString('--semi-space-growth-factor=1')
    clearInterval(timer)
  }
  const timer = setInterval(look, LOOK_MS)
  timer.unref()
  look()
}

/** From now on there is half as much garbage as there is live, at most. To be called when all is loaded: before, it would cost collections. */
export function keepHeapSmall(): void {
  setFlagsFromString('--heap-growing-percent=50')
}
