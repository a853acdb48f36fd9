/**
 * Questions on the terminal, through @inquirer/prompts, loaded when the first one is asked. They
 * are drawn on stderr, so that stdout holds results only; without a terminal they are usage errors and never a wait.
 */
import type { Prompter } from '../auth/signin.js'
import { UsageError } from './errors.js'

export const hasTerminal = (): boolean => process.stdin.isTTY === true && process.stderr.isTTY === true

/** @param hint which flags make the question unnecessary */
function needTerminal(message: string, hint: string): void {
  if (!hasTerminal()) throw new UsageError(`"${message}" needs an answer and there is no terminal to ask on${hint === '' ? '' : `; ${hint}`}`)
}

/** A Prompter for this process. `hint` completes the sentence when there is no terminal. */
export function terminalPrompter(hint = ''): Prompter {
  const output = { output: process.stderr }
  return {
    async text(message, options = {}) {
      needTerminal(message, hint)
      const { input } = await import('@inquirer/prompts')
      return await input({
        message,
        ...(options.default === undefined ? {} : { default: options.default }),
        validate: (value) => options.check?.(value) ?? true,
      }, output)
    },
    async secret(message) {
      needTerminal(message, hint)
      const { password } = await import('@inquirer/prompts')
      return await password({ message, mask: '*', validate: (value) => value.trim() !== '' || 'Please give a value' }, output)
    },
    async choose(message, choices, current) {
      needTerminal(message, hint)
      const { select } = await import('@inquirer/prompts')
      return await select({ message, choices: [...choices], ...(current === undefined ? {} : { default: current }) }, output)
    },
    async confirm(message) {
      needTerminal(message, hint)
      const { confirm } = await import('@inquirer/prompts')
      return await confirm({ message, default: false }, output)
    },
  }
}
