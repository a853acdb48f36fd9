/** `cellsfs status`: all mounts of this user, found through their control sockets. On a terminal it stays and is drawn again. */
import { print, type CecCommand } from '../command.js'
import { declareJson, printJson, wantsJson } from '../json.js'
import type { CecArgv } from '../options.js'
import { allMounts } from './mounts.js'
import { describeMount } from './status-view.js'

const REDRAW_MS = 1_000

async function handler(argv: CecArgv): Promise<void> {
  const verbose = argv['verbose'] === true
  if (wantsJson(argv)) return printJson((await allMounts({ verbose })).map(({ status }) => status))
  if (argv['once'] === true || !process.stdout.isTTY || !process.stdin.isTTY) return print((await view(verbose)).join('\n'))
  await live(verbose)
}

async function view(verbose: boolean): Promise<string[]> {
  const all = await allMounts({ verbose })
  return all.length === 0 ? ['Nothing is mounted.'] : all.flatMap(({ status }, index) => [...(index === 0 ? [] : ['']), ...describeMount(status, { verbose })])
}

/** Until q, Escape or Ctrl-C. */
async function live(verbose: boolean): Promise<void> {
  const { stdin, stdout } = process
  let height = 0
  const draw = (lines: readonly string[]): void => {
    // What does not fit would scroll, and the next drawing would begin at the wrong line.
    const rows = lines.slice(0, Math.max(1, (stdout.rows || 24) - 1)).map((line) => line.slice(0, Math.max(20, (stdout.columns || 80) - 1)))
    stdout.write(`${height > 0 ? `\u001b[${height}A\r` : ''}${rows.map((row) => `${row}\u001b[K\n`).join('')}\u001b[J`)
    height = rows.length
  }
  const wasRaw = stdin.isRaw
  stdin.setRawMode(true)
  stdin.resume()
  stdout.write('\u001b[?25l')
  try {
    await new Promise<void>((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined
      let over = false
      const end = (): void => {
        over = true
        clearTimeout(timer)
        resolve()
      }
      const turn = (): void => {
        view(verbose).then((lines) => {
          if (over) return
          draw([...lines, '', 'q ends this view'])
          timer = setTimeout(turn, REDRAW_MS)
        }, reject)
      }
      stdin.on('data', (keys: Buffer) => { if (/^[qQ\u0003\u0004]|^\u001b$/.test(keys.toString())) end() })
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, end)
      turn()
    })
  } finally {
    stdin.setRawMode(wasRaw)
    stdin.pause()
    stdout.write('\u001b[?25h')
  }
}

export const command: CecCommand = {
  command: 'status',
  describe: 'Show all mounts and what they still have to send',
  builder: (yargs) => declareJson(yargs
    .option('once', { type: 'boolean', describe: 'Print it and end, also on a terminal' })
    .option('verbose', { alias: 'v', type: 'boolean', describe: 'Name every change that is not on the server yet' })),
  handler,
}
