/** Who sends a request to `/a`. */
import type { IncomingMessage } from 'node:http'
import type { Authenticator, DemoUser } from '../auth/types.js'

/** The user of the Authorization header, undefined without a live token. */
export async function bearer(auth: Authenticator, req: IncomingMessage): Promise<DemoUser | undefined> {
  const token = /^Bearer (.+)$/i.exec(req.headers.authorization ?? '')?.[1]
  return token === undefined ? undefined : await auth.verifyBearer(token.trim())
}
