/**
 * `npm run bench -- startup`: how long a person waits before a command does anything. `node -e 0` is the floor; `cec version` shall take
 * less than twice that, completion of a path less than 150 ms where the folder is cached. All in turn, so that what else the
 * machine does meets each alike; medians.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { timed } from './processes.js'
import { load } from './report.js'
import { embeddedServer } from './server.js'

const CEC = fileURLToPath(new URL('../bin/cec.js', import.meta.url))

const SIDES: readonly (readonly [name: string, args: readonly string[]])[] = [
  ['node -e 0', ['-e', '0']],
  ['cec version', [CEC, 'version']],
  ['completion of a path, cached', [CEC, 'complete-paths', 'common-files']],
  ['cec --help', [CEC, '--help']],
  ['cec config ls', [CEC, 'config', 'ls']],
]

const medianOf = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN

/** @param say takes the table, line by line */
export async function benchStartup(repetitions: number, say: (line: string) => void): Promise<void> {
  const server = await embeddedServer(0)
  const home = await mkdtemp(join(tmpdir(), 'cec-startup-'))
  try {
    const env: NodeJS.ProcessEnv = { PATH: process.env['PATH'], HOME: home, CEC_URL: server.url, CEC_LOGIN: server.login, CEC_PASSWORD: server.password }
    const times = new Map(SIDES.map(([name]) => [name, [] as number[]]))
    // The first round fills the caches, ours and the system's.
    for (let round = -1; round < repetitions; round++) {
      for (const [name, args] of SIDES) {
        const { ms, code, stderr } = await timed(process.execPath, args, { env, cwd: home })
        if (code !== 0) throw new Error(`${name} ended with ${code}: ${stderr}`)
        if (round >= 0) times.get(name)?.push(ms)
      }
    }
    const floor = medianOf(times.get('node -e 0') ?? [])
    say(`node ${process.version}, ${repetitions} rounds, load ${load()}`)
    say('| | median | fastest | of `node -e 0` |')
    say('| --- | ---: | ---: | ---: |')
    for (const [name, values] of times) say(`| ${name} | ${medianOf(values).toFixed(0)} ms | ${Math.min(...values).toFixed(0)} ms | ${(medianOf(values) / floor).toFixed(2)}x |`)
  } finally {
    await rm(home, { recursive: true, force: true })
    await server.close()
  }
}
