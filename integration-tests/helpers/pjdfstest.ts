/**
 * Running the files of pjdfstest, and why a case of one cannot pass.
 *
 * A file is a shell script whose cases build on each other: where a device node could not be made, twenty cases later its name
 * is still missing. What follows from a refused call is not guessed: the same script runs on a local file system, with a stand-in for
 * the suite's program that refuses the same calls. A case that fails there with the answer that it fails with here
 * follows from the refusal; one that fails here only is a failure of ours.
 */
import { spawn } from 'node:child_process'
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface Case {
  readonly number: number
  /** As the shell runs it, with its variables put in. */
  readonly command: string
  readonly failed: boolean
  /** What the program said instead; '' where the case compares two values. */
  readonly answer: string
}

export interface Ran {
  readonly cases: readonly Case[]
  readonly planned: number
}

/** The headings of pjdfstest-exclusions.md. */
export const REASONS = ['Device nodes', 'Hard links', 'Long paths', 'Link counts of folders'] as const
export type Reason = (typeof REASONS)[number]

interface Refusal {
  /** Is this the refused call itself, and not something that follows? */
  readonly is: (command: string) => boolean
  /** Part of the stand-in, in sh: `real` is the suite's program, without the right to make device nodes where those are refused. */
  readonly shell: string
}

/** Where a server's paths end (src/cells/names.ts), less some folders for the mount. */
const LONG = 900

export const REFUSALS: Readonly<Record<Reason, Refusal>> = {
  'Device nodes': {
    is: (command) => / mknod \S+ [bc] /.test(command),
    // The kernel refuses them to root too, once CAP_MKNOD is gone; but not 0:0, which overlayfs uses.
    shell: `
      real="setpriv --bounding-set -mknod --inh-caps -mknod $real"
      case " $* " in *" mknod "*" c "*" 0 0 ") exec $real mknod "$2" c 0644 1 2 ;; esac`,
  },
  'Hard links': {
    is: (command) => / link \S+ \S+/.test(command),
    // link(2) looks at the old name, then at the new one, then at what the file system can do: as does a device node without the right to it.
    shell: `
      case " $* " in *" link "*)
        options=""; while [ "$1" != link ]; do options="$options $1"; shift; done
        answer=$($real $options lstat "$2" type)
        case "$answer" in E*) echo "$answer"; exit 1 ;; esac
        exec setpriv --bounding-set -mknod --inh-caps -mknod $real $options mknod "$3" c 0644 1 2
      esac`,
  },
  'Long paths': {
    is: (command) => command.split(/\s+/).some((word) => word.length > LONG),
    // The folders above the last name are made by mkdir(1), which has a stand-in of its own.
    shell: '',
  },
  'Link counts of folders': {
    is: (command) => / l?stat \S+ nlink$/.test(command),
    shell: `
      case " $* " in *"stat "*" nlink ") [ -d "$2" ] && { echo 2; exit; } ;; esac`,
  },
}

const SHORT_MKDIR = `#!/bin/sh
eval last=\\\${$#}
[ \${#last} -le ${LONG} ] && exec /bin/mkdir "$@"
/bin/mkdir -p "$(printf %s "$last" | cut -c1-${LONG} | sed 's,/[^/]*$,,')"
exit 1
`

/** The suite with a stand-in for its program, in `folder`. Returns the environment to run it in. */
export async function standIn(suite: string, folder: string, reasons: readonly Reason[]): Promise<NodeJS.ProcessEnv> {
  const bin = join(folder, 'bin')
  await mkdir(bin, { recursive: true })
  await symlink(join(suite, 'tests'), join(folder, 'tests'))
  const program = join(folder, 'pjdfstest')
  await writeFile(program, `#!/bin/sh\nreal=${join(suite, 'pjdfstest')}\n${reasons.map((it) => REFUSALS[it].shell).join('\n')}\nexec $real "$@"\n`)
  await chmod(program, 0o755)
  if (!reasons.includes('Long paths')) return process.env
  await writeFile(join(bin, 'mkdir'), SHORT_MKDIR)
  await chmod(join(bin, 'mkdir'), 0o755)
  return { ...process.env, PATH: `${bin}:${process.env['PATH'] ?? ''}` }
}

export async function runFile(file: string, cwd: string, env: NodeJS.ProcessEnv = process.env): Promise<Ran> {
  // Trace and results in one pipe, so that their order is that of writing.
  const child = spawn('sh', ['-c', 'exec sh -x "$0" 2>&1', file], { cwd, env, stdio: ['ignore', 'pipe', 'inherit'] })
  const chunks: Buffer[] = []
  child.stdout.on('data', (data: Buffer) => chunks.push(data))
  await new Promise((resolve) => child.once('close', resolve))
  const cases: Case[] = []
  let command = ''
  let planned = 0
  for (const line of Buffer.concat(chunks).toString('latin1').split('\n')) {
    const traced = /^\++ ((?:expect|test_check)\b.*)$/.exec(line)
    if (traced !== null) command = traced[1]!
    const plan = /^1\.\.(\d+)/.exec(line)
    if (plan !== null) planned = Number(plan[1])
    const result = /^(not ok|ok) (\d+)(.*)$/.exec(line)
    if (result === null) continue
    const failed = result[1] === 'not ok' && !line.includes('# TODO')
    cases.push({ number: Number(result[2]), command, failed, answer: /, got (.*)$/.exec(result[3]!)?.[1] ?? '' })
  }
  return { cases, planned }
}

/** Values that two file systems cannot have in common. */
const OWN = new Set(['inode', 'atime', 'mtime', 'ctime'])

function comparable({ command, answer }: Case): string {
  const fields = command.split(/\s+/).at(-1)!.split(',')
  return answer.split(',').map((value, index) => OWN.has(fields[index]!) && /^\d+$/.test(value) ? '#' : value).join(',')
}

/** Do both fail, and with the same answer? */
export function failAlike(one: Case, other: Case | undefined): boolean {
  return other !== undefined && one.failed && other.failed && comparable(one) === comparable(other)
}
