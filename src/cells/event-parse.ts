/** From a text message of `/ws/event` to a CellsEvent (contract, section 7; newer-servers 3.7). */
import { jobStatus } from './jobs.js'
import { asString, isObject, parseNode } from './node.js'
import type { CellsEvent } from './types.js'

/**
 * undefined for what says nothing: the string `"dump"` that follows each event, unknown types,
 * broken JSON. A node event of which only one end can be read becomes what that end says.
 */
export function parseEvent(text: string): CellsEvent | undefined {
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isObject(message)) return undefined
  if (message['@type'] === 'idm') return { type: 'idm' }
  if (isObject(message['TaskUpdated'])) return taskEvent(message['TaskUpdated'])
  if (message['Source'] === undefined && message['Target'] === undefined) return undefined
  const source = parseNode(message['Source'])
  const target = parseNode(message['Target'])
  switch (message['Type']) {
    // CREATE is the zero value, so it is left out on the wire.
    case undefined: case '': case 'CREATE': return target && { type: 'create', node: target }
    case 'UPDATE_CONTENT': return target && { type: 'content', node: target }
    case 'UPDATE_META': case 'UPDATE_USER_META': return target && { type: 'meta', node: target }
    case 'UPDATE_PATH':
      if (source && target) return { type: 'path', source, target }
      if (target) return { type: 'create', node: target }
      return source && { type: 'delete', source }
    case 'DELETE': return source && { type: 'delete', source }
    default: return undefined
  }
}

function taskEvent(task: Readonly<Record<string, unknown>>): CellsEvent | undefined {
  const jobId = asString(task['JobID'])
  if (jobId === '') return undefined
  const progress = typeof task['Progress'] === 'number' && Number.isFinite(task['Progress']) ? task['Progress'] : 0
  return { type: 'task', jobId, status: jobStatus(task['Status']), message: asString(task['StatusMessage']), progress }
}
