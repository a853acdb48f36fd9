/**
 * How a transfer shows itself: bars on a terminal (one per running file, a global one on top when
 * there are several items; cec-reference 7.8), lines elsewhere. Everything goes to stderr.
 */
import type { Logger } from '../log.js'
import type { FileTask, PlanCounts, TransferListener } from '../transfer/types.js'
import { explain } from '../transfer/run.js'
import { counted, humanSize } from './human.js'
import { RateMeter } from './rate.js'

export interface Progress {
  readonly listener: TransferListener
  /** Takes the bars off the screen or completes them; to be called in any case. */
  stop(): void
}

export interface ProgressOptions {
  /** Bars are wanted; they are drawn only if stderr is a terminal. */
  readonly bars: boolean
  readonly redrawMs: number
  readonly many: boolean
  readonly json: boolean
  readonly logger: Logger
}

export async function createProgress(options: ProgressOptions): Promise<Progress> {
  if (options.json) return { listener: jsonEvents(), stop: () => {} }
  return options.bars && process.stderr.isTTY ? createBars(options) : createLines(options.logger, options.many)
}

function createLines(logger: Logger, many: boolean): Progress {
  const listener: TransferListener = {
    onPlan: counts => {
      if (counts.complete && many) logger.info(summary(counts))
    },
    onStep: (kind, path) => logger.debug(kind === 'folder' ? `made the folder ${path}` : `removed ${path}`),
    onStart: task => logger.debug(`started ${task.source} to ${task.target}`, { size: task.size }),
    onFinish: task => logger.debug(`sent ${task.source}`),
    onFailure: (path, error) => logger.debug(`failed ${path}`, { error }),
    onDetail: message => logger.debug(message),
  }
  return { listener, stop: () => {} }
}

/** Milliseconds between two progress events of a file. */
const PROGRESS_MS = 1000

/** Events as lines of JSON on stdout (docs/json.md). */
function jsonEvents(): TransferListener {
  const emit = (event: string, facts: Record<string, unknown>): void => {
    process.stdout.write(`${JSON.stringify({ event, ...facts })}\n`)
  }
  const told = new Map<number, number>()
  return {
    onPlan: counts => {
      if (counts.complete) emit('counts', { removals: counts.removals, folders: counts.folders, files: counts.files, bytes: counts.bytes })
    },
    onStep: (kind, path) => emit(kind, { path }),
    onSame: path => emit('same', { path }),
    onStart: task => {
      told.set(task.id, performance.now())
      emit('start', { id: task.id, source: task.source, target: task.target, size: task.size })
    },
    onProgress: (task, bytes) => {
      const now = performance.now()
      if (now - (told.get(task.id) ?? 0) < PROGRESS_MS) return
      told.set(task.id, now)
      emit('progress', { id: task.id, bytes })
    },
    onFinish: task => {
      told.delete(task.id)
      emit('sent', { id: task.id })
    },
    onFailure: (path, error, task) => emit('failure', { id: task?.id ?? null, path, message: explain(error) }),
  }
}

const summary = (counts: PlanCounts): string =>
  `${counted(counts.removals, 'item')} to delete, ${counted(counts.folders, 'folder')} to create, ${counted(counts.files, 'file')} to transfer (${humanSize(counts.bytes)})`

/** Bars of files at a time; more small files than that may be on their way. */
const MOST_BARS = 3
/** Of many files, one gets a bar of its own when it has been on its way so long: those that are gone at once would only flicker. */
const BAR_AFTER_MS = 500
/** Columns for the text behind a bar. */
const TEXT = 34
/** Columns for a rate and a time left. */
const RATE = 24
const WIDEST_BAR = 70

async function createBars({ redrawMs, many }: ProgressOptions): Promise<Progress> {
  const { MultiBar } = (await import('cli-progress')).default
  const barsize = Math.max(10, Math.min(WIDEST_BAR, (process.stderr.columns ?? 80) - TEXT - RATE - 8))
  const multi = new MultiBar({
    stream: process.stderr,
    format: '{percentage}% [{bar}] {text}{rate}',
    barsize,
    formatBar: progress => {
      const filled = Math.floor(progress * barsize)
      return filled >= barsize ? '='.repeat(barsize) : `${'='.repeat(filled)}>`.padEnd(barsize, '-')
    },
    fps: 1000 / redrawMs,
    hideCursor: true,
    clearOnComplete: false,
    gracefulExit: false,
    emptyOnZero: true,
    formatValue: (value, _options, type) => (type === 'percentage' ? String(value).padStart(3) : String(value)),
  })
  const started = performance.now()
  let counts: PlanCounts = { removals: 0, folders: 0, files: 0, bytes: 0, complete: false }
  let done = 0
  const total = (): number => counts.removals + counts.folders + counts.files
  const elapsed = (): string => `${((performance.now() - started) / 1000).toFixed(1)}s`
  const overall = many ? multi.create(1, 0, { text: '', rate: '' }) : undefined
  const files = new Map<number, ReturnType<typeof multi.create>>()
  const meters = new Map<number, RateMeter>()
  const begun = new Map<number, number>()
  const whole = new RateMeter()

  const showOverall = (): void => {
    if (overall === undefined) return
    overall.setTotal(Math.max(1, total()))
    const more = !counts.complete ? '+' : done >= total() ? ', confirming' : ''
    overall.update(done, { text: `${elapsed()} ${done}/${total()}${more}`, rate: done >= total() ? '' : whole.text(counts.bytes) })
  }
  const step = (): void => {
    done++
    showOverall()
  }
  const addBar = (task: FileTask): void => {
    if (files.size < MOST_BARS) files.set(task.id, multi.create(Math.max(1, task.size), 0, { text: shortened(task.label), rate: '' }))
  }
  const end = (task: FileTask): void => {
    meters.delete(task.id)
    begun.delete(task.id)
    const bar = files.get(task.id)
    if (bar === undefined) return
    files.delete(task.id)
    // The only bar of a single file stays and shows 100 %.
    if (many) multi.remove(bar)
  }
  const listener: TransferListener = {
    onPlan: now => {
      counts = now
      showOverall()
    },
    onStep: step,
    onStart: task => {
      meters.set(task.id, new RateMeter())
      begun.set(task.id, performance.now())
      if (!many) addBar(task)
    },
    onProgress: (task, bytes) => {
      const meter = meters.get(task.id)
      if (meter === undefined) return
      whole.add(meter.reach(bytes))
      if (!files.has(task.id) && performance.now() - (begun.get(task.id) ?? Infinity) >= BAR_AFTER_MS) addBar(task)
      files.get(task.id)?.update(bytes, { rate: meter.text(task.size) })
      showOverall()
    },
    onFinish: task => {
      whole.add(meters.get(task.id)?.reach(task.size) ?? 0)
      files.get(task.id)?.update(Math.max(1, task.size), { rate: '' })
      end(task)
      step()
    },
    onFailure: (_path, _error, task) => {
      if (task === undefined) return
      files.get(task.id)?.update({ text: `failed: ${shortened(task.label)}`, rate: '' })
      end(task)
      step()
    },
  }
  return {
    listener,
    stop: () => {
      overall?.update(done, { rate: '', text: counts.complete && done >= total() ? `Done in ${elapsed()}.` : `${elapsed()} ${done}/${total()}` })
      multi.stop()
    },
  }
}

function shortened(label: string): string {
  // A name must not move the cursor.
  const harmless = [...label.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?')]
  return harmless.length <= TEXT ? harmless.join('') : `${harmless.slice(0, TEXT - 1).join('')}…`
}
