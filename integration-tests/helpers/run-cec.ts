/** Runs the built cec as a process of its own, with folders of its own and no keyring. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TestContext } from 'node:test'

/** From integration-tests/helpers/ of whichever build this file is in. */
export const CEC = fileURLToPath(new URL('../../bin/cec.js', import.meta.url))

export interface Result {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Home {
  readonly dir: string
  /** Folder of config.json. */
  readonly config: string
  readonly env: NodeJS.ProcessEnv
  cec(args: readonly string[], options?: { env?: NodeJS.ProcessEnv; input?: string }): Promise<Result>
  start(args: readonly string[], options?: { env?: NodeJS.ProcessEnv }): ChildProcess
}

const PASSED_ON = ['PATH', 'LANG', 'NODE_OPTIONS', 'NODE_V8_COVERAGE']

export async function collect(child: ChildProcess, input = ''): Promise<Result> {
  const out = { stdout: '', stderr: '' }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => { out.stdout += text })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => { out.stderr += text })
  child.stdin?.end(input)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  return { code, ...out }
}

/** A fresh machine: an empty home, removed when the test ends. */
export async function freshHome(test: TestContext): Promise<Home> {
  const dir = await mkdtemp(join(tmpdir(), 'cec-test-'))
  test.after(() => rm(dir, { recursive: true, force: true }))
  const env: NodeJS.ProcessEnv = {
    ...Object.fromEntries(PASSED_ON.map((name) => [name, process.env[name]])),
    HOME: dir,
    XDG_CONFIG_HOME: join(dir, 'config'),
    XDG_CACHE_HOME: join(dir, 'cache'),
    XDG_STATE_HOME: join(dir, 'state'),
    XDG_DATA_HOME: join(dir, 'data'),
    XDG_RUNTIME_DIR: join(dir, 'run'),
    // A message bus that is not there: no keyring.
    DBUS_SESSION_BUS_ADDRESS: `unix:path=${join(dir, 'no-bus')}`,
  }
  const start: Home['start'] = (args, options = {}) =>
    spawn(process.execPath, [CEC, ...args], { env: { ...env, ...options.env }, cwd: dir, stdio: 'pipe' })
  return {
    dir,
    config: join(dir, 'config', 'pydio', 'cells-client'),
    env,
    start,
    cec: async (args, options = {}) => await collect(start(args, options), options.input),
  }
}
