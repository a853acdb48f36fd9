/**
 * What a model run is made of: a setting (which server, what befalls requests and events) and a list of operations,
 * all plain data, so that a failing run can be shrunk, printed and pasted into a test.
 */
import fc from 'fast-check'

/** `flags` of open: r read, w read and write, c create, a append. Sizes and offsets are bytes. */
export type Operation =
  /** Create or replace whole: open with O_TRUNC, write, close. */
  | readonly ['write', string, number]
  /** Open, read all, truncate, write, close: replaces exactly what it has read. */
  | readonly ['edit', string, number]
  | readonly ['patch', string, number, number]
  | readonly ['append', string, number]
  | readonly ['truncate', string, number]
  | readonly ['read', string]
  | readonly ['stat', string]
  | readonly ['list', string]
  | readonly ['mkdir', string]
  | readonly ['rmdir', string]
  | readonly ['unlink', string]
  | readonly ['rename', string, string]
  | readonly ['symlink', string, string]
  | readonly ['chmod', string, number]
  | readonly ['mtime', string, number]
  | readonly ['open', number, string, 'r' | 'w' | 'c' | 'a']
  | readonly ['hwrite', number, number, number]
  | readonly ['hread', number]
  | readonly ['htruncate', number, number]
  | readonly ['fsync', number]
  | readonly ['close', number]
  /** A second client, on the server. */
  | readonly ['their put', string, number]
  | readonly ['their delete', string]
  | readonly ['their move', string, string]
  | readonly ['their mkdir', string]
  /** Until the server shows what the second client did. */
  | readonly ['wait']
  /** Milliseconds: until something is on its way to the server, say. */
  | readonly ['pause', number]
  /** The kernel lets go of every inode. */
  | readonly ['forget']
  /** The event stream is cut. */
  | readonly ['cut']
  /** Quiescence: everything is sent and shown; the mount, the server and the model must agree. */
  | readonly ['sync']
  /** Quiescence, then a new engine over the same state, with or without its blocks. */
  | readonly ['restart', 'warm' | 'cold']

export interface Setting {
  readonly server: 2 | 4
  /** What befalls events on their way. */
  readonly events: 'plain' | 'late' | 'lost' | 'twice' | 'shuffled' | 'wild'
  /** Of 100 requests of the mount, how many go wrong. */
  readonly faults: number
  /** For what is drawn while the run goes on. */
  readonly seed: number
}

export interface Run {
  readonly setting: Setting
  readonly operations: readonly Operation[]
}

const FOLDERS = ['d', 'd/s', 'e'] as const
const FILES = ['a', 'b', 'a~', 'c.txt', '.h'] as const
const file = fc.tuple(fc.constantFrom('', ...FOLDERS), fc.constantFrom(...FILES)).map(([folder, name]) => folder === '' ? name : `${folder}/${name}`)
const folder = fc.constantFrom(...FOLDERS, 'e/t')
const path = fc.oneof({ weight: 5, arbitrary: file }, { weight: 1, arbitrary: folder })
const size = fc.oneof({ weight: 6, arbitrary: fc.integer({ min: 8, max: 60 }) }, { weight: 1, arbitrary: fc.constantFrom(0, 5_000, 70_000) })
const offset = fc.oneof({ weight: 6, arbitrary: fc.integer({ min: 0, max: 60 }) }, { weight: 1, arbitrary: fc.constantFrom(4_096, 100_000) })
const slot = fc.integer({ min: 0, max: 2 })

type Weighted = { readonly weight: number; readonly arbitrary: fc.Arbitrary<Operation> }
const of = (weight: number, ...parts: [fc.Arbitrary<string>, ...fc.Arbitrary<unknown>[]]): Weighted => ({ weight, arbitrary: fc.tuple(...parts) as unknown as fc.Arbitrary<Operation> })
const word = (text: string): fc.Arbitrary<string> => fc.constant(text)

