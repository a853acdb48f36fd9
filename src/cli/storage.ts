/** `cec storage`: data sources, an administrator's matter (cec-reference 10.1). */
import type { Argv } from 'yargs'
import { listDataSources, startResync, type DataSource } from '../cells/datasources.js'
import { isCellsError } from '../cells/errors.js'
import type { CellsConnection } from '../cells/client.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { withServer } from './context.js'
import { CommandError } from './errors.js'
import { declareJson, printJson, wantsJson } from './json.js'
import type { CecArgv } from './options.js'
import { printable } from './table.js'

/** JSON: `[{ name, type, flat, disabled }]`. */
async function list(argv: CecArgv): Promise<void> {
  await withServer(argv, async ({ rest }, { signal }) => {
    const found = await forAdministrators(listDataSources(rest, { signal }))
    if (wantsJson(argv)) printJson(found)
    else if (found.length > 0 && argv['raw'] === true) print(found.map(({ name }) => printable(name)).join('\n'))
    else if (found.length > 0) print([`* ${found.length} datasources`, ...found.map(({ name }) => `  - ${printable(name)}`)].join('\n'))
  })
}

async function forAdministrators<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (isCellsError(error, 'forbidden')) throw new CommandError('forbidden: only administrators may list the data sources')
    throw error
  }
}

/** JSON: `{ datasource, job }`. */
async function resync(argv: CecArgv): Promise<void> {
  const name = String(argv['name'])
  await withServer(argv, async (server, { signal }) => {
    await refuseUnknown(server, name, signal)
    const job = await startResync(server.rest, name, { signal })
    if (wantsJson(argv)) printJson({ datasource: name, job: job.id })
    else print(`Starting resync on ${name}`)
  })
}

/** The server starts a job for any name. Who may not list the data sources is not checked either. @throws CommandError */
async function refuseUnknown(server: CellsConnection, name: string, signal: AbortSignal): Promise<void> {
  let known: DataSource[]
  try {
    known = await listDataSources(server.rest, { signal })
  } catch (error) {
    if (isCellsError(error, 'forbidden')) return
    throw error
  }
  if (!known.some((source) => source.name === name)) throw new CommandError(`there is no data source ${name}; "cec storage list-datasources" shows them`)
}

export const command: CecCommand = {
  command: 'storage',
  describe: 'List data sources and read them anew',
  builder: (yargs: Argv) => yargs
    .usage('$0 storage <command>')
    .command('list-datasources', 'List the data sources', (own) => declareJson(own)
      .option('raw', { alias: 'r', type: 'boolean', describe: 'One name per line' }),
    async (argv) => await list(argv))
    .command('resync-ds <name>', 'Read a data source anew; does not wait for the end', (own) => declareJson(own)
      .positional('name', { type: 'string', demandOption: true, describe: 'Name of the data source' }),
    async (argv) => await resync(argv))
    .demandCommand(1, 'which of list-datasources, resync-ds?'),
  handler: () => {},
}
