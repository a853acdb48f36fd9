/** The plan is what is done: whatever the two trees are, the printed steps, the steps taken and the outcome agree. */
import { strict as assert } from 'node:assert'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { describeStep } from '../cli/plan.js'
import type { PlannedStep } from '../cli/plan.js'
import { carryOutDownload, download, downloadPlanOptions } from './download.js'
import { planDownload, resolveDownload } from './download-plan.js'
import type { DownloadStep, DownloadTarget } from './download-plan.js'
import { FakeServer } from './fake-server.testing.js'
import { Selection } from './select.js'
import { readTree, withFolder, writeTree } from './testing.js'
import type { TransferListener, TransferOptions } from './types.js'
import { upload, uploadPlanOptions } from './upload.js'
import { planUpload, resolveUpload } from './upload-plan.js'
import type { UploadStep } from './upload-plan.js'

type Tree = Record<string, string>

/** Few names, so that the two sides meet; a name may be a file on one side and a folder on the other. */
const name = fc.constantFrom('a', 'b', 'c.txt', '.d', 'é')
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map(names => names.join('/'))
const tree: fc.Arbitrary<Tree> = fc.array(fc.tuple(path, fc.boolean(), fc.constantFrom('', 'one', 'two')), { maxLength: 9 }).map(entries => {
  const made: Tree = {}
  for (const [each, isFolder, content] of entries) {
    const clashes = Object.keys(made).map(other => other.replace(/\/$/, '')).some(other => other === each || other.startsWith(`${each}/`) || (each.startsWith(`${other}/`) && made[other] !== undefined))
    if (!clashes) made[isFolder ? `${each}/` : each] = isFolder ? '' : content
  }
  return made
})
const patterns = fc.record({ include: fc.subarray(['*.txt', 'a', 'b/**'], { maxLength: 1 }), exclude: fc.subarray(['c.txt', 'b', '.d'], { maxLength: 1 }) })

/** What a listener hears, in the words of the plan. */
function recorder(): { readonly heard: string[]; readonly listener: TransferListener } {
  const heard: string[] = []
  return {
    heard,
    listener: {
      onStep: (kind, where) => heard.push(`${kind} ${where}`),
      onStart: task => heard.push(`file ${task.target}`),
      onSame: where => heard.push(`same ${where}`),
      onFailure: where => heard.push(`error ${where}`),
    },
  }
}

/** The same words for a printed step; a file that gives way to a folder is a removal and a folder. */
function wordsOf({ action, target }: PlannedStep): string[] {
  switch (action) {
    case 'remove': return [`removal ${target}`]
    case 'replace-file': return [`removal ${target}`, `folder ${target}`]
    case 'upload': case 'download': return [`file ${target}`]
    case 'delete': return []
    case 'folder': case 'same': case 'error': return [`${action} ${target}`]
  }
}

async function planned(plan: AsyncIterable<UploadStep | DownloadStep>): Promise<string[]> {
  const words: string[] = []
  for await (const step of plan) words.push(...wordsOf(describeStep(step)))
  return words.sort()
}

const selectOf = (chosen: { include: string[]; exclude: string[] }): Selection | undefined => (chosen.include.length + chosen.exclude.length === 0 ? undefined : new Selection(chosen))

const seed = (server: FakeServer, at: string, content: Tree): void => {
  for (const [each, text] of Object.entries(content)) server.seed(`${at}/${each}`, text)
}

/** Files and empty folders below `at`, as readTree gives them. */
function remoteTree(server: FakeServer, at: string): Tree {
  const all = server.paths().filter(each => each.startsWith(`${at}/`) && each !== `${at}/`)
  const result: Tree = {}
  for (const each of all) {
    if (!each.endsWith('/')) result[each.slice(at.length + 1)] = server.content(each) ?? ''
    else if (!all.some(other => other !== each && other.startsWith(each))) result[each.slice(at.length + 1)] = ''
  }
  return result
}

