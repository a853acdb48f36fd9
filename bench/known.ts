/**
 * `npm run bench -- memory`: what a mount's process holds when it knows 100,000 files (`--files N`), after `find` and `ls -lR` of all.
 * `npm run bench -- start`: how soon a mount is usable that knows 10,000 names from before: until it says "mounted", and until a listing of a
 * folder of 1,000 has been answered, `node -e 0` beside it. Nothing is kept; the load stands beside each figure.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { mountSide, type Place } from './driver-sides.js'
import { timed } from './processes.js'
import { load } from './report.js'
import { embeddedServer, type BenchServer } from './server.js'

const PER_FOLDER = 1_000
const LATER_MS = 10_000

export interface KnownBench {
  readonly files: number
  readonly repetitions: number
  /** Takes the table, line by line. */
  readonly say: (line: string) => void
}

async function withFiles(files: number, work: (server: BenchServer, remote: string, folder: string) => Promise<void>): Promise<void> {
  const server = await embeddedServer(0)
  const folder = await mkdtemp(join(tmpdir(), 'cellsfs-bench-'))
  try {
    const names = Array.from({ length: files }, (_, index) => `folder-${String(Math.floor(index / PER_FOLDER)).padStart(3, '0')}/a file of some length ${String(index % PER_FOLDER).padStart(4, '0')}.txt`)
    const remote = await server.fill('known', names.map((name) => [name, Buffer.from(name)] as const))
    await work(server, remote, folder)
  } finally {
    await server.close()
    await rm(folder, { recursive: true, force: true })
  }
}

/** @throws Error when it does not end well, or lists something else than `lines` */
async function count(program: string, args: readonly string[], lines: number): Promise<number> {
  const { ms, code, stdout, stderr } = await timed(program, args)
  const found = stdout.split('\n').filter((line) => line.includes('.txt')).length
  if (code !== 0 || found !== lines) throw new Error(`${program}: ${found} of ${lines} files, ${stderr}`)
  return ms
}

export async function benchMemory({ files, repetitions, say }: KnownBench): Promise<void> {
  await withFiles(files, async (server, remote, work) => {
    say(`node ${process.version}, ${files} files, ${PER_FOLDER} in a folder`)
    say('| | seconds | VmRSS | VmHWM | CPU seconds | load |')
    say('| --- | ---: | ---: | ---: | ---: | ---: |')
    for (let round = 0; round < repetitions; round++) {
      const place = await mountSide('kernel', '', { work, server, remote, profile: '' }).open()
      const row = async (what: string, ms?: number): Promise<void> => {
        const { cpuSeconds = 0, megabytes = 0, peakMegabytes = 0 } = await place.usage() ?? {}
        say(`| ${what} | ${ms === undefined ? '' : (ms / 1000).toFixed(2)} | ${megabytes} MB | ${peakMegabytes} MB | ${cpuSeconds.toFixed(2)} | ${load()} |`)
      }
      try {
        await row('mounted')
        await row('find', await count('find', [place.path], files))
        await row('ls -lR', await count('ls', ['-lR', place.path], files))
        await pause(LATER_MS)
        await row(`${LATER_MS / 1000} s later`)
      } finally {
        await place.close()
      }
    }
  })
}

export async function benchStart({ files, repetitions, say }: KnownBench): Promise<void> {
  await withFiles(files, async (server, remote, work) => {
    const side = mountSide('kernel', '', { work, server, remote, profile: '', home: join(work, 'home') })
    const mounted = async (use: (place: Place) => Promise<void>): Promise<void> => {
      const place = await side.open()
      await use(place).finally(() => place.close())
    }
    await mounted(async (place) => { await count('find', [place.path], files) })
    say(`node ${process.version}, ${files} names in the store`)
    say('| `node -e 0` | mounted | and listed | CPU seconds | load |')
    say('| ---: | ---: | ---: | ---: | ---: |')
    for (let round = 0; round < repetitions; round++) {
      const floor = await timed(process.execPath, ['-e', '0'])
      const began = performance.now()
      await mounted(async (place) => {
        const ready = performance.now() - began
        await count('ls', [join(place.path, 'folder-000')], Math.min(files, PER_FOLDER))
        const listed = performance.now() - began
        say(`| ${floor.ms.toFixed(0)} ms | ${ready.toFixed(0)} ms | ${listed.toFixed(0)} ms | ${(await place.usage())?.cpuSeconds.toFixed(2) ?? ''} | ${load()} |`)
      })
    }
  })
}
