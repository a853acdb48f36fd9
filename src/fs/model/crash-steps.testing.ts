/**
 * What a program does before it is killed: scenarios of acknowledged steps, each with its effect on the model. After the
 * kill there are two right answers: everything that was acknowledged, and that plus the step that was under way.
 */
import type { PathFs } from '../posix.testing.js'
import { randomFrom } from './trouble.testing.js'
import { NodeIds, World } from './world.testing.js'

export type Step =
  /** Create or replace whole; acknowledged by close. */
  | readonly ['write', string, number]
  | readonly ['append', string, number]
  | readonly ['truncate', string, number]
  | readonly ['mkdir', string]
  | readonly ['rmdir', string]
  | readonly ['unlink', string]
  | readonly ['rename', string, string]
  | readonly ['symlink', string, string]
  | readonly ['chmod', string, number]
  | readonly ['mtime', string, number]
  /** Until the server shows everything. */
  | readonly ['sync']

export interface Scenario {
  readonly name: string
  /** See EngineOptions. */
  readonly partBytes?: number
  /** Steps carried out, and confirmed, before the crash points count. */
  readonly before: readonly Step[]
  readonly steps: readonly Step[]
}

const MiB = 1 << 20

export const SCENARIOS: readonly Scenario[] = [
  { name: 'create', before: [], steps: [['write', 'new', 100], ['write', 'empty', 0]] },
  { name: 'overwrite', before: [['write', 'doc', 100]], steps: [['write', 'doc', 200], ['write', 'doc', 50]] },
  { name: 'append', before: [['write', 'log', 100]], steps: [['append', 'log', 10], ['append', 'log', 10], ['truncate', 'log', 50]] },
  { name: 'rename', before: [['write', 'old', 100]], steps: [['rename', 'old', 'new'], ['write', 'new', 20], ['rename', 'new', 'newer']] },
  { name: 'rename over', before: [['write', 'doc', 100]], steps: [['write', 'doc.new', 200], ['rename', 'doc.new', 'doc'], ['write', 'doc.new', 30], ['rename', 'doc.new', 'doc']] },
  { name: 'rename over, both known', before: [['write', 'doc', 100], ['write', 'other', 200]], steps: [['rename', 'other', 'doc'], ['write', 'other', 10]] },
  { name: 'save as vim', before: [['write', 'doc', 100]], steps: [['write', '4913', 0], ['unlink', '4913'], ['rename', 'doc', 'doc~'], ['write', 'doc', 200], ['unlink', 'doc~'], ['rename', 'doc', 'doc~'], ['write', 'doc', 20], ['unlink', 'doc~']] },
  { name: 'save as emacs', before: [['write', 'doc', 100]], steps: [['rename', 'doc', 'doc~'], ['write', 'doc', 200], ['write', 'doc', 10]] },
  { name: 'tree', before: [], steps: [['mkdir', 'd'], ['write', 'd/a', 10], ['mkdir', 'd/e'], ['write', 'd/e/b', 20], ['symlink', 'b', 'd/e/l'], ['write', 'd/.env', 10]] },
  { name: 'delete', before: [['write', 'a', 10], ['write', 'b', 20], ['mkdir', 'd'], ['write', 'd/c', 30]], steps: [['unlink', 'a'], ['write', 'n', 10], ['unlink', 'n'], ['unlink', 'd/c'], ['rmdir', 'd'], ['write', 'a', 40]] },
  { name: 'rename folder', before: [['mkdir', 'd'], ['write', 'd/a', 10]], steps: [['write', 'd/b', 20], ['rename', 'd', 'e'], ['write', 'e/a', 30], ['rename', 'e', 'd']] },
  { name: 'many files', before: [], steps: [...Array.from({ length: 8 }, (_, i): Step => ['write', `f${i}`, 10 + i]), ['unlink', 'f1'], ['rename', 'f2', 'g2'], ['rename', 'f3', 'f4']] },
  { name: 'attributes', before: [['write', 'a', 10]], steps: [['chmod', 'a', 0o600], ['mtime', 'a', 1_000_000_000], ['write', 'b', 10], ['chmod', 'b', 0o755], ['mtime', 'b', 1_100_000_000]] },
]

/** In parts: only where there is time. */
export const LARGE_SCENARIOS: readonly Scenario[] = [
  { name: 'large', before: [], steps: [['write', 'big', 70 * MiB], ['append', 'big', 5]] },
]

