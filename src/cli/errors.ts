/** How a command ends badly: the exit code and the one sentence on stderr (cec-reference 1.5, "wanted"). */
import { AuthError } from '../auth/errors.js'
import { CellsError } from '../cells/errors.js'
import { FsError } from '../fs/errno.js'

/** The command line itself is wrong: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The operation failed for a reason that the command itself can tell best: exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

/** The command has said all there is to say; only the exit code is left. */
export class SilentFailure extends Error {
  override readonly name = 'SilentFailure'
}

export const exitCodeOf = (error: unknown): number => (error instanceof UsageError ? 2 : 1)

/** @inquirer's way to say Ctrl-C; by name, so that the package need not be loaded to recognise it. */
const isPromptExit = (error: unknown): boolean => error instanceof Error && (error.name === 'ExitPromptError' || error.name === 'AbortPromptError')

/** Errors of the mount and its store that carry a sentence; by name, since cec must not load what they come from. */
const KNOWN_NAMES: ReadonlySet<string> = new Set(['MountError', 'StoreError'])

const KNOWN = [AuthError, CellsError, FsError, UsageError, CommandError]

/** One sentence for a person; '' when nothing is to be printed. */
export function sentenceOf(error: unknown): string {
  if (error instanceof SilentFailure) return ''
  if (isPromptExit(error)) return 'aborted by user'
  if (KNOWN.some((known) => error instanceof known)) return (error as Error).message
  if (error instanceof Error && KNOWN_NAMES.has(error.name)) return error.message
  if (error instanceof Error) return `unexpected error: ${error.message.split('\n')[0] ?? error.name}`
  return `unexpected error: ${String(error)}`
}
