/**
 * The embedded server against a real 2.x one: the same random calls to both, and after each group the same tree must be there:
 * paths, kinds, sizes, ETags, which Uuid is where, and the same statuses on the way. Runs only where a real server is named
 * (CELLS_URL, CELLS_LOGIN, CELLS_PASSWORD) that nobody else uses meanwhile; one request at a time.
 *
 * DIFF_SEED and DIFF_RUNS (default 1 and 4) choose the sequences; a failure prints its calls and both trees.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { BareServer, realUrl } from './helpers/bare-server.js'
import type { Entry } from './helpers/bare-server.js'

/** Calls whose effects depend on the order only, sent without a pause. */
type Quick =
  | { readonly call: 'put' | 'multipart'; readonly path: string; readonly content: string }
  | { readonly call: 'remove' | 'mkdir' | 'abort'; readonly path: string }
/** Background jobs: each alone, because when they do their work is the server's choice. */
type Slow =
  | { readonly call: 'move' | 'copy'; readonly path: string; readonly target: string }
  | { readonly call: 'bin' | 'restore'; readonly path: string }
type Group = { readonly quick: readonly Quick[] } | { readonly slow: Slow }

// No name finds another one by SQL LIKE: which of several it finds depends on the database's mood (server-behaviour.test.ts has the rule).
const FILES = ['a', 'b', 'B', 'c.txt', 'c.tar.gz', 'sp ace', 'é', '漢', "it's", '#1 & [x]', 'a+b', 'x_y', '100%', '.dot']
const FOLDERS = ['d', 'd2', 'e.f', 'D_3']

const folder = fc.oneof({ weight: 3, arbitrary: fc.constant('') }, { weight: 3, arbitrary: fc.constantFrom(...FOLDERS) }, { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...FOLDERS), fc.constantFrom(...FOLDERS)).map((it) => it.join('/')) })
const at = (names: readonly string[]): fc.Arbitrary<string> => fc.tuple(folder, fc.constantFrom(...names)).map(([parent, name]) => parent === '' ? name : `${parent}/${name}`)
const file = at(FILES)
const any = at([...FILES, ...FOLDERS])
const content = fc.oneof(fc.constantFrom('one', 'two', 'three'), fc.string({ minLength: 1, maxLength: 40 }))
const quick: fc.Arbitrary<Quick> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ call: fc.constant('put' as const), path: file, content }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('multipart' as const), path: file, content }) },
  { weight: 3, arbitrary: fc.record({ call: fc.constant('remove' as const), path: file }) },
  { weight: 2, arbitrary: fc.record({ call: fc.constant('mkdir' as const), path: at(FOLDERS) }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('abort' as const), path: file }) },
)
const slow: fc.Arbitrary<Slow> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ call: fc.constant('move' as const), path: any, target: any }) },
  { weight: 2, arbitrary: fc.record({ call: fc.constant('copy' as const), path: any, target: any }) },
  { weight: 2, arbitrary: fc.record({ call: fc.constant('bin' as const), path: any }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('restore' as const), path: any }) },
)
const group: fc.Arbitrary<Group> = fc.oneof(
  { weight: 3, arbitrary: fc.array(quick, { minLength: 1, maxLength: 4 }).map((it) => ({ quick: it })) },
  { weight: 2, arbitrary: slow.map((it) => ({ slow: it })) },
)
const sequence = fc.array(group, { minLength: 10, maxLength: 14 })

describe('the embedded server does what a real one does', { skip: realUrl === undefined && 'needs a real server to compare with: CELLS_URL', timeout: 3_600_000 }, () => {
  const seed = Number(process.env['DIFF_SEED'] ?? 1)
  const runs = Number(process.env['DIFF_RUNS'] ?? 4)
  for (const [run, groups] of fc.sample(sequence, { seed, numRuns: runs }).entries()) {
    it(`sequence ${run} of seed ${seed}`, async () => {
      const [real, embedded] = await Promise.all([BareServer.start(), BareServer.startEmbedded()])
      // The same names on both, which nothing in either bin has yet.
      const tag = real.base.slice(-4)
      const told: string[] = []
      const uuids = new Map<string, string>()
      try {
        for (const each of groups) {
          told.push(JSON.stringify(each))
          const statuses = await Promise.all([real, embedded].map((server) => perform(server, each, tag)))
          const trees = await Promise.all([real, embedded].map((server) => snapshot(server, tag)))
          const wrong = [...compare(statuses[0] ?? [], statuses[1] ?? []), ...compareTrees(trees[0] ?? new Map<string, Entry>(), trees[1] ?? new Map<string, Entry>(), uuids)]
          assert.deepEqual(wrong, [], `real and embedded differ after\n${told.join('\n')}\n${wrong.join('\n')}\nreal:\n${show(trees[0])}\nembedded:\n${show(trees[1])}`)
        }
      } finally {
        await Promise.all([real.close(), embedded.close()])
      }
    })
  }
})