/** What must be at the target afterwards, said without the engine: all of the source that is selected; of the rest what does not stand in its way. */
function expected(source: Tree, target: Tree, select: Selection | undefined): Tree {
  const all = Object.keys(source)
  const folders = new Set<string>()
  const result: Tree = {}
  const taken = (each: string, isFolder: boolean): boolean => {
    const names = each.split('/')
    return names.every((_, index) => select?.takes(names.slice(0, index + 1).join('/'), isFolder || index < names.length - 1) ?? true)
  }
  const parents = (each: string): string[] => each.split('/').slice(0, -1).map((_, index, names) => names.slice(0, index + 1).join('/'))
  for (const each of all) {
    const isFolder = each.endsWith('/')
    const clean = each.replace(/\/$/, '')
    if (!isFolder && taken(clean, false)) {
      result[clean] = source[each] ?? ''
      for (const parent of parents(clean)) folders.add(parent)
    }
    if (select?.onlySome === true) continue
    for (const folder of [...parents(clean), ...(isFolder ? [clean] : [])]) if (taken(folder, true)) folders.add(folder)
  }
  const stays = (each: string, isFolder: boolean): boolean => {
    const upwards = [each, ...parents(each)]
    return upwards.every(part => result[part] === undefined || (part === each && !isFolder)) && !(folders.has(each) && !isFolder)
  }
  const kept: Tree = {}
  for (const [each, text] of Object.entries(target)) {
    const clean = each.replace(/\/$/, '')
    if (stays(clean, each.endsWith('/'))) kept[each] = text
  }
  const merged: Tree = { ...kept, ...result }
  for (const folder of folders) merged[`${folder}/`] = ''
  return Object.fromEntries(Object.entries(merged).filter(([each]) => !each.endsWith('/') || !Object.keys(merged).some(other => other !== each && other.startsWith(each))))
}

interface Both {
  readonly folder: string
  readonly server: FakeServer
  readonly select: Selection | undefined
  readonly heard: string[]
  readonly options: TransferOptions
}

/** `dir` in a folder here and `ws/dir` on a server, with what is in them, and the options of a transfer that is listened to. */
const withBoth = (ours: Tree, theirs: Tree, chosen: Parameters<typeof selectOf>[0], test: (both: Both) => Promise<void>): Promise<void> => withFolder(async folder => {
  const server = new FakeServer()
  server.seed('ws/dir/')
  seed(server, 'ws/dir', theirs)
  await writeTree(folder, { 'dir/': '' })
  await writeTree(join(folder, 'dir'), ours)
  const select = selectOf(chosen)
  const { heard, listener } = recorder()
  await test({ folder, server, select, heard, options: { force: true, listener, ...(select === undefined ? {} : { select }) } })
})

describe('plan', () => {
  it('an upload does what its dry run prints, and nothing else is changed or removed', async () => {
    await fc.assert(fc.asyncProperty(tree, tree, patterns, async (ours, theirs, chosen) => {
      await withBoth(ours, theirs, chosen, async ({ folder, server, select, heard, options }) => {
        const target = await resolveUpload(server, join(folder, 'dir'), 'ws', true)
        const before = server.calls.length
        const plan = await planned(planUpload(server, target, uploadPlanOptions(target, options)))
        assert.ok(server.calls.slice(before).every(call => /^(?:list|stat|statMany) /.test(call)), 'planning only reads')
        assert.deepEqual((await upload(server, target, options)).failures, [])
        assert.deepEqual(heard.sort(), plan)
        assert.deepEqual(remoteTree(server, 'ws/dir'), expected(ours, theirs, select))
      })
    }), { numRuns: 150 })
  })

  it('a download does what its dry run prints, and nothing else is changed or removed', async () => {
    await fc.assert(fc.asyncProperty(tree, tree, patterns, async (theirs, ours, chosen) => {
      await withBoth(ours, theirs, chosen, async ({ folder, server, select, heard, options }) => {
        const target: DownloadTarget = await resolveDownload(server, 'ws/dir', folder, true)
        const untouched = await fingerprint(folder)
        const plan = await planned(planDownload(server, target, downloadPlanOptions(target, options)))
        assert.deepEqual(await fingerprint(folder), untouched, 'planning only reads')
        assert.deepEqual((await download(server, target, options)).failures, [])
        assert.deepEqual(heard.sort(), plan)
        assert.deepEqual(await readTree(join(folder, 'dir')), expected(theirs, ours, select))
      })
    }), { numRuns: 150 })
  })

  it('a plan with a step taken out leaves that one alone', async () => {
    await withFolder(async folder => {
      const server = new FakeServer()
      seed(server, 'ws/dir', { a: 'new', b: 'new', 'sub/c': 'new' })
      await writeTree(join(folder, 'dir'), { a: 'old', b: 'old' })
      const target = await resolveDownload(server, 'ws/dir', folder, true)
      async function * without(plan: AsyncIterable<DownloadStep>): AsyncGenerator<DownloadStep> {
        for await (const step of plan) if (!step.path.endsWith('/b')) yield step
      }
      await carryOutDownload(server, without(planDownload(server, target)))
      assert.deepEqual(await readTree(join(folder, 'dir')), { a: 'new', b: 'old', 'sub/c': 'new' })
    })
  })
})

/** Names, sizes and times of all that is there. */
async function fingerprint(folder: string): Promise<string[]> {
  const names = (await readdir(folder, { recursive: true })).sort()
  return Promise.all(names.map(async each => {
    const { size, mtimeMs, ino } = await stat(join(folder, each))
    return [each, size, mtimeMs, ino].join(' ')
  }))
}
