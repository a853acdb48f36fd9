import assert from 'node:assert/strict'
import { it } from 'node:test'
import { runProgram, type Program } from './program.js'

const PROGRAM: Program = {
  name: 'prog',
  describe: 'A program',
  globals: {},
  commands: [{
    command: 'pets',
    describe: 'Pets',
    load: () => Promise.resolve({
      command: {
        command: 'pets', describe: 'Pets', handler: () => Promise.resolve(),
        builder: (yargs) => yargs.command('feed [pet]', 'Feed one', (own) => own.option('food', { type: 'string', describe: 'what it gets' }), () => {}),
      },
    }),
  }],
}

it('gives the help of a command of a command', async (test) => {
  const shown: string[] = []
  test.mock.method(console, 'log', (text: string) => { shown.push(text) })
  for (const words of [['help', 'pets', 'feed'], ['pets', 'feed', '--help'], ['help', 'pets'], ['help']]) assert.equal(await runProgram(PROGRAM, words), 0)
  const [feed, same, pets, all] = shown
  assert.match(feed!, /^prog pets feed \[pet\][^]*--food/)
  assert.equal(same, feed)
  assert.match(pets!, /feed \[pet\] +Feed one/)
  assert.match(all!, /A program[^]*prog pets/)
})

it('takes a token that begins with a dash for a token', async (test) => {
  test.mock.method(console, 'log', () => {})
  const tokens: unknown[] = []
  const keep = (argv: Readonly<Record<string, unknown>>): Promise<void> => {
    tokens.push(argv['token'])
    return Promise.resolve()
  }
  const line: Program['commands'][number] = {
    command: 'enter [words..]', describe: 'Enter',
    load: () => Promise.resolve({ command: { command: 'enter', describe: 'Enter', builder: (yargs) => yargs, handler: keep } }),
  }
  const program: Program = { ...PROGRAM, globals: { token: { name: 'token', alias: 't', type: 'string', default: '', describe: 'Token' } }, commands: [line] }
  for (const words of [['enter', '--token', '-xhy'], ['enter', '-t', '--h'], ['--token', 'plain', 'enter'], ['enter', '--token=-h'], ['enter', '--', '--token', '-h']]) {
    assert.equal(await runProgram(program, words), 0)
  }
  assert.deepEqual(tokens.map((token) => token ?? ''), ['-xhy', '--h', 'plain', '-h', ''])
})