/** `d/.x` -> `d/.<tag>x`: unique, and a dot stays in front. */
const tagged = (path: string, tag: string): string => path.split('/').map((name) => name.startsWith('.') ? `.${tag}${name.slice(1)}` : `${tag}${name}`).join('/')

async function perform(server: BareServer, each: Group, tag: string): Promise<string[]> {
  const statuses: string[] = []
  for (const one of 'quick' in each ? each.quick : [each.slow]) statuses.push(`${one.call} ${one.path}: ${await call(server, one, tag)}`)
  await server.settled()
  return statuses
}

async function call(server: BareServer, one: Quick | Slow, tag: string): Promise<string> {
  const path = tagged(one.path, tag)
  switch (one.call) {
    case 'put': return String(await server.put(path, one.content))
    case 'multipart': return inParts(server, path, one.content)
    case 'abort': {
      const [status, id] = await initiate(server, path)
      return `${status} ${(await server.client.s3('DELETE', server.at(path), { query: `?uploadId=${id}` })).status}`
    }
    case 'remove': return String(await server.remove(path))
    case 'mkdir': {
      // On a file, or below one, a 2.x server never answers.
      for (let up = path; up !== ''; up = up.slice(0, Math.max(0, up.lastIndexOf('/')))) if ((await server.stat(up))?.folder === false) return 'not sent'
      return String((await server.mkdir(path)).status)
    }
    case 'move': case 'copy': {
      const target = tagged(one.target, tag)
      // Into itself: a 2.x server destroys the tree in its own way each time.
      if (`${target}/`.startsWith(`${path}/`)) return 'not sent'
      return String((await server.job(one.call, path, target)).status)
    }
    case 'bin': return String((await server.deleteJob(path)).status)
    case 'restore': return String((await server.restoreJob(`personal-files/recycle_bin/${path.slice(path.lastIndexOf('/') + 1)}`)).status)
  }
}

async function initiate(server: BareServer, path: string): Promise<[status: number, id: string]> {
  const { status, text } = await server.client.s3('POST', server.at(path), { query: '?uploads' })
  return [status, encodeURIComponent(/<UploadId>(.*)<\/UploadId>/.exec(text)?.[1] ?? '')]
}

async function inParts(server: BareServer, path: string, content: string): Promise<string> {
  const [status, id] = await initiate(server, path)
  const part = await server.client.s3('PUT', server.at(path), { query: `?partNumber=1&uploadId=${id}`, body: content })
  const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${part.headers.get('etag') ?? ''}</ETag></Part></CompleteMultipartUpload>`
  return `${status} ${part.status} ${(await server.client.s3('POST', server.at(path), { query: `?uploadId=${id}`, body })).status}`
}

/** What there is, the bin included; files with a dot are asked for by name, as REST does not list them. */
async function snapshot(server: BareServer, tag: string): Promise<Map<string, Entry>> {
  const found = new Map<string, Entry>()
  const walk = async (parent: string): Promise<void> => {
    const dots = await Promise.all(FILES.filter((name) => name.startsWith('.')).map(async (name) => server.stat(parent === '' ? tagged(name, tag) : `${parent}/${tagged(name, tag)}`)))
    for (const entry of [...await server.list(parent), ...dots]) {
      if (entry === undefined || !entry.name.replace(/^\./, '').startsWith(tag)) continue
      const path = parent === '' ? entry.name : `${parent}/${entry.name}`
      found.set(path, entry)
      if (entry.folder) await walk(path)
    }
  }
  await walk('')
  await walk('personal-files/recycle_bin')
  return found
}

function compare(real: readonly string[], embedded: readonly string[]): string[] {
  return real.flatMap((each, i) => each === embedded[i] ? [] : [`real: ${each}, embedded: ${embedded[i] ?? ''}`])
}

function compareTrees(real: ReadonlyMap<string, Entry>, embedded: ReadonlyMap<string, Entry>, uuids: Map<string, string>): string[] {
  const wrong: string[] = []
  for (const path of new Set([...real.keys(), ...embedded.keys()])) {
    const [a, b] = [real.get(path), embedded.get(path)]
    if (a === undefined || b === undefined) {
      wrong.push(`${path} only on the ${a === undefined ? 'embedded' : 'real'} server`)
      continue
    }
    const facts = (entry: Entry): string => `${entry.folder ? 'folder' : `file of ${entry.size} ${entry.etag}`}`
    if (facts(a) !== facts(b)) wrong.push(`${path}: real ${facts(a)}, embedded ${facts(b)}`)
    const known = uuids.get(a.uuid)
    if (known === undefined && ![...uuids.values()].includes(b.uuid)) uuids.set(a.uuid, b.uuid)
    else if (known !== b.uuid) wrong.push(`${path}: another Uuid than before on one of the two`)
  }
  return wrong
}

const show = (tree: ReadonlyMap<string, Entry> = new Map()): string => [...tree].map(([path, { uuid, folder: isFolder, size, etag }]) => `  ${path} ${isFolder ? 'folder' : `${size} ${etag.slice(0, 9)}`} ${uuid.slice(0, 8)}`).join('\n')
