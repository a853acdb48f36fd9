/** `cec completion bash|zsh|fish`: prints a script for the shell (cec-reference 11.5). */
import type { CecCommand } from './command.js'
import { print } from './command.js'

const SHELLS = ['bash', 'zsh', 'fish'] as const

export const command: CecCommand = {
  command: 'completion <shell>',
  describe: 'Print the completion script for bash, zsh or fish',
  builder: yargs => yargs.positional('shell', { type: 'string', choices: SHELLS, describe: 'bash, zsh or fish' }),
  handler: async argv => {
    const [scripts, { completionEntries }] = await Promise.all([import('./completion-scripts.js'), import('./completion-words.js')])
    const shell = SHELLS.find(each => each === argv['shell']) ?? 'bash'
    print(scripts[shell](await completionEntries()))
  },
}
