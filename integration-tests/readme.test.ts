/**
 * Every command that README.md shows is run here, in its order, and prints what README.md says.
 *
 * A ```console block has lines `$ command` and, below each, what it prints. `...` stands for text that changes, a line of only `...` for
 * any lines. Runs of spaces and dashes count as one, since the width of a table depends on what is in it. `^C` is
 * where the reader interrupts a command. The few that are not run here stand in NOT_RUN with the reason.
 *
 * README's reader works at http://localhost:8190 as /home/you; the test has another port and another home.
 */
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openFolder } from './helpers/folders.js'
import { CEC, CELLSFS, realServer } from './helpers/mount.js'
import { has, missing } from './helpers/suite.js'
import { onScreen } from './helpers/screen.js'

const NOT_RUN: ReadonlyMap<string, string> = new Map([
  ['npm run demo', 'its set-up belongs to a fresh clone; `cellsfs demo`, which is the rest of it, is run here and in cellsfs.test.ts'],
  ['npm test', 'it is what runs this test'],
  ['sudo apt-get update && sudo apt-get install -y fuse3', 'changes the machine; ordinary-user.test.ts checks that set-up says it'],
  ['npm run setup && npm install -g .', 'changes the machine'],
  ['vim Welcome.md', 'waits for a person; mount-editors.test.ts saves with vim'],
  ['CELLS_URL=https://files.example.com CELLS_LOGIN=alice CELLS_PASSWORD=... npm test -- mount', 'needs a server that this test does not have'],
  ['CELLS_URL=https://files.example.com CELLS_LOGIN=alice CELLS_PASSWORD=... npm run bench -- real', 'needs a server that this test does not have'],
  ['npm run bench -- demo --latency 25', 'takes minutes; figures are no matter of tests'],
  ['npm run bench -- driver', 'takes minutes; figures are no matter of tests'],
])
/** Programs that set-up does not install: their commands are left out where they are missing. */
const OPTIONAL = ['getfattr', 'git', 'script'] as const
const TERMINAL: ReadonlySet<string> = new Set(['cec config add oauth'])

const STEP_MS = 60_000
const URL_OF_README = 'http://localhost:8190'

interface Step {
  readonly command: string
  readonly output: string[]
  readonly line: number
}

function stepsOf(readme: string): Step[] {
  const steps: Step[] = []
  let inside = false
  for (const [index, line] of readme.split('\n').entries()) {
    if (line.startsWith('```')) inside = line === '```console'
    else if (!inside) continue
    else if (line.startsWith('$ ')) steps.push({ command: line.slice(2), output: [], line: index + 1 })
    else {
      assert.ok(steps.length > 0, `line ${index + 1}: output without a command`)
      steps.at(-1)!.output.push(line)
    }
  }
  return steps
}

const collapse = (line: string): string => line.trimEnd().replace(/-{2,}/g, '-').replace(/ {2,}/g, ' ')

/** Does what was printed agree with the lines of README? */
function agrees(expected: readonly string[], printed: readonly string[]): boolean {
  const [first, ...rest] = expected
  if (first === undefined) return printed.length === 0
  if (first === '...') return printed.some((_, index) => agrees(rest, printed.slice(index))) || agrees(rest, [])
  if (printed[0] === undefined) return false
  const pattern = collapse(first).split('...').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*')
  return new RegExp(`^${pattern}$`).test(collapse(printed[0])) && agrees(rest, printed.slice(1))
}

/** The reader's shell: one bash for all commands, with what they print on both streams. */
class Shell {
  readonly #bash: ChildProcess
  #printed = ''
  #changed: () => void = () => {}

  constructor(env: NodeJS.ProcessEnv, cwd: string) {
    // A group of its own, so that what it leaves running ends with it.
    this.#bash = spawn('bash', ['--noprofile', '--norc'], { env, cwd, stdio: 'pipe', detached: true })
    for (const stream of [this.#bash.stdout!, this.#bash.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#printed += text
        this.#changed()
      })
    }
    this.#bash.once('close', () => this.#changed())
    this.#bash.stdin!.write('exec 2>&1\n')
  }

  /** Runs a command to its end; interrupts it once `ready` says so, seeing what it has printed so far. */
  async run(command: string, ready?: (printed: string) => boolean): Promise<string> {
    const end = `\u0001end of ${Math.random()}\u0001`
    this.#printed = ''
    // As a terminal's Ctrl-C reaches a program: SIGINT to it, not to the shell. Job control off, a background program would ignore it.
    const script = ready === undefined ? `{ ${command}\n} < /dev/null` : `set -m; ${command} < /dev/null & set +m; echo "\u0001pid $!\u0001"; wait $! 2> /dev/null`
    this.#bash.stdin!.write(`${script}\nprintf '%s' '${end}'\n`)
    const deadline = Date.now() + STEP_MS
    let interrupted = false
    while (!this.#printed.includes(end)) {
      if (Date.now() > deadline || this.#bash.exitCode !== null) throw new Error(`\`${command}\` did not end; so far: ${this.#printed}`)
      const pid = /\u0001pid (\d+)\u0001\n/.exec(this.#printed)
      if (ready !== undefined && pid !== null && !interrupted && ready(this.#printed.replace(pid[0], ''))) {
        interrupted = true
        this.#printed += '^C\n'
        process.kill(Number(pid[1]), 'SIGINT')
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1_000)
        this.#changed = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    return this.#printed.slice(0, this.#printed.indexOf(end)).replace(/\u0001pid \d+\u0001\n/, '')
  }

  async end(): Promise<void> {
    if (this.#bash.exitCode !== null) return
    const closed = once(this.#bash, 'exit')
    process.kill(-this.#bash.pid!, 'SIGKILL')
    await closed
  }
}

/** README.md: this test runs from a build folder that may lie anywhere below the project. */
async function readme(): Promise<string> {
  for (let folder = dirname(fileURLToPath(import.meta.url)); folder !== dirname(folder); folder = dirname(folder)) {
    const names = await readdir(folder)
    if (names.includes('README.md') && names.includes('tsconfig.json')) return readFile(join(folder, 'README.md'), 'utf8')
  }
  throw new Error('README.md was not found')
}

/** `cellsfs` and `cec` as commands. */
async function commands(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true })
  for (const [name, file] of [['cellsfs', CELLSFS], ['cec', CEC]] as const) {
    await writeFile(join(folder, name), `#!/bin/sh\nexec '${process.execPath}' '${file}' "$@"\n`)
    await chmod(join(folder, name), 0o755)
  }
  return folder
}

async function session(url: string): Promise<string> {
  const answer = await fetch(`${url}/a/frontend/session`, {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ AuthInfo: { type: 'credentials', login: 'alice', password: 'alice-P4ss' } }),
  })
  return ((await answer.json()) as { JWT: string }).JWT
}

/** What a person does with the address that copy and paste shows: signs in there and copies the code. */
async function codeFor(url: string, screen: string): Promise<string> {
  const address = /^\s+(http\S+\/oauth2\/auth\?\S+)$/m.exec(screen)![1]!
  const authorize = await fetch(address, { redirect: 'manual' })
  const challenge = new URL(authorize.headers.get('location') ?? '', url).searchParams.get('login_challenge')
  const answer = await fetch(`${url}/a/frontend/session`, {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ AuthInfo: { type: 'credentials', login: 'alice', password: 'alice-P4ss', challenge } }),
  })
  return new URL(((await answer.json()) as { RedirectTo: string }).RedirectTo).searchParams.get('code')!
}

