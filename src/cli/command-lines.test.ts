/** Wrong command lines of every command that there is, from the declarations: exit code 2, one sentence on stderr, nothing on stdout. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { COMMANDS } from './commands.js'
import { describeCommand, type CommandInfo } from './describe.js'
import { GLOBAL_OPTIONS } from './options.js'
import { runProgram } from './program.js'

/** Runs a command line in this process and catches what it says. No handler may be reached. */
async function run(words: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const said = { stdout: '', stderr: '' }
  const real = { stdout: process.stdout.write.bind(process.stdout), stderr: process.stderr.write.bind(process.stderr) }
  for (const name of ['stdout', 'stderr'] as const) {
    process[name].write = (text: string | Uint8Array): boolean => {
      said[name] += String(text)
      return true
    }
  }
  try {
    return { code: await runProgram({ name: 'cec', describe: 'x', commands: COMMANDS, globals: GLOBAL_OPTIONS }, words), ...said }
  } finally {
    process.stdout.write = real.stdout
    process.stderr.write = real.stderr
  }
}

async function refused(words: readonly string[], message: RegExp): Promise<void> {
  const { code, stdout, stderr } = await run(words)
  const line = `cec ${words.join(' ')}: ${stderr}`
  assert.equal(code, 2, line)
  assert.equal(stdout, '', line)
  assert.match(stderr, message, line)
  assert.match(stderr, /^cec: [^\n]+\nTry "cec --help"\.\n$/, line)
}

const below = (info: CommandInfo): CommandInfo[] => [info, ...info.commands.flatMap(below)]
const all = (await Promise.all(COMMANDS.map((line) => describeCommand(line)))).flatMap(below)
const leaves = all.filter((info) => info.commands.length === 0 || info.positionals.length > 0)

/** Arguments that the command demands. */
const demanded = (info: CommandInfo): string[] => info.synopsis.split(' ').filter((word) => word.startsWith('<')).map((_, index) => {
  const choices = info.positionals[index]?.choices ?? []
  return choices[0] ?? 'ws/a'
})

/** Flags that the command demands. */
const ALSO: Readonly<Record<string, readonly string[]>> = { doc: ['--path', 'x'] }

describe('wrong command lines', () => {
  it('there are commands', () => {
    assert.ok(leaves.length >= 45, String(leaves.length))
  })

  for (const info of leaves) {
    const words = info.name.split(' ')
    const given = [...demanded(info), ...ALSO[info.name] ?? []]
    it(`cec ${info.name}`, async () => {
      await refused([...words, ...given, '--nope'], /Unknown argument: nope/)
      await refused([...words, ...given, '-Z'], /Unknown argument: Z/)
      for (let count = 0; count < given.length; count++) await refused([...words, ...given.slice(0, count)], /Not enough|which of|Missing/)
      for (const flag of info.flags) {
        if (flag.type === 'boolean') await refused([...words, ...given, `--${flag.name}=perhaps`], /is true or false, not "perhaps"/)
        else await refused([...words, ...given, `--${flag.name}`], /Not enough arguments following|Missing/)
        if (flag.choices.length > 0) await refused([...words, ...given, `--${flag.name}`, 'nonsense'], /Choices|Missing/)
      }
      for (const [index, word] of info.positionals.entries()) {
        if (word.choices.length > 0) await refused([...words, ...given.slice(0, index), 'nonsense'], /Choices/)
      }
    })
  }

  for (const info of all.filter((each) => each.commands.length > 0 && each.positionals.length === 0 && each.flags.length === 0)) {
    it(`cec ${info.name} by itself, or with a command that there is not`, async () => {
      await refused(info.name.split(' '), /^cec: which of /)
      await refused([...info.name.split(' '), 'nope'], /Unknown|Did you mean/)
    })
  }

  it('commands and help that there is not', async () => {
    for (const words of [['nope'], ['lss'], ['help', 'nope'], ['--nope'], ['--log'], ['--skip-verify=2', 'ls']]) {
      const { code, stdout, stderr } = await run(words)
      assert.deepEqual([code, stdout], [2, ''], words.join(' '))
      assert.notEqual(stderr, '')
    }
  })

  it('booleans are written as the original takes them', async () => {
    for (const word of ['1', 't', 'T', 'TRUE', 'True', 'true']) assert.match((await run(['tools', 'version', 'isvalid', '1.0', `--quiet=${word}`])).stdout, /^1\n$/)
    for (const word of ['0', 'f', 'F', 'FALSE', 'False', 'false']) assert.equal((await run(['tools', 'version', 'isvalid', '1.0', `--quiet=${word}`])).stdout, '')
    assert.match((await run(['tools', 'version', 'isvalid', '1.0', '-q=1'])).stdout, /^1\n$/)
  })
})
