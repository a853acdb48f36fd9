/** What happens on the embedded server, a line each, told by its own event stream as to any other client. */
import { resolveConnection } from '../../auth/connection.js'
import { connect } from '../../cells/client.js'
import type { CellsEvent, CellsNode } from '../../cells/types.js'
import { orLate } from '../../signals.js'
import { humanSize } from '../human.js'
import { GLOBAL_OPTIONS, resolveOptions } from '../options.js'

function name(node: CellsNode): string {
  return node.kind === 'folder' ? `${node.path}/` : node.path
}

/** Undefined for what is no news to a person. */
function sentence(event: CellsEvent): string | undefined {
  switch (event.type) {
    case 'create':
      return event.node.kind === 'folder' ? `new      ${name(event.node)}` : `new      ${name(event.node)} (${humanSize(event.node.size)})`
    case 'content':
      return `saved    ${name(event.node)} (${humanSize(event.node.size)})`
    case 'path':
      return `moved    ${name(event.source)} -> ${name(event.target)}`
    case 'delete':
      return `deleted  ${name(event.source)}`
    case 'meta':
    case 'idm':
    case 'task':
      return undefined
  }
}

/** Longest wait for the sign-in of a stream that is to end. */
const SIGN_IN_MS = 2_000

/** Follows the changes that `login` may see until `close`, which leaves no request of its own behind. */
export function followChanges(url: string, login: string, password: string, say: (line: string) => void): { close(): Promise<void> } {
  let close = (): Promise<void> => Promise.resolve()
  let signedIn = (): void => {}
  const settled = new Promise<void>((resolve) => { signedIn = resolve })
  const open = async (): Promise<void> => {
    const settings = await resolveConnection({ ...resolveOptions(GLOBAL_OPTIONS, {}, {}), url, login, password })
    const server = connect(settings)
    let last = ''
    const stream = server.events({
      onEvent: (event) => {
        const line = sentence(event)
        // One change can be announced several times.
        if (line === undefined || line === last) return
        last = line
        say(`${new Date().toTimeString().slice(0, 8)} ${line}`)
      },
      onState: () => signedIn(),
    })
    close = async () => {
      stream.close()
      await server.close()
    }
  }
  const opened = open().catch((error: unknown) => {
    signedIn()
    say(`changes cannot be shown: ${error instanceof Error ? error.message : String(error)}`)
  })
  return {
    close: async () => {
      await opened
      await orLate(SIGN_IN_MS, settled, () => {})
      await close()
    },
  }
}
