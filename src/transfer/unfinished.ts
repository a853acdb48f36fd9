/** A transfer of a tree counts as unfinished until it has ended by itself, so that the same command can go on with it. */
import type { TransferOptions, TransferReport } from './types.js'

/** Runs `work`, with the note that it is under way; the note stays when the work is aborted or the process dies. */
export async function asUnfinishedTree(source: string, target: string, options: TransferOptions, work: () => Promise<TransferReport>): Promise<TransferReport> {
  const note = await options.state?.beginTree(source, target)
  const report = await work()
  // An error for one item comes again the next time; nobody goes on because of it.
  if (!report.aborted) await note?.remove()
  return report
}