/** The server that README's reader has started in another terminal; resolves with its address and what it printed. */
async function otherTerminal(t: TestContext, step: Step, env: NodeJS.ProcessEnv, cwd: string): Promise<{ url: string; printed: string }> {
  const child = spawn('bash', ['-c', `exec ${step.command} --port 0`], { env, cwd, stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(async () => {
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    await exited
  })
  let printed = ''
  for await (const text of child.stdout.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    printed += text as string
    if (printed.includes(step.output.findLast((line) => line !== '')!)) break
  }
  child.stdout.resume()
  return { url: /http:\S+/.exec(printed)![0], printed }
}

/** Without what is empty at the end. */
function lines(text: string): string[] {
  const trimmed = text.trimEnd()
  return trimmed === '' ? [] : trimmed.split('\n')
}

test('README.md: every command does what it says', { skip: realServer ? 'README speaks of the embedded server' : false, timeout: 7 * 60_000 }, async (t) => {
  const steps = stepsOf(await readme())
  assert.ok(steps.length > 50, `only ${steps.length} commands found`)
  for (const command of NOT_RUN.keys()) assert.ok(steps.some((step) => step.command === command), `not in README any more: ${command}`)

  const folder = await openFolder()
  t.after(() => folder.remove())
  const home = await folder.folder('home')
  const env: NodeJS.ProcessEnv = {
    ...folder.env, PATH: `${await commands(join(folder.path, 'bin'))}:${process.env['PATH']}`, LC_ALL: 'C.UTF-8',
    // The usual places, and the same words whether or not this machine has a keyring.
    XDG_CONFIG_HOME: undefined, XDG_CACHE_HOME: undefined, XDG_STATE_HOME: undefined, XDG_DATA_HOME: undefined, CEC_SKIP_KEYRING: 'true',
  }
  const absent = new Map<string, string>()
  for (const program of OPTIONAL) if (!await has(program)) absent.set(program, String(await missing(program)))

  const shell = new Shell(env, home)
  t.after(() => shell.end())
  let url = ''
  const toReader = (text: string): string => text.replaceAll(url, URL_OF_README).replaceAll(new URL(url).host, 'localhost:8190').replaceAll(home, '/home/you')
  let ran = 0
  for (const step of steps) {
    const { command, line } = step
    if (NOT_RUN.has(command)) continue
    const program = TERMINAL.has(command) ? 'script' : command.split(' ')[0]!
    const why = absent.get(program)
    if (why !== undefined) {
      t.diagnostic(`line ${line}: not run (${why}): ${command}`)
      continue
    }
    let printed: string
    if (command.startsWith('cellsfs demo --server-only')) {
      ({ url, printed } = await otherTerminal(t, step, env, home))
    } else {
      assert.notEqual(url, '', `line ${line}: no server yet`)
      const token = command.includes('YOUR-TOKEN') ? await session(url) : ''
      const real = command.replaceAll(URL_OF_README, url).replaceAll('YOUR-TOKEN', token)
      const interrupt = step.output.indexOf('^C')
      if (TERMINAL.has(command)) {
        printed = await onScreen(real, { env, cwd: home }, [
          [/Server URL/, () => `${url}\r`], [/open a browser/, () => '\u001b[B\r'], [/\? Code/, async (screen) => `${await codeFor(url, screen)}\r`],
        ])
      } else {
        printed = await shell.run(real, interrupt < 0 ? undefined : (sofar) => agrees(step.output.slice(0, interrupt), lines(toReader(sofar))))
      }
    }
    ran++
    const expected = lines(step.output.join('\n'))
    const got = lines(toReader(printed))
    assert.ok(agrees(expected, got), `README.md line ${line}: ${command}\n--- README says\n${expected.join('\n')}\n--- it printed\n${got.join('\n')}`)
  }
  t.diagnostic(`${ran} of ${steps.length} commands run`)
})
