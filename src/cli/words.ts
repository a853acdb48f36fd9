/** Commands that take any number of paths: `<path..>`. */
import type { Argv } from 'yargs'
import type { CecArgv } from './options.js'

/**
 * A variadic <path..> keeps its last word only, since repeated flags are parsed as "the last one wins"; so the further
 * paths are let through as extra words, while unknown flags stay errors.
 */
export const declareWords = (yargs: Argv, usage: string, describe: string): Argv => yargs
  .usage(usage)
  .strict(false)
  .strictOptions()
  .positional('path', { type: 'string', describe: `${describe}; there may be several` })

/** All of them; `skip` words belong to the command itself. */
export const wordsOf = (argv: CecArgv, skip = 1): string[] => [argv['path'], ...(argv['_'] as unknown[]).slice(skip)].map(String)
