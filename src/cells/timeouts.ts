/**
 * How long each kind of call may take, in milliseconds. Nothing waits without an end: the real
 * server simply never answers some requests (contract, trap 10), and a program that waits
 * inside a mount cannot even be killed. A deadline covers a call with all its retries.
 */
export const TIMEOUTS = {
  /** Opening a TCP or TLS connection. */
  connect: 10_000,
  /** One stat: 15 ms on an idle server, seconds while it indexes a burst. */
  stat: 15_000,
  /** One page of a listing; 2,000 entries took up to 11 s on a busy server. A program that lists what nobody knows yet waits for it. */
  page: 30_000,
  /** The S3 listing of a folder (30-200 ms when idle). */
  s3List: 30_000,
  /** One folder; the server does not answer at all when a file has that name. */
  mkdir: 15_000,
  /** Asking for a job. */
  startJob: 30_000,
  /** A job of the server from start to end; a big copy takes its time. */
  job: 600_000,
  /** Until the index shows a change that has been accepted (1-2.5 s when idle). */
  index: 30_000,
  /** Until the headers of a GET. */
  objectHeaders: 30_000,
  /** A body, in either direction, without a single byte. */
  stall: 30_000,
  /** From the last byte of an upload to the answer, for a small body. */
  putAnswer: 60_000,
  /** S3 calls without a body of note: DELETE, initiate, abort. */
  objectCall: 30_000,
  /** Complete a multipart upload: the server joins the parts first. */
  complete: 300_000,
  /** Calls of administration and about shares: 0.1-0.5 s on a real server. */
  admin: 30_000,
  /** Discovery and the like. */
  probe: 10_000,
} as const

/** Slowest transfer rate that is still taken for progress, bytes per second. */
const SLOWEST_RATE = 32 * 1024

/** Deadline of a PUT of `size` bytes: what the answer may take plus the slowest acceptable transfer. */
export function putTimeout(size: number): number {
  return TIMEOUTS.putAnswer + Math.ceil((size / SLOWEST_RATE) * 1000)
}
