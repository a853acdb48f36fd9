/** For the tests of transfers that stop and go on: a transfer that is cut, and the state it leaves as a later process finds it. */
import { strict as assert } from 'node:assert'
import { randomBytes } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CellsError } from '../cells/errors.js'
import { download } from './download.js'
import { resolveDownload } from './download-plan.js'
import { FakeServer } from './fake-server.testing.js'
import { MIB } from './parts.js'
import { TransferState } from './state.js'
import { withFolder } from './testing.js'
import type { TransferOptions, TransferReport } from './types.js'
import { upload } from './upload.js'
import { resolveUpload } from './upload-plan.js'

export const noFailures = (report: TransferReport): void => assert.deepEqual(report.failures, [])

/** A state folder as a later process finds it: the records of this living one are made those of a dead one. */
export async function asIfDied(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.endsWith('.json')) continue
    const record = JSON.parse(await readFile(join(folder, name), 'utf8')) as { owner: unknown }
    await writeFile(join(folder, name), JSON.stringify({ ...record, owner: { pid: process.pid, start: '1' } }))
  }
}

export const stateIn = (folder: string): TransferState => new TransferState(join(folder, 'state'), 'alice@fake')

export interface UploadBench {
  readonly server: FakeServer
  readonly file: string
  readonly content: Buffer
  readonly state: TransferState
  readonly stateFolder: string
  /** Called before each operation of the server; throws what it is to fail with. */
  fail: (operation: string) => void
}

/** A file of `size` bytes and an empty server. */
export const withUpload = (size: number, test: (bench: UploadBench) => Promise<void>): Promise<void> => withFolder(async folder => {
  const content = randomBytes(size)
  const file = join(folder, 'big')
  await writeFile(file, content)
  const bench: UploadBench = { server: new FakeServer({ before: operation => bench.fail(operation) }), file, content, state: stateIn(folder), stateFolder: join(folder, 'state'), fail: () => {} }
  await test(bench)
})

/** Sends `source` to `ws`, in parts of 10 MiB. */
export async function send(server: FakeServer, source: string, options: TransferOptions = {}): Promise<TransferReport> {
  const parts = { threshold: 10 * MIB, partSize: 10 * MIB, concurrency: 2 }
  return upload(server, await resolveUpload(server, source, 'ws', options.force ?? false, undefined, options.state), { parts, ...options })
}

/** Sends until the network is lost at `operation`; then the process dies. From there on the network is there. */
export async function sendUntil(bench: UploadBench, operation: string): Promise<TransferReport> {
  bench.fail = failAt(operation)
  const report = await send(bench.server, bench.file, { state: bench.state })
  await asIfDied(bench.stateFolder)
  bench.fail = () => {}
  bench.server.calls.length = 0
  return report
}

export const failAt = (wanted: string) => (operation: string): void => {
  if (operation === wanted) throw new CellsError('network', 'the connection was lost')
}

export const partsSent = (server: FakeServer): string[] => server.calls.filter(call => call.startsWith('part '))

/** Fetches `ws/big` into `folder`, where also its state is. */
export const fetchBig = async (server: FakeServer, folder: string, options: TransferOptions = {}): Promise<TransferReport> =>
  download(server, await resolveDownload(server, 'ws/big', folder, false), { state: stateIn(folder), ...options })

/** Fetches `ws/big` until `limit` bytes have come, and dies. @returns the content, and the partial file that is left */
export async function fetchUntil(server: FakeServer, folder: string, size: number, limit: number): Promise<{ readonly content: Buffer; readonly part: string }> {
  const content = randomBytes(size)
  server.seed('ws/big', content)
  const cut = limitBytes(server, limit)
  await fetchBig(server, folder)
  cut.restore()
  await asIfDied(folder)
  const [part] = (await readdir(folder)).filter(file => file.endsWith('.part'))
  return { content, part: join(folder, part ?? '') }
}

/** A server whose streams all end after `limit` bytes in total. */
export function limitBytes(server: FakeServer, limit: number, error = new CellsError('login-needed', 'please sign in again')): { restore(): void; served(): number } {
  const original = server.get.bind(server)
  let served = 0
  server.get = async (path, range, options) => {
    const body = await original(path, range, options)
    async function * stream(): AsyncGenerator<Buffer> {
      for await (const chunk of body.stream) {
        if (served >= limit) throw error
        served += chunk.length
        yield chunk
      }
    }
    return { ...body, stream: Object.assign(stream(), { destroy: () => {} }) }
  }
  return { restore: () => { server.get = original }, served: () => served }
}