/** In many parts, to be killed at random moments of it. */
export const HUGE_SCENARIO: Scenario = { name: 'huge', before: [], partBytes: 5 * MiB, steps: [['write', 'big', 200 * MiB]] }

/** Content of a step: the same for the program, the model and those who look for it. */
function contentOf(tag: string, index: number, size: number): Buffer {
  return Buffer.alloc(size, `${tag}.${index};`)
}

export async function perform(fs: PathFs, step: Step, index: number, tag: string, sync: () => Promise<unknown>): Promise<void> {
  switch (step[0]) {
    case 'write': return fs.writeFile(step[1], contentOf(tag, index, step[2]))
    case 'append': {
      const file = await fs.open(step[1], 0o2001)
      await fs.write(file, 0, contentOf(tag, index, step[2]))
      return fs.close(file)
    }
    case 'truncate': return fs.truncate(step[1], step[2])
    case 'mkdir': return fs.mkdir(step[1])
    case 'rmdir': return fs.rmdir(step[1])
    case 'unlink': return fs.unlink(step[1])
    case 'rename': return fs.rename(step[1], step[2])
    case 'symlink': return fs.symlink(step[1], step[2])
    case 'chmod': return fs.chmod(step[1], step[2])
    case 'mtime': return fs.utimes(step[1], BigInt(step[2]) * 1_000_000_000n + 7n)
    case 'sync': await sync()
  }
}

/** The world before the first step, after it, and so on. */
export function worldsOf(steps: readonly Step[], tag: string, start = World.empty(), firstIndex = 0): World[] {
  const ids = new NodeIds()
  // Clear of the numbers in `start`.
  for (let i = 0; i < start.nodes.size + firstIndex; i++) ids.next()
  const worlds = [start]
  for (const [at, step] of steps.entries()) {
    const world = worlds.at(-1)!.clone()
    apply(world, step, firstIndex + at, tag, ids)
    worlds.push(world)
  }
  return worlds
}

function apply(world: World, step: Step, index: number, tag: string, ids: NodeIds): void {
  const file = { type: 'file', mode: 0o644, mtime: undefined } as const
  switch (step[0]) {
    case 'write': {
      const content = contentOf(tag, index, step[2])
      const known = world.at(step[1])
      if (known === undefined) world.create(step[1], { ...file, id: ids.next(), content })
      else world.setContent(known.id, content)
      break
    }
    case 'append': {
      const { id, content } = world.lookup(step[1])
      world.writeAt(id, content.length, contentOf(tag, index, step[2]))
      break
    }
    case 'truncate': world.truncate(world.lookup(step[1]).id, step[2]); break
    case 'mkdir': world.create(step[1], { id: ids.next(), type: 'folder', content: Buffer.alloc(0), mode: 0o755, mtime: undefined }); break
    case 'rmdir': world.rmdir(step[1]); break
    case 'unlink': world.unlink(step[1]); break
    case 'rename': world.rename(step[1], step[2]); break
    case 'symlink': world.create(step[2], { id: ids.next(), type: 'symlink', content: Buffer.from(step[1]), mode: undefined, mtime: undefined }); break
    case 'chmod': world.setAttributes(step[1], { mode: step[2] }); break
    case 'mtime': world.setAttributes(step[1], { mtime: BigInt(step[2]) * 1_000_000_000n + 7n }); break
    case 'sync': break
  }
}

/** Steps that all succeed, drawn from a seed, below a folder of their own. */
export function randomSteps(seed: number, length: number, folder: string): Step[] {
  const random = randomFrom(seed)
  const steps: Step[] = [['mkdir', folder], ['mkdir', `${folder}/s`]]
  let world = worldsOf(steps, '').at(-1)!
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!
  const ids = new NodeIds()
  for (let i = 0; i < 1_000; i++) ids.next()
  while (steps.length < length) {
    const path = `${folder}/${pick(['', 's/'])}${pick(['a', 'b', 'a~', 'c.txt', '.h'])}`
    const other = `${folder}/${pick(['', 's/'])}${pick(['a', 'b', 'a~', 'c.txt', '.h'])}`
    const size = Math.floor(random() * 5_000)
    const step: Step = pick<Step>([['write', path, size], ['write', path, size], ['write', path, size], ['append', path, 20], ['truncate', path, 10], ['unlink', path], ['rename', path, other], ['rename', path, other]])
    const next = world.clone()
    try {
      apply(next, step, steps.length, '', ids)
    } catch {
      continue
    }
    if (step[0] === 'rename' && path === other) continue
    world = next
    steps.push(step)
  }
  return steps
}
