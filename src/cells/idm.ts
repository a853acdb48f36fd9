/** Who is signed in. The rest of identities (users, roles, ACLs) comes with the commands that need it. */
import { CellsError } from './errors.js'
import type { Rest } from './rest.js'
import { unescapeXml } from './s3.js'
import type { CallOptions } from './server.js'
import { TIMEOUTS } from './timeouts.js'

/** Login of the signed-in user, from the registry of the web interface: no other call tells an ordinary user. */
export async function whoami(rest: Rest, options: CallOptions = {}): Promise<string> {
  const doing = 'ask who is signed in'
  const xml = await rest.call({ method: 'GET', path: '/a/frontend/state', doing, asText: true, signal: options.signal, timeoutMs: options.timeoutMs ?? TIMEOUTS.probe })
  const [, id] = (typeof xml === 'string' ? /<user\s[^>]*\bid="([^"]+)"/.exec(xml) : null) ?? []
  if (id === undefined) throw new CellsError('protocol', `could not ${doing}: the answer names nobody`)
  return unescapeXml(id)
}
