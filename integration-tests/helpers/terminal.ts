/** Runs cec on a terminal of its own (the `script` program) and answers its questions. */
import { execFileSync, spawn } from 'node:child_process'
import { CEC, type Home, type Result } from './run-cec.js'

/** Why such a test cannot run here, or false. For the `skip` option. */
export const noTerminal: string | false = ((): string | false => {
  try {
    execFileSync('script', ['-qec', 'true', '/dev/null'], { stdio: 'ignore' })
    return false
  } catch {
    return 'the script program is not installed'
  }
})()

const LONGEST_MS = 120_000

export interface Question {
  /** Text on the screen that says the question is asked. */
  readonly prompt: string
  readonly keys: string
}

/** All that the terminal showed is in `stdout`. Questions are answered in their order. */
export async function onTerminal(home: Home, env: NodeJS.ProcessEnv, words: readonly string[], questions: readonly Question[]): Promise<Result> {
  const quoted = [process.execPath, CEC, ...words].map(word => `'${word}'`).join(' ')
  const child = spawn('script', ['-qec', quoted, '/dev/null'], { env: { ...home.env, ...env, TERM: 'xterm' }, cwd: home.dir, stdio: 'pipe' })
  let output = ''
  let seen = 0
  let next = 0
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    const question = questions[next]
    const at = question === undefined ? -1 : output.indexOf(question.prompt, seen)
    if (question === undefined || at < 0) return
    next++
    seen = output.length
    child.stdin.write(question.keys)
  })
  // A question that never comes would be waited for for ever.
  const timer = setTimeout(() => {
    output += `\n[ended by the test: waiting for ${JSON.stringify(questions[next]?.prompt)}]`
    child.kill('SIGKILL')
  }, LONGEST_MS)
  const code = await new Promise<number | null>(resolve => child.once('close', resolve))
  clearTimeout(timer)
  return { code, stdout: output, stderr: '' }
}