const OURS: readonly Weighted[] = [
  of(12, word('write'), file, size), of(5, word('edit'), file, size), of(4, word('patch'), file, offset, size), of(4, word('append'), file, size),
  of(4, word('truncate'), file, offset), of(5, word('read'), file), of(3, word('stat'), path), of(3, word('list'), fc.constantFrom('', ...FOLDERS)),
  of(4, word('mkdir'), folder), of(2, word('rmdir'), folder), of(6, word('unlink'), file), of(8, word('rename'), file, file), of(2, word('rename'), folder, folder),
  of(1, word('symlink'), word('a'), fc.constantFrom('l', 'd/l')), of(1, word('unlink'), fc.constantFrom('l', 'd/l')), of(1, word('rename'), fc.constantFrom('l', 'd/l'), fc.constantFrom('l', 'd/l', 'b')),
  of(2, word('chmod'), path, fc.constantFrom(0o600, 0o755, 0o640)), of(2, word('mtime'), file, fc.integer({ min: 1, max: 2_000_000_000 })),
  of(5, word('open'), slot, file, fc.constantFrom('r', 'w', 'c', 'a')), of(6, word('hwrite'), slot, offset, size), of(3, word('hread'), slot),
  of(2, word('htruncate'), slot, offset), of(2, word('fsync'), slot), of(4, word('close'), slot),
  of(1, word('forget')), of(1, word('pause'), fc.constantFrom(5, 20, 60)),
]

const THEIRS: readonly Weighted[] = [of(9, word('their put'), file, size), of(3, word('their delete'), path), of(3, word('their move'), path, path), of(2, word('their mkdir'), folder), of(5, word('wait')), of(1, word('cut'))]
const MARKS: readonly Weighted[] = [of(4, word('sync')), of(1, word('restart'), fc.constantFrom('warm', 'cold'))]

/** Folders to work in, so that not every operation is an ENOENT. */
const START: readonly Operation[] = [['mkdir', 'd'], ['mkdir', 'd/s'], ['mkdir', 'e']]

function operations(kinds: readonly Weighted[], length: number): fc.Arbitrary<readonly Operation[]> {
  return fc.array(fc.oneof(...kinds), { minLength: Math.floor(length / 2), maxLength: length, size: 'max' }).map((list) => [...START, ...list])
}

const calm: fc.Arbitrary<Setting> = fc.record({ server: fc.constantFrom(2, 4), events: fc.constant('plain'), faults: fc.constant(0), seed: fc.integer() })
const rough: fc.Arbitrary<Setting> = fc.record({
  server: fc.constantFrom(2, 4), events: fc.constantFrom('plain', 'late', 'lost', 'twice', 'shuffled', 'wild'), faults: fc.constantFrom(0, 0, 5, 20), seed: fc.integer(),
})

/** `solo`: only us; every answer is certain. `shared`: the second client too. `rough`: requests and events suffer as well. */
export type RunKind = 'solo' | 'shared' | 'rough'

export function runs(kind: RunKind, length: number): fc.Arbitrary<Run> {
  const kinds = kind === 'solo' ? [...OURS, ...MARKS] : [...OURS, ...THEIRS, ...MARKS]
  return fc.record({ setting: kind === 'rough' ? rough : calm, operations: operations(kinds, length) })
}

/** The run as a test to paste into model.test.ts. */
export function asTest(run: Run, name: string): string {
  const setting = `{ ${Object.entries(run.setting).map(([key, value]) => `${key}: ${typeof value === 'string' ? `'${value}'` : value}`).join(', ')} }`
  const text = (value: string | number): string => typeof value === 'string' ? `'${value}'` : String(value)
  const lines = run.operations.map((operation) => `    [${operation.map(text).join(', ')}],`)
  return [`it('${name.replace(/['\n]/g, ' ').slice(0, 120)}', () => replay({`, `  setting: ${setting},`, '  operations: [', ...lines, '  ],', '}))'].join('\n')
}
