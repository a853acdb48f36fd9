/**
 * The operations of libfuse 2's high-level interface in terms of the engine: paths become inodes, small
 * descriptor numbers become handles.
 *
 * Left out on purpose: `access` (default_permissions lets the kernel decide), `opendir` (the binding gives readdir no handle, so
 * one readdir call lists the whole folder under a handle of its own), locks (the kernel keeps them locally),
 * `ioctl`, `poll` and `fallocate` (the binding has none).
 */
import type { Logger } from '../../../log.js'
import type { Handlers, OpName } from './binding.js'
import { createHandler, type Operation } from './calls.js'
import { attributeOperations } from './attributes.js'
import { contentOperations } from './contents.js'
import type { Context } from './context.js'
import { nameOperations } from './names.js'

export type OperationTable = { [N in Exclude<OpName, 'init'>]: Operation<N> }

export function createHandlers(context: Context, log: Logger): Omit<Handlers, 'init'> {
  const table: OperationTable = { ...nameOperations(context), ...contentOperations(context), ...attributeOperations(context) }
  const handler = <N extends keyof OperationTable>(name: N): unknown => createHandler<N>(name, table[name], context.binding, log)
  return Object.fromEntries((Object.keys(table) as (keyof OperationTable)[]).map((name) => [name, handler(name)])) as unknown as Omit<Handlers, 'init'>
}
