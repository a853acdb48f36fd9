/** What an operation is, and what most of them answer. */
import { constants } from 'node:os'
import type { Entry } from '../../driver.js'
import type { Call } from '../call.js'
import { SystemError } from '../errors.js'
import type { OpName } from '../protocol.js'
import { emptyReply, entryReply, type Parts } from '../replies.js'
import type { Args } from '../requests.js'
import type { Context } from './context.js'

export interface Answer {
  readonly parts: Parts
  /** Takes back what the reply gives to the kernel, when the kernel did not take it. */
  readonly undo?: () => void
  /** Called when `parts` are not needed any more, whether the kernel took them or not. */
  readonly done?: () => void
}

export interface Operation<N extends OpName> {
  /** Milliseconds that the kernel's caller may wait. A backstop: the engine's own deadlines are shorter. */
  readonly wait: number | ((args: Args<N>, context: Context) => number)
  /** Content in `args` is valid until it settles. */
  run(args: Args<N>, call: Call, context: Context): Promise<Answer>
}

export type Operations = { readonly [N in OpName]?: Operation<N> }

/** An entry, whose lookup the kernel holds from here on. */
export function entryAnswer(context: Context, entry: Entry): Answer {
  context.given(entry)
  return { parts: entryReply(entry), undo: () => context.forget(entry.attr.ino, 1) }
}

export async function nothing(work: Promise<unknown>): Promise<Answer> {
  await work
  return { parts: emptyReply() }
}

/** A 64-bit number from outside that can be counted with. @throws SystemError EFBIG */
export function checked(value: number): number {
  if (!Number.isSafeInteger(value)) throw new SystemError('a number beyond 2^53', constants.errno.EFBIG)
  return value
}
