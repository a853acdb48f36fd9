/**
 * `cellsfs demo`: the embedded server in this process, a mount of it in a process of its own (a process must not use its own
 * mount), and a line for each thing that happens.
 */
import { mkdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { DemoServer } from '../../demo/index.js'
import { SAMPLE_LOGINS } from '../../demo/auth/users.js'
import { createLogger } from '../../log.js'
import { checkFuse, checkMountpoint } from '../../fs/mountpoint.js'
import { dataHome } from '../../paths.js'
import { print, type CecCommand } from '../command.js'
import { CommandError, UsageError } from '../errors.js'
import { parseLevel } from '../logger.js'
import { resolveGlobals, type CecArgv, type GlobalOptions } from '../options.js'
import { startWorker, type Worker } from './background.js'
import { followChanges } from './demo-events.js'

/** Taken when it is free, so that the address and the kept state of the drive are the same at the next start. */
const USUAL_PORT = 8190
const LOGIN = 'alice'

interface DemoFlags {
  readonly mountpoint: string | undefined
  readonly dataDir: string
  readonly port: number | undefined
  readonly latencyMs: number
  readonly version: 2 | 4 | 5
  readonly json: boolean
}

function demoFlags(argv: CecArgv): DemoFlags {
  const serverOnly = argv['server-only'] === true
  if (serverOnly && argv['mountpoint'] !== undefined) throw new UsageError('--server-only and --mountpoint exclude each other')
  return {
    mountpoint: serverOnly ? undefined : resolve((argv['mountpoint'] as string | undefined) ?? 'drive'),
    dataDir: resolve((argv['data'] as string | undefined) ?? join(dataHome(), 'demo')),
    port: wholeNumber(argv, 'port', 65_535),
    latencyMs: wholeNumber(argv, 'latency', 60_000) ?? 0,
    version: Number(argv['server-version']) as 2 | 4 | 5,
    json: argv['json'] === true,
  }
}

function wholeNumber(argv: CecArgv, name: string, most: number): number | undefined {
  const value = argv[name] as number | undefined
  if (value !== undefined && (!Number.isInteger(value) || value < 0 || value > most)) throw new UsageError(`--${name} needs a whole number up to ${most}`)
  return value
}

async function startServer(flags: DemoFlags, globals: GlobalOptions): Promise<DemoServer> {
  const { startDemoServer } = await import('../../demo/index.js')
  const start = (port: number): Promise<DemoServer> => startDemoServer({
    dataDir: flags.dataDir, port, latencyMs: flags.latencyMs, serverVersion: flags.version, sampleContent: true,
    logger: createLogger(parseLevel(globals.log) === 'debug' ? 'debug' : 'warn', (line) => process.stderr.write(line)),
  })
  try {
    return await start(flags.port ?? USUAL_PORT)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EADDRINUSE') throw error
    if (flags.port === undefined) return start(0)
    throw new CommandError(`port ${flags.port} is in use by another program`)
  }
}

/** How our programs are called here: by name when installed, else by their file. */
function program(name: 'cec' | 'cellsfs'): string {
  const own = process.argv[1] ?? ''
  return own.endsWith('.js') ? `node ${join(dirname(own), `${name}.js`)}` : name
}

function introduce(url: string, login: string, password: string, mountpoint: string | undefined): string {
  const account = `CEC_URL=${url} CEC_LOGIN=${login} CEC_PASSWORD=${password}`
  return [
    '',
    `  Server    ${url}`,
    `  Sign in   ${login} / ${password}   (also ${SAMPLE_LOGINS.filter((each) => each.login !== login).map((each) => `${each.login} / ${each.password}`).join(', ')})`,
    ...(mountpoint === undefined ? [] : [`  Drive     ${mountpoint}`]),
    '',
    '  In another terminal:',
    '',
    ...(mountpoint === undefined
      ? [`    ${account} ${program('cellsfs')} mount DIR`]
      : [`    cd ${mountpoint} && ls -l *`, '    cp ~/some/file personal-files/   # or vim, git, tar, rsync ...', '    getfattr -d personal-files/*     # package attr: what the server knows about a file']),
    `    export ${account}`,
    `    ${program('cec')} ls personal-files`,
    '',
    '  Ctrl-C ends it; everything is kept.',
    '',
  ].join('\n')
}

/** Resolves at the first SIGINT, SIGTERM or SIGHUP; a second one ends the process. */
function askedToStop(): Promise<void> {
  return new Promise((resolve) => {
    let asked = false
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (asked) process.exit(1)
        asked = true
        resolve()
      })
    }
  })
}

