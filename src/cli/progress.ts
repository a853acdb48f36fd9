/**
 * How a transfer shows itself: bars on a terminal (one per running file, a global one on top when
 * there are several items; cec-reference 7.8), lines elsewhere. Everything goes to stderr.
 */
import type { Logger } from '../log.js'
import type { FileTask, PlanCounts, TransferListener } from '../transfer/types.js'
import { counted, humanSize } from './human.js'

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
  readonly logger: Logger
}

export async function createProgress(options: ProgressOptions): Promise<Progress> {
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

const summary = (counts: PlanCounts): string =>
  `${counted(counts.removals, 'item')} to delete, ${counted(counts.folders, 'folder')} to create, ${counted(counts.files, 'file')} to transfer (${humanSize(counts.bytes)})`

/** Columns for the text behind a bar. */
const TEXT = 34
const WIDEST_BAR = 70

async function createBars({ redrawMs, many }: ProgressOptions): Promise<Progress> {
  const { MultiBar } = (await import('cli-progress')).default
  const barsize = Math.max(10, Math.min(WIDEST_BAR, (process.stderr.columns ?? 80) - TEXT - 8))
  const multi = new MultiBar({
    stream: process.stderr,
    format: '{percentage}% [{bar}] {text}',
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
  const overall = many ? multi.create(1, 0, { text: '' }) : undefined
  const files = new Map<number, ReturnType<typeof multi.create>>()

  const showOverall = (): void => {
    if (overall === undefined) return
    overall.setTotal(Math.max(1, total()))
    const more = !counts.complete ? '+' : done >= total() ? ', confirming' : ''
    overall.update(done, { text: `${elapsed()} ${done}/${total()}${more}` })
  }
  const step = (): void => {
    done++
    showOverall()
  }
  const end = (task: FileTask): void => {
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
      files.set(task.id, multi.create(Math.max(1, task.size), 0, { text: shortened(task.label) }))
    },
    onProgress: (task, bytes) => files.get(task.id)?.update(bytes),
    onFinish: task => {
      files.get(task.id)?.update(Math.max(1, task.size))
      end(task)
      step()
    },
    onFailure: (_path, _error, task) => {
      if (task === undefined) return
      files.get(task.id)?.update({ text: `failed: ${shortened(task.label)}` })
      end(task)
      step()
    },
  }
  return {
    listener,
    stop: () => {
      overall?.update(done, { text: counts.complete && done >= total() ? `Done in ${elapsed()}.` : `${elapsed()} ${done}/${total()}` })
      multi.stop()
    },
  }
}

function shortened(label: string): string {
  // A name must not move the cursor.
  const harmless = [...label.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?')]
  return harmless.length <= TEXT ? harmless.join('') : `${harmless.slice(0, TEXT - 1).join('')}…`
}
