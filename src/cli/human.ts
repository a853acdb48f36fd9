/** Sizes and dates for people, worded as cec words them (cec-reference 1.7). */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']

/** `1.3 MiB`, `442 KiB`, `12 B`; `-` for what is no size. */
export function humanSize(bytes: number): string {
  if (!Number.isFinite(bytes) || bytes < 0) return '-'
  if (bytes < 10) return `${Math.floor(bytes)} B`
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  const tenths = Math.round(value * 10) / 10
  const text = unit > 0 && tenths < 10 ? tenths.toFixed(1) : Math.round(tenths).toFixed(0)
  return `${text} ${UNITS[unit] ?? ''}`
}

const MINUTE = 60
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const WEEK = 7 * DAY
const MONTH = 30 * DAY
const YEAR = 12 * MONTH

/** Below `limit` seconds, `text`; `%` is the number of whole `unit`s. */
const STEPS: readonly { limit: number; text: string; unit: number }[] = [
  { limit: 2, text: '1 second', unit: 1 },
  { limit: MINUTE, text: '% seconds', unit: 1 },
  { limit: 2 * MINUTE, text: '1 minute', unit: 1 },
  { limit: HOUR, text: '% minutes', unit: MINUTE },
  { limit: 2 * HOUR, text: '1 hour', unit: 1 },
  { limit: DAY, text: '% hours', unit: HOUR },
  { limit: 2 * DAY, text: '1 day', unit: 1 },
  { limit: WEEK, text: '% days', unit: DAY },
  { limit: 2 * WEEK, text: '1 week', unit: 1 },
  { limit: MONTH, text: '% weeks', unit: WEEK },
  { limit: 2 * MONTH, text: '1 month', unit: 1 },
  { limit: YEAR, text: '% months', unit: MONTH },
  { limit: 18 * MONTH, text: '1 year', unit: 1 },
  { limit: 2 * YEAR, text: '2 years', unit: 1 },
  { limit: Infinity, text: '% years', unit: YEAR },
]

/**
 * `3 hours ago`, `now`; `-` for what is no date.
 *
 * @param seconds since the epoch
 * @param now milliseconds since the epoch
 */
export function humanDate(seconds: number, now: number = Date.now()): string {
  if (!Number.isFinite(seconds) || seconds <= 0) return '-'
  const distance = Math.floor(now / 1000) - Math.floor(seconds)
  const away = Math.abs(distance)
  if (away < 1) return 'now'
  const step = STEPS.find(({ limit }) => away < limit)
  const text = (step?.text ?? '').replace('%', String(Math.floor(away / (step?.unit ?? 1))))
  return distance > 0 ? `${text} ago` : `${text} from now`
}

/** `1 file`, `2 files`. */
export const counted = (count: number, one: string, many: string = `${one}s`): string => `${count} ${count === 1 ? one : many}`
