/** The routes under `/a`: from method and path to a handler, after the bearer has been checked. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Call, Context } from '../context.js'
import { NeverAnswer, PlainError, RestError, unauthorized } from '../errors.js'
import { sendError, sendText } from '../http.js'
import { bearer } from './bearer.js'
import * as config from './config.js'
import * as idm from './idm.js'
import { deleteJob, listJobs, startJob } from './jobs.js'
import * as meta from './meta.js'
import * as share from './share.js'
import * as tree from './tree.js'

type Handler = (ctx: Context, call: Call) => void | Promise<void>
type Public = (ctx: Context, req: IncomingMessage, res: ServerResponse) => void | Promise<void>

/** `*` stands for the rest of the path. */
const ROUTES: readonly (readonly [method: string, pattern: string, handler: Handler])[] = [
  ['GET', '/tree/stat/*', tree.stat],
  ['POST', '/tree/stats', tree.bulkGet],
  ['POST', '/tree/create', tree.create],
  ['POST', '/tree/delete', tree.remove],
  ['POST', '/tree/restore', tree.restore],
  ['POST', '/tree/selection', meta.selection],
  ['POST', '/meta/bulk/get', tree.bulkGet],
  ['POST', '/meta/get/*', tree.metaGet],
  ['POST', '/jobs/user', listJobs],
  ['PUT', '/jobs/user/*', startJob],
  ['DELETE', '/scheduler/jobs/*', deleteJob],
  ['PUT', '/user-meta/update', meta.updateMeta],
  ['POST', '/user-meta/search', meta.searchMeta],
  ['POST', '/user-meta/bookmarks', meta.bookmarks],
  ['GET', '/user-meta/namespace', meta.listNamespaces],
  ['PUT', '/user-meta/namespace', meta.updateNamespaces],
  ['POST', '/search/nodes', meta.searchNodes],
  ['GET', '/user/*', idm.getUser],
  ['PUT', '/user/*', idm.putUser],
  ['DELETE', '/user/*', idm.deleteUser],
  ['POST', '/user', idm.listUsers],
  ['POST', '/role', idm.listRoles],
  ['GET', '/role/*', idm.getRole],
  ['PUT', '/role/*', idm.putRole],
  ['DELETE', '/role/*', idm.deleteRole],
  ['POST', '/workspace', idm.listWorkspaces],
  ['PUT', '/workspace/*', idm.putWorkspace],
  ['DELETE', '/workspace/*', idm.deleteWorkspace],
  ['POST', '/acl', idm.listAcls],
  ['PUT', '/acl', idm.putAcl],
  ['POST', '/acl/bulk/delete', idm.deleteAcls],
  ['PUT', '/share/link', share.putLink],
  ['GET', '/share/link/*', share.getLink],
  ['DELETE', '/share/link/*', share.deleteLink],
  ['PUT', '/share/cell', share.putCell],
  ['GET', '/share/cell/*', share.getCell],
  ['DELETE', '/share/cell/*', share.deleteCell],
  ['POST', '/share/resources', share.resources],
  ['GET', '/config/datasource', config.dataSources],
  ['GET', '/frontend/state', config.frontState],
]

const PUBLIC: Readonly<Record<string, Public>> = {
  '/config/discovery': config.discovery,
  '/config/discovery/openapi': config.openapi,
  '/frontend/bootconf': config.bootConf,
  '/frontend/state': config.publicState,
}

/** Answers a request whose path begins with `/a/`. */
export async function handleRest(ctx: Context, req: IncomingMessage, res: ServerResponse): Promise<void> {
  try {
    await route(ctx, req, res)
  } catch (error) {
    if (!(error instanceof RestError || error instanceof PlainError || error instanceof NeverAnswer)) ctx.logger.error('demo: request failed', { method: req.method, path: req.url?.split('?')[0], error })
    sendError(req, res, error, ctx.version)
  }
}

async function route(ctx: Context, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const [rawPath = '', rawQuery = ''] = (req.url ?? '').split('?', 2)
  if (req.method === 'OPTIONS') {
    res.writeHead(200, { 'Content-Length': 0 })
    res.end()
    return
  }
  const path = rawPath.slice(2)
  if (path.includes('//') || path.split('/').includes('..')) {
    // Go's mux cleans the path and forgets the /a that the proxy took away.
    const clean = new URL(path.replace(/\/+/g, '/'), 'http://x').pathname
    res.writeHead(301, { 'Location': clean, 'Content-Length': 0 })
    res.end()
    return
  }
  const open = req.method === 'GET' && (path !== '/frontend/state' || req.headers.authorization === undefined) ? PUBLIC[path] : undefined
  if (open) return open(ctx, req, res)
  if (req.method === 'HEAD') throw unauthorized()
  const user = await bearer(ctx.auth, req)
  if (!user) throw unauthorized()
  for (const [method, pattern, handler] of ROUTES) {
    if (method !== req.method) continue
    const rest = match(pattern, path)
    if (rest !== undefined) return handler(ctx, { req, res, user, query: new URLSearchParams(rawQuery), rest })
  }
  // Whoever is no administrator may not even know that a path does not exist.
  if (!user.isAdmin) throw unauthorized()
  if (/^\/(tree|meta|user-meta|auth|jobs|share|user|role|workspace|acl|config)(\/|$)/.test(path)) return sendText(res, 404, '404: Page Not Found')
  sendText(res, 500, '')
}

function match(pattern: string, path: string): string | undefined {
  if (!pattern.endsWith('*')) return pattern === path ? '' : undefined
  const stem = pattern.slice(0, -1)
  if (!path.startsWith(stem) || path.length === stem.length) return undefined
  try {
    return decodeURIComponent(path.slice(stem.length))
  } catch {
    throw new PlainError(400, '400: Bad Request')
  }
}
