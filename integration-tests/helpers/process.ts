/**
 * Programs run by tests. Everything that touches a mount runs in a process of its own and is awaited, never a
 * synchronous call of the test's process. What a test starts ends with it, also when it fails or is killed.
 */
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

export interface RunOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  readonly input?: string | Buffer
  /** The program is killed after it. Default two minutes. */
  readonly timeoutMs?: number
  readonly uid?: number
  readonly gid?: number
}

export interface RunResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const children = new Set<ChildProcess>()
process.on('exit', () => { for (const child of children) child.kill('SIGKILL') })

function start(program: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  const child = spawn(program, args, options)
  children.add(child)
  child.once('close', () => children.delete(child))
  child.once('error', () => children.delete(child))
  return child
}

/** Runs a program to its end. A signal counts as exit code 128. */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { input, timeoutMs = 120_000, ...rest } = options
  const child = start(program, args, { ...rest, stdio: ['pipe', 'pipe', 'pipe'] })
  const out: Buffer[] = []
  const err: Buffer[] = []
  child.stdout!.on('data', (piece: Buffer) => out.push(piece))
  child.stderr!.on('data', (piece: Buffer) => err.push(piece))
  child.stdin!.on('error', () => {})
  child.stdin!.end(input)
  const timer = setTimeout(() => {
    err.push(Buffer.from(`\n[killed after ${timeoutMs} ms]`))
    child.kill('SIGKILL')
  }, timeoutMs)
  try {
    const [code] = await once(child, 'close') as [number | null]
    return { code: code ?? 128, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }
  } finally {
    clearTimeout(timer)
  }
}

/** Runs a bash script (`set -eu -o pipefail`) and returns what it printed. @throws with everything it said if it fails */
export async function sh(script: string, options: RunOptions = {}): Promise<string> {
  const result = await run('bash', ['-c', `set -eu -o pipefail\n${script}`], options)
  if (result.code !== 0) throw new Error(`exit code ${result.code} of: ${script}\nstdout: ${result.stdout}\nstderr: ${result.stderr}`)
  return result.stdout
}

/** Awaits until `condition` gives something truthy; the last error or a message when it never does. */
export async function until<T>(what: string, condition: () => Promise<T> | T, timeoutMs = 30_000): Promise<T> {
  const end = Date.now() + timeoutMs
  for (;;) {
    let failure: unknown
    try {
      const value = await condition()
      if (value) return value
    } catch (error) {
      failure = error
    }
    if (Date.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause: failure })
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** A program that stays: lines of its stdout are awaited one after the other. */
export class Service {
  readonly child: ChildProcess
  readonly exited: Promise<number>
  #lines: string[] = []
  #waiting: (() => void)[] = []
  #stderr = ''
  #code: number | undefined

  constructor(program: string, args: readonly string[], options: SpawnOptions = {}) {
    this.child = start(program, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] })
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => { this.#stderr += text })
    this.child.stdin!.on('error', () => {})
    createInterface({ input: this.child.stdout! }).on('line', (line) => {
      this.#lines.push(line)
      this.#wake()
    })
    this.exited = new Promise((resolve) => {
      this.child.once('error', (error) => {
        this.#stderr += error.message
        resolve(this.#code = 127)
        this.#wake()
      })
      this.child.once('close', (code) => {
        resolve(this.#code = code ?? 128)
        this.#wake()
      })
    })
  }

  get stderr(): string {
    return this.#stderr
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }

  /** The next line of stdout. @throws when the program ends or says nothing for so long, with its stderr */
  async line(timeoutMs = 60_000): Promise<string> {
    const end = Date.now() + timeoutMs
    for (;;) {
      const line = this.#lines.shift()
      if (line !== undefined) return line
      if (this.#code !== undefined) throw new Error(`the program ended with ${this.#code}\n${this.#stderr}`)
      const left = end - Date.now()
      if (left <= 0) throw new Error(`no line within ${timeoutMs} ms\n${this.#stderr}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#waiting.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }

  /** Sends a line and returns the next one. */
  async ask(line: string, timeoutMs?: number): Promise<unknown> {
    this.child.stdin!.write(`${line}\n`)
    return JSON.parse(await this.line(timeoutMs)) as unknown
  }

  /** Ends it: `signal`, and SIGKILL if that does not help in time. Returns its exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', timeoutMs = 30_000): Promise<number> {
    if (this.#code === undefined) this.child.kill(signal)
    const timer = setTimeout(() => this.child.kill('SIGKILL'), timeoutMs)
    return this.exited.finally(() => clearTimeout(timer))
  }
}
