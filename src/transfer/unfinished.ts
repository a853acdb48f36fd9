/** A transfer counts as unfinished until it has ended by itself, so that the same command can go on with it. */
import { randomBytes } from 'node:crypto'
import { Leftovers } from './partial.js'
import type { TransferOptions, TransferReport } from './types.js'

/**
 * Runs `work`, with the note that it is under way; the note stays when the work is aborted or the process dies.
 * `work` is told the name of this run and what the runs before may have left behind.
 */
export async function asUnfinished(source: string, target: string, options: TransferOptions, work: (run: string, leftovers: Leftovers) => Promise<TransferReport>): Promise<TransferReport> {
  const run = randomBytes(4).toString('hex')
  const note = await options.state?.begin(source, target, run)
  const report = await work(run, new Leftovers(note?.before ?? []))
  // An error for one item comes again the next time; nobody goes on because of it.
  if (!report.aborted) await note?.record.remove()
  return report
}
