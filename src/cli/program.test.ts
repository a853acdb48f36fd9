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
