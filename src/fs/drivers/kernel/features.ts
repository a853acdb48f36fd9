/**
 * What is agreed on in FUSE_INIT: one table of the kernel's features, with what each is wanted for and
 * where it is not to be trusted. A feature is used when the kernel offers it, the protocol has it since `minor`,
 * and `wanted` says so; all others stay off, those that are unknown here too.
 *
 * Not wanted, on purpose: POSIX_LOCKS and FLOCK_LOCKS (the kernel's own locks work without a request), POSIX_ACL, DONT_MASK (the
 * kernel applies the umask), SETXATTR_EXT, SECURITY_CTX, CREATE_SUPP_GROUP (longer requests for nothing), PASSTHROUGH and
 * OVER_IO_URING (root only, or switched off), REQUEST_TIMEOUT (the kernel would end the whole mount; see session.ts for ours),
 * EXPLICIT_INVAL_DATA (pages must go when size or time changed, also if no notice told), ASYNC_DIO (a program in a direct read
 * could not be killed: the kernel waits for it without a word to us).
 */
import type { InitArgs } from './requests.js'
import { MAJOR, MAX_MINOR, MAX_TRANSFER_BYTES, MIN_MINOR } from './protocol.js'
import type { InitOut } from './layouts.js'

export interface Wishes {
  /** The engine can list with attributes. */
  readonly readdirplus: boolean
  /** The kernel collects writes (see operations/files.ts for the traps). */
  readonly writeback: boolean
}

interface Feature {
  readonly bit: number
  readonly minor: number
  readonly wanted?: (wishes: Wishes) => boolean
}

const FEATURES = {
  /** Reading ahead with several requests at a time. */
  asyncRead: { bit: 0, minor: 6 },
  /** open(O_TRUNC) is one request. */
  atomicTrunc: { bit: 3, minor: 6 },
  /** WRITE above 4 KiB. */
  bigWrites: { bit: 5, minor: 9 },
  /** Pages go when size or mtime changed. */
  autoInvalData: { bit: 12, minor: 20 },
  readdirplus: { bit: 13, minor: 21, wanted: ({ readdirplus }) => readdirplus },
  /** Attributes only for listings whose reader wants them. */
  readdirplusAuto: { bit: 14, minor: 21, wanted: ({ readdirplus }) => readdirplus },
  writeback: { bit: 16, minor: 23, wanted: ({ writeback }) => writeback },
  /** LOOKUP and READDIR of one folder at the same time. */
  parallelDirops: { bit: 18, minor: 25 },
  /** An abort reads as ECONNABORTED, an unmount as ENODEV. */
  abortError: { bit: 21, minor: 27 },
  /** Requests above 128 KiB. */
  maxPages: { bit: 22, minor: 28 },
  cacheSymlinks: { bit: 23, minor: 28 },
  /** setuid bits end here instead of with an extra GETXATTR for each write (operations/killpriv.ts). */
  killprivV2: { bit: 28, minor: 33 },
  /** There are flags above 31. */
  initExt: { bit: 30, minor: 36 },
  expireOnly: { bit: 35, minor: 38 },
  /** mmap(MAP_SHARED) of files that are open for direct I/O. */
  directIoMmap: { bit: 36, minor: 39 },
} as const satisfies Record<string, Feature>

export type FeatureName = keyof typeof FEATURES

/** Requests that nobody waits for (reading ahead), at a time; the kernel's own default of 12 starves a drive with latency. */
const MAX_BACKGROUND = 64
const CONGESTION = 48

export interface Agreement {
  readonly minor: number
  readonly features: ReadonlySet<FeatureName>
  /** FUSE_NOTIFY_INC_EPOCH: all names are asked for again. */
  readonly incEpoch: boolean
  /** Listings may stay with the kernel. */
  readonly cacheFolders: boolean
  /** The body of the reply. */
  readonly reply: ReturnType<typeof InitOut.decode>
}

/** First minor with FUSE_NOTIFY_INC_EPOCH. */
const INC_EPOCH_MINOR = 44

/** Kernel releases whose cache of listings loses or repeats names (GoogleCloudPlatform/gcsfuse#2792): from, and first good one. */
const BROKEN_FOLDER_CACHE = [[6, 9], [6, 13]] as const

function within(release: string, [from, to]: readonly [readonly [number, number], readonly [number, number]]): boolean {
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number)
  const at = major * 1000 + minor
  return at >= from[0] * 1000 + from[1] && at < to[0] * 1000 + to[1]
}

/** Can this kernel be served at all? Undefined: yes. */
export function refusal({ major, minor }: Pick<InitArgs, 'major' | 'minor'>): string | undefined {
  if (major > MAJOR || (major === MAJOR && minor >= MIN_MINOR)) return undefined
  return `The kernel speaks FUSE ${major}.${minor}; ${MAJOR}.${MIN_MINOR} (Linux 5.4) or newer is needed.`
}

/**
 * What to answer to the kernel's offer. `release` is uname(2)'s. A kernel of a newer major is answered with ours, and asks again.
 */
export function negotiate(offer: InitArgs, wishes: Wishes, release: string): Agreement {
  const minor = Math.min(offer.minor, MAX_MINOR)
  const offered = (bit: number): boolean => ((bit < 32 ? offer.flags : offer.flags2) >>> (bit % 32) & 1) === 1
  const features = new Set<FeatureName>()
  let flags = 0
  let flags2 = 0
  for (const [name, { bit, minor: since, wanted }] of Object.entries<Feature>(FEATURES)) {
    // Without INIT_EXT the upper word is not read, and this table has INIT_EXT before what needs it.
    if (minor < since || !offered(bit) || wanted?.(wishes) === false || (bit >= 32 && !features.has('initExt'))) continue
    features.add(name as FeatureName)
    if (bit < 32) flags |= 1 << bit
    else flags2 |= 1 << (bit - 32)
  }
  return {
    minor, features,
    incEpoch: minor >= INC_EPOCH_MINOR,
    cacheFolders: !within(release, BROKEN_FOLDER_CACHE),
    reply: {
      major: MAJOR, minor, maxReadahead: offer.maxReadahead, flags: flags >>> 0, flags2: flags2 >>> 0,
      maxBackground: MAX_BACKGROUND, congestionThreshold: CONGESTION,
      maxWrite: features.has('maxPages') ? MAX_TRANSFER_BYTES : 131_072,
      // Times are exact to the nanosecond.
      timeGran: 1,
      maxPages: features.has('maxPages') ? MAX_TRANSFER_BYTES / 4096 : 0, mapAlignment: 0,
    },
  }
}
