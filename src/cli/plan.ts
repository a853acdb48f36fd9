/** `--dry-run`: the steps of a transfer as they would be taken, one line each on stdout, and their sum. */
import type { DownloadStep } from '../transfer/download-plan.js'
import type { TransferFailure, TransferReport } from '../transfer/types.js'
import type { UploadStep } from '../transfer/upload-plan.js'
import { print } from './command.js'
import { counted, humanSize } from './human.js'
import { printable } from './table.js'

type Step = UploadStep | DownloadStep

export interface PlannedStep {
  readonly action: 'folder' | 'replace-file' | 'remove' | 'upload' | 'download' | 'same' | 'delete' | 'error'
  readonly source: string | null
  readonly target: string
  /** Bytes; null for what is no file. */
  readonly size: number | null
  readonly error: string | null
}

const NOTHING = { source: null, size: null, error: null }

/** One step as a person, or a program, is told. */
export function describeStep(step: Step): PlannedStep {
  switch (step.kind) {
    case 'remove': return { ...NOTHING, action: 'remove', target: step.path }
    case 'folder': return { ...NOTHING, action: 'replace' in step && step.replace ? 'replace-file' : 'folder', target: step.path }
    case 'file': return 'node' in step
      ? { ...NOTHING, action: 'download', source: step.node.path, target: step.path, size: step.node.size }
      : { ...NOTHING, action: 'upload', source: step.source, target: step.path, size: step.size }
    case 'same': return { ...NOTHING, action: 'same', target: step.path, size: 'node' in step ? step.node.size : step.size }
    case 'extra': {
      const isFolder = 'node' in step ? step.node.kind === 'folder' : step.stats.isDirectory()
      return { ...NOTHING, action: 'delete', target: step.path, size: isFolder ? null : 'node' in step ? step.node.size : step.stats.size }
    }
    case 'failure': return { ...NOTHING, action: 'error', target: step.path, error: step.error.message }
  }
}

export function lineOf(step: PlannedStep): string {
  const size = step.size === null ? '' : ` (${humanSize(step.size)})`
  if (step.source !== null) return `${step.action}: ${printable(step.source)} -> ${printable(step.target)}${size}`
  if (step.action === 'error') return `error: ${printable(step.target)}: ${printable(step.error ?? '')}`
  return `${step.action === 'replace-file' ? 'replace file by folder' : step.action}: ${printable(step.target)}${size}`
}

/** Prints the plan; what would be unchanged is only counted. The report tells what would be done. */
export async function printPlan(plan: AsyncIterable<Step>, json: boolean): Promise<TransferReport> {
  const report = { removals: 0, folders: 0, files: 0, bytes: 0, same: 0, aborted: false }
  const failures: TransferFailure[] = []
  let deletions = 0
  for await (const step of plan) {
    const planned = describeStep(step)
    if (json) print(JSON.stringify({ event: 'plan', ...planned }))
    else if (planned.action !== 'same') print(lineOf(planned))
    if (step.kind === 'remove' || planned.action === 'replace-file') report.removals++
    if (step.kind === 'folder') report.folders++
    else if (step.kind === 'same') report.same++
    else if (step.kind === 'extra') deletions++
    else if (step.kind === 'failure') failures.push(step)
    else if (step.kind === 'file') {
      report.files++
      report.bytes += planned.size ?? 0
    }
  }
  if (!json) {
    const deleted = report.removals + deletions
    print(`Dry run: ${counted(deleted, 'item')} to delete, ${counted(report.folders, 'folder')} to create, ${counted(report.files, 'file')} to transfer (${humanSize(report.bytes)}), ${report.same} unchanged. Nothing was done.`)
  }
  return { ...report, failures }
}
