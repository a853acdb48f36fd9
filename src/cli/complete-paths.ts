/**
 * `cec complete-paths` (hidden): the paths in a folder, for the completion scripts; `:accounts` and `:datasources` give names instead, which
 * no folder has. A person waits for it at every TAB, so a
 * listing is kept on disk for a while: a young one is the answer; an older one is too, and is fetched anew by a process of
 * its own meanwhile. Failures are silent: there is nothing to complete.
 */
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { accountsHome, cacheHome } from '../paths.js'
import { cleanRemotePath } from '../transfer/names.js'
import type { CecCommand } from './command.js'
import { resolveGlobals } from './options.js'
import type { CecArgv, GlobalOptions } from './options.js'

const FRESH_MS = 15_000
const USABLE_MS = 24 * 3_600_000
/** A folder of more is not completed by anybody; the shell would only ask whether to show them all. */
const MOST_ENTRIES = 5000

const ACCOUNTS = ':accounts'
const DATA_SOURCES = ':datasources'

const home = (): string => join(cacheHome(), 'completion')

/** Whose view of which server, told without asking anybody; nothing secret is in the name of a file. */
async function accountKey(globals: GlobalOptions): Promise<string> {
  const { url, token, login } = globals
  if (url !== '' && (token !== '' || login !== '')) return [url, token, login].join('\0')
  const folder = globals.config === '' ? accountsHome() : globals.config
  const accounts = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as { ActiveConfigID?: string }
  return `account\0${String(accounts.ActiveConfigID)}`
}

async function cached(file: string): Promise<{ readonly text: string; readonly ageMs: number } | undefined> {
  try {
    const [text, { mtimeMs }] = await Promise.all([readFile(file, 'utf8'), stat(file)])
    return { text, ageMs: Date.now() - mtimeMs }
  } catch {
    return undefined
  }
}

/** What `config use` takes: the label, or the id where a label is that of several. */
async function accountNames(globals: GlobalOptions): Promise<string> {
  const accounts = JSON.parse(await readFile(join(globals.config === '' ? accountsHome() : globals.config, 'config.json'), 'utf8')) as { Configs?: Record<string, { label?: unknown }> }
  const ids = Object.entries(accounts.Configs ?? {}).map(([id, { label }]) => ({ id, label: typeof label === 'string' ? label : '' }))
  const isClear = (label: string): boolean => label !== '' && ids.filter((other) => other.label === label).length === 1
  return ids.map(({ id, label }) => `${isClear(label) ? label : id}\n`).sort().join('')
}

async function list(argv: CecArgv, folder: string): Promise<string> {
  const [{ withServer }, { rawPath, workspaceNode }] = await Promise.all([import('./context.js'), import('./entry.js')])
  return withServer({ ...argv, log: 'error' }, async (server, { signal }) => {
    const paths: string[] = []
    if (folder === DATA_SOURCES) paths.push(...(await (await import('../cells/datasources.js')).listDataSources(server.rest, { signal })).map(({ name }) => name))
    else if (folder === '') paths.push(...(await server.workspaces({ signal })).map(workspace => rawPath(workspaceNode(workspace))))
    else for await (const page of server.list(folder, { signal })) paths.push(...page.map(rawPath))
    // A name with a line break would be two.
    return paths.filter(path => !path.includes('\n')).slice(0, MOST_ENTRIES).map(path => `${path}\n`).join('')
  })
}

async function keep(file: string, text: string): Promise<void> {
  await mkdir(home(), { recursive: true, mode: 0o700 })
  const temporary = `${file}.${randomBytes(4).toString('hex')}`
  await writeFile(temporary, text, { mode: 0o600 })
  await rename(temporary, file)
  for (const name of await readdir(home())) {
    const path = join(home(), name)
    const old = await stat(path).then(info => Date.now() - info.mtimeMs > USABLE_MS, () => false)
    if (old) await rm(path, { force: true })
  }
}

/** With the environment of this one; secrets on the command line are not handed on. */
function refreshInBackground(globals: GlobalOptions, folder: string): void {
  const config = globals.config === '' ? [] : ['--config', globals.config]
  spawn(process.execPath, [process.argv[1] ?? '', 'complete-paths', '--refresh', ...config, folder], { detached: true, stdio: 'ignore' }).unref()
}

async function handler(argv: CecArgv): Promise<void> {
  const folder = cleanRemotePath((argv['folder'] as string | undefined) ?? '')
  const globals = resolveGlobals(argv)
  try {
    if (folder === ACCOUNTS) {
      process.stdout.write(await accountNames(globals))
      return
    }
    const file = join(home(), createHash('sha256').update(`${await accountKey(globals)}\0${folder}`).digest('hex').slice(0, 32))
    const known = argv['refresh'] === true ? undefined : await cached(file)
    const bySecrets = argv['token'] !== undefined || argv['password'] !== undefined
    if (known !== undefined && (known.ageMs < FRESH_MS || (known.ageMs < USABLE_MS && !bySecrets))) {
      process.stdout.write(known.text)
      if (known.ageMs >= FRESH_MS) refreshInBackground(globals, folder)
      return
    }
    const text = await list(argv, folder)
    process.stdout.write(text)
    await keep(file, text)
  } catch {
    // No account, no server, no such folder.
  }
}

export const command: CecCommand = {
  command: 'complete-paths [folder]',
  describe: false,
  builder: yargs => yargs
    .positional('folder', { type: 'string', describe: 'workspace/folder' })
    .option('refresh', { type: 'boolean', hidden: true, describe: 'Ask the server, whatever is cached' }),
  handler,
}