async function handler(argv: CecArgv): Promise<void> {
  const flags = demoFlags(argv)
  const globals = resolveGlobals(argv)
  if (flags.mountpoint !== undefined) {
    await mkdir(flags.mountpoint, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
      // A dead mount of an earlier run; checkMountpoint cleans it away. Other causes it tells better.
      if (error.code === 'EACCES' || error.code === 'EROFS') throw new CommandError(`${flags.mountpoint} cannot be made: ${error.code}`)
    })
    await checkMountpoint(flags.mountpoint)
    await checkFuse({ allowOther: false })
  }
  const stop = askedToStop()
  const server = await startServer(flags, globals)
  const { password } = SAMPLE_LOGINS.find(({ login }) => login === LOGIN)!
  let worker: Worker | undefined
  try {
    if (flags.mountpoint !== undefined) {
      worker = await startWorker({
        attached: true,
        settings: {
          globals: { ...globals, url: server.url, token: '', login: LOGIN, password },
          account: '', credentials: '', remote: '', mountpoint: flags.mountpoint, allowOther: false, readOnly: false, noExec: false, cacheDir: '', logFile: '',
        },
      })
    }
    const { url } = server
    if (worker?.note !== undefined) process.stderr.write(`WARN\t${worker.note}\n`)
    if (flags.json) print(JSON.stringify({ url, login: LOGIN, password, mountpoint: worker?.mountpoint ?? null }))
    else print(introduce(url, LOGIN, password, worker?.mountpoint))
    // With --json stdout is for programs.
    const say = (line: string): void => { (flags.json ? process.stderr : process.stdout).write(`${line}\n`) }
    const changes = followChanges(url, LOGIN, password, say)
    const gone = worker === undefined ? new Promise<never>(() => {}) : ended(worker)
    const early = await Promise.race([stop.then(() => undefined), gone])
    const closed = changes.close()
    if (early !== undefined) say('The drive was unmounted.')
    else if (worker !== undefined) say('Saving and unmounting ...')
    await closed
  } finally {
    // First the drive, which still has things to send, then the server.
    const code = await (worker === undefined ? 0 : endWorker(worker))
    await server.close()
    if (code !== 0) throw new CommandError('not everything could be saved (see above)')
  }
}

function ended({ process: child }: Worker): Promise<number> {
  if (child.exitCode !== null) return Promise.resolve(child.exitCode)
  return new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)))
}

async function endWorker(worker: Worker): Promise<number> {
  const end = ended(worker)
  if (worker.process.exitCode === null) worker.process.kill('SIGTERM')
  return end
}

export const command: CecCommand = {
  command: 'demo',
  describe: 'Start the embedded server with sample content and mount it',
  builder: (yargs) => yargs
    .option('mountpoint', { type: 'string', requiresArg: true, describe: 'Where the drive appears, made if need be', defaultDescription: './drive' })
    .option('server-only', { type: 'boolean', describe: 'No drive' })
    .option('data', { type: 'string', requiresArg: true, describe: 'Folder that keeps the content', defaultDescription: 'below $XDG_DATA_HOME' })
    .option('port', { type: 'number', requiresArg: true, describe: 'Port on the loopback address; 0 for any', defaultDescription: `${USUAL_PORT} if free` })
    .option('latency', { type: 'number', requiresArg: true, describe: 'Milliseconds added to each request', defaultDescription: '0' })
    .option('server-version', { type: 'string', choices: ['2', '4', '5'], requiresArg: true, default: '2', describe: 'Generation of Cells to behave like' })
    .option('json', { type: 'boolean', describe: 'First line: {"url","login","password","mountpoint"}; all else goes to stderr' }),
  handler,
}
