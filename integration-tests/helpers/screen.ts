/** A command on a terminal, through script(1), and what its screen shows at the end. */
import { spawn } from 'node:child_process'

/** Waits for the question on the screen, then types the answer. */
export type Answer = readonly [question: RegExp, type: (screen: string) => string | Promise<string>]

/** Text of a screen that is wide enough for every line, after all that `output` draws and redraws. */
export function screenOf(output: string): string {
  const rows: string[] = ['']
  let row = 0
  let column = 0
  for (const [piece, count, letter] of output.matchAll(/\u001b\[\??(\d*)[;\d]*([A-Za-z])|[^\u001b]/gu)) {
    const text = (rows[row] ??= '')
    if (letter === undefined) {
      if (piece === '\n') rows[++row] ??= ''
      else if (piece === '\r') column = 0
      else {
        rows[row] = text.slice(0, column).padEnd(column) + piece + text.slice(column + piece.length)
        column += piece.length
      }
    } else if (letter === 'A') row = Math.max(0, row - Number(count || 1))
    else if (letter === 'B') row += Number(count || 1)
    else if (letter === 'G') column = Number(count || 1) - 1
    else if (letter === 'K') rows[row] = count === '2' ? '' : text.slice(0, column)
  }
  return rows.map((line) => line.trimEnd()).join('\n')
}

/** Runs a shell command on a terminal of its own and returns its last screen. @throws when it ends with an error */
export async function onScreen(command: string, where: { env: NodeJS.ProcessEnv; cwd: string }, answers: readonly Answer[]): Promise<string> {
  const child = spawn('script', ['-qefc', `stty cols 1000; ${command}`, '/dev/null'], { cwd: where.cwd, env: { ...where.env, TERM: 'xterm', SHELL: '/bin/sh' }, stdio: 'pipe' })
  let output = ''
  let seen = 0
  let next = 0
  const look = async (): Promise<void> => {
    const answer = answers[next]
    if (answer === undefined || !answer[0].test(screenOf(output.slice(seen)))) return
    next++
    seen = output.length
    child.stdin.write(await answer[1](screenOf(output)))
  }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    look().catch((error: unknown) => {
      output += String(error)
      child.kill()
    })
  })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code !== 0) throw new Error(`exit code ${code} of \`${command}\`; the screen: ${screenOf(output)}`)
  return screenOf(output)
}
