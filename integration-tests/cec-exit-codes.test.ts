/**
 * Every command, as a process on a fresh machine: no account, no server, no terminal. What needs one of them ends at once with 1 or 2 and a
 * sentence on stderr; nothing waits for an answer, nothing but results is on stdout. Wrong command lines: src/cli/command-lines.test.ts.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { COMMANDS } from '../src/cli/commands.js'
import { describeCommand, type CommandInfo } from '../src/cli/describe.js'
import { noTerminal, onTerminal } from './helpers/terminal.js'
import { startFilesServer } from './helpers/files-server.js'
import { freshHome } from './helpers/run-cec.js'

const below = (info: CommandInfo): CommandInfo[] => [info, ...info.commands.flatMap(below)]

/** Arguments that let a command begin; others get a path for each that they demand. */
const ARGUMENTS: Readonly<Record<string, readonly string[]>> = {
  'completion': ['bash'], 'doc': ['--path', 'pages'], 'scp': ['here', 'cells://ws'], 'sync': ['here', 'cells://ws'], 'check': ['here', 'cells://ws'],
  'meta get': ['--path', 'ws/a'], 'meta set': ['--path', 'ws/a', '-o', 'update', '-n', 'x', '-s', 'y'], 'idm list-acls': ['-n', 'x'], 'share': ['ws/a'],
  'jobs delete': ['--job-id', 'x'], 'tools hash': ['--file', 'nothing-here'], 'trash restore': ['ws/recycle_bin/a'],
  'version isvalid': ['1.0'], 'version isrelease': ['1.0'], 'version isgreater': ['2.0', '1.0'],
  'tools version isvalid': ['1.0'], 'tools version isrelease': ['1.0'], 'tools version isgreater': ['2.0', '1.0'],
}

/** What works without anything. */
const WORKS = new Set(['completion', 'config ls', 'doc', 'update', 'version', 'complete-paths', ...Object.keys(ARGUMENTS).filter((name) => name.includes('version is'))])
/** What would have to ask, and cannot; what needs one more word. */
const ASKS = new Set(['config add', 'configure', 'oauth', 'tools version'])
/** What it finds out is its result, although it is no success. */
const TELLS = new Set(['config check-keyring'])

test('commands without an account, a server or a terminal', async (t) => {
  const home = await freshHome(t)
  const leaves = (await Promise.all(COMMANDS.map((line) => describeCommand(line)))).flatMap(below).filter((info) => info.commands.length === 0 || info.positionals.length + info.flags.length > 0)
  assert.ok(leaves.length >= 45, String(leaves.length))
  const waiting = [...leaves]
  const next = async (): Promise<void> => {
    for (let info = waiting.shift(); info !== undefined; info = waiting.shift()) {
      const words = ARGUMENTS[info.name] ?? info.synopsis.split(' ').filter((word) => word.startsWith('<')).map(() => 'ws/a')
      const { code, stdout, stderr } = await home.cec([...info.name.split(' '), ...words])
      const said = `cec ${info.name} ${words.join(' ')}\n${stdout}${stderr}`
      assert.equal(code, WORKS.has(info.name) ? 0 : ASKS.has(info.name) ? 2 : 1, said)
      if (!WORKS.has(info.name) && !TELLS.has(info.name)) assert.equal(stdout, '', said)
      if (code !== 0 && !TELLS.has(info.name)) assert.match(stderr, /^(WARN\t[^\n]*\n)?cec: (?!unexpected)[^\n]+\n(Try "cec --help"\.\n)?$/, said)
    }
  }
  await Promise.all([next(), next(), next()])
})

test('a question is never answered by what is piped in', async (t) => {
  const files = await startFilesServer()
  const [home, ws] = await Promise.all([freshHome(t), files.folder(t)])
  t.after(() => files.close())
  await files.seed(ws, { a: 'a' })
  for (const [words, expected] of [
    [['rm', `${ws}/a`], 1], [['trash', 'empty'], 1], [['share', ws, '--ask-password'], 1], [['config', 'add'], 2], [['configure'], 2],
  ] as const) {
    const { code, stdout, stderr } = await home.cec(words, { env: words[0] === 'config' || words[0] === 'configure' ? {} : files.env, input: 'y\ny\nyes\n\n' })
    if (words[0] === 'trash' && code === 0) continue
    assert.deepEqual([code, stdout], [expected, ''], `${words.join(' ')}\n${stderr}`)
    assert.match(stderr, /terminal/)
  }
  assert.deepEqual(await files.tree(ws), ['a'])
})

test('a terminal alone on stdout is none to ask on', { skip: noTerminal }, async (t) => {
  const home = await freshHome(t)
  const shown = await onTerminal(home, {}, ['config', 'add', '--url', 'http://localhost:9', '--token', 'x', '--skip-keyring'], [{ prompt: 'How do you want', keys: '\u0003' }])
  assert.equal(shown.code, 1, shown.stdout)
  assert.match(shown.stdout, /aborted by user/)
})
