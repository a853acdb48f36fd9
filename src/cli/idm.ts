/** `cec idm`: users, groups, roles, workspaces and ACLs (cec-reference 9). */
import type { Argv } from 'yargs'
import { deleteAcl, listAcls, listGroups, listRoles, listUsers, listWorkspaces, type IdmAcl } from '../cells/idm.js'
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { withServer } from './context.js'
import { CommandError } from './errors.js'
import { counted } from './human.js'
import { declareJson, printJson, wantsJson } from './json.js'
import type { CecArgv } from './options.js'
import { PARSER } from './parser.js'
import { hasTerminal, terminalPrompter } from './prompts.js'
import { printable } from './table.js'

const printLines = (lines: readonly string[]): void => print(lines.map(printable).join('\n'))

/** JSON: `[{ uuid, login, groupPath, attributes }]`. */
async function users(argv: CecArgv): Promise<void> {
  await withServer(argv, async ({ rest }, { signal }) => {
    const found = await listUsers(rest, { signal })
    if (wantsJson(argv)) printJson(found)
    else printLines(found.length === 0 ? ['No user found.'] : [`Found ${counted(found.length, 'user')}:`, ...found.map((user) => `  - ${user.login}`)])
  })
}

/** JSON: `[{ uuid, label, groupPath }]`. */
async function groups(argv: CecArgv): Promise<void> {
  await withServer(argv, async ({ rest }, { signal }) => {
    const found = await listGroups(rest, { signal })
    if (wantsJson(argv)) printJson(found)
    else printLines(found.length === 0 ? ['No group found.'] : [`Found ${counted(found.length, 'group')}:`, ...found.map((group) => `  - ${group.label}`)])
  })
}

const ROLE_SUFFIX = { role: '', group: ' __ GROUP ROLE ', user: ' __ USER ROLE ' }

/** JSON: `[{ uuid, label, kind }]`, kind one of role, group, user. */
async function roles(argv: CecArgv): Promise<void> {
  await withServer(argv, async ({ rest }, { signal }) => {
    const found = await listRoles(rest, { signal })
    if (wantsJson(argv)) printJson(found)
    else printLines([`Found ${found.length} roles`, ...found.map((role) => ` -- ${role.label}${ROLE_SUFFIX[role.kind]}`)])
  })
}

/** JSON: `[{ uuid, slug, label, description, scope }]`. */
async function workspaces(argv: CecArgv): Promise<void> {
  await withServer(argv, async ({ rest }, { signal }) => {
    const found = await listWorkspaces(rest, { signal })
    if (wantsJson(argv)) printJson(found)
    else if (found.length > 0) print([`Found ${found.length} workspaces:`, ...found.map((workspace) => `\t- ${printable(workspace.label)}`)].join('\n'))
  })
}

/** `--uuid`, repeated or with commas. yargs gives an array where there are several. */
function uuidsOf(argv: CecArgv): string[] {
  const given = ([] as unknown[]).concat(argv['uuid'] ?? []).map(String)
  const uuids = given.flatMap((text) => text.split(',')).map((text) => text.trim()).filter((text) => text !== '')
  if (uuids.length === 0) throw new CommandError('please name at least one node with --uuid')
  return [...new Set(uuids)]
}

/**
 * Lists, then deletes if it was asked for and confirmed, one request per ACL; the first failure ends it.
 *
 * JSON: `[{ id, nodeId, roleId, workspaceId, action, value }]`; with `--delete` also `deleted`.
 */
async function acls(argv: CecArgv): Promise<void> {
  const uuids = uuidsOf(argv)
  const deleting = argv['delete'] === true
  await withServer(argv, async ({ rest }, { signal, logger }) => {
    const found = await listAcls(rest, uuids, { signal })
    if (!wantsJson(argv)) await printAcls(found)
    const gone = new Set<string>()
    try {
      if (!deleting || found.length === 0) return
      if (argv['force'] !== true && !await confirmed(found.length)) {
        logger.info('Nothing was deleted.')
        return
      }
      for (const acl of found) {
        await deleteAcl(rest, acl, { signal })
        gone.add(acl.id)
        if (!wantsJson(argv)) print(printable(`Deleted ${line(acl)}`))
      }
    } finally {
      if (wantsJson(argv)) printJson(deleting ? found.map((acl) => ({ ...acl, deleted: gone.has(acl.id) })) : found)
    }
  })
}

const line = (acl: IdmAcl): string => `${acl.nodeId} | ${acl.roleId} | ${acl.action} | ${acl.workspaceId}`

async function printAcls(found: readonly IdmAcl[]): Promise<void> {
  if (found.length === 0) return
  const { formatTable } = await import('./table.js')
  printLines([`Found ${found.length} ACLs:`, ...found.map((acl) => `  - ${line(acl)}`)])
  print(formatTable(['UUID', 'Role ID', 'Action Name', 'WS ID'], found.map((acl) => [acl.nodeId, acl.roleId, acl.action, acl.workspaceId]), { wrap: false }))
}

/** @throws CommandError without a terminal to ask on */
async function confirmed(count: number): Promise<boolean> {
  if (!hasTerminal()) throw new CommandError('there is no terminal to ask for confirmation, nothing was deleted; use --force to delete without asking')
  return await terminalPrompter().confirm(`Delete ${counted(count, 'ACL')}?`)
}

const run = (action: (argv: CecArgv) => Promise<void>) => async (argv: unknown): Promise<void> => await action(argv as CecArgv)

export const command: CecCommand = {
  command: 'idm',
  describe: 'List users, groups, roles, workspaces and ACLs',
  builder: (yargs: Argv) => yargs
    .usage('$0 idm <command>')
    .command('list-users', 'List the users', declareJson, run(users))
    .command('list-groups', 'List the groups', declareJson, run(groups))
    .command('list-roles', 'List the roles', declareJson, run(roles))
    .command('list-workspaces', 'List the workspaces', declareJson, run(workspaces))
    .command('list-acls', 'List the ACLs on nodes, or delete them', (own) => declareJson(own)
      // Collected by hand: everywhere else the last of two flags wins.
      .parserConfiguration({ ...PARSER, 'duplicate-arguments-array': true, 'greedy-arrays': false })
      .option('uuid', { alias: 'n', type: 'string', array: true, requiresArg: true, describe: 'Uuid of a node; repeat it, or separate several by commas' })
      .option('delete', { type: 'boolean', describe: 'Delete what was listed, after a question' })
      .option('force', { alias: 'f', type: 'boolean', describe: 'With --delete: do not ask' }),
    run(acls))
    .demandCommand(1, 'which of list-users, list-groups, list-roles, list-workspaces, list-acls?'),
  handler: () => {},
}
