/** What a client reads before and after it signs in: discovery, boot configuration, registry, data sources. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { SOURCES } from '../access.js'
import type { ServerVersion } from '../auth/types.js'
import type { Call, Context } from '../context.js'
import { unauthorized } from '../errors.js'
import { sendJson, sendText } from '../http.js'
import { bearer } from './bearer.js'

/** Version numbers that the embedded server gives itself. 4.4.3 is before 4.4.12: no trailing checksums. */
export const RELEASES: Readonly<Record<ServerVersion, string>> = { 2: '2.0.8', 4: '4.4.3', 5: '5.0.1' }

/** `GET /a/config/discovery`; with a token it tells the version (newer-servers, section 5). */
export async function discovery(ctx: Context, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const user = req.headers.authorization === undefined ? undefined : await bearer(ctx.auth, req)
  // A real 2.x server answers everybody but administrators with 401 here as soon as they send a token.
  if (req.headers.authorization !== undefined && (!user || (ctx.version === 2 && !user.isAdmin))) throw unauthorized()
  const [url, ws] = [ctx.url(), ctx.url().replace(/^http/, 'ws')]
  const routes = ctx.version === 5 ? { 'route-rest': `${url}/a`, 'route-io': `${url}/io` } : {}
  sendJson(req, res, {
    ...(user ? { PackageType: 'PydioHome', PackageLabel: 'Pydio Cells Home Edition', Version: RELEASES[ctx.version], BuildStamp: 1592380800, BuildRevision: 'embedded' } : {}),
    Endpoints: {
      chats: `${ws}/ws/chat`, forms: `${url}/a/config/discovery/forms/{serviceName}`, frontend: url, grpc: '0', oidc: `${url}/auth`,
      openapi: `${url}/a/config/discovery/openapi`, rest: `${url}/a`, s3: `${url}/io`, websocket: `${ws}/ws/event`, ...routes,
    },
  })
}

/** `GET /a/frontend/bootconf`: endpoints are absolute in 2.x, relative since 3.x. */
export function bootConf(ctx: Context, req: IncomingMessage, res: ServerResponse): void {
  const url = ctx.url()
  const base = ctx.version === 2 ? url : ''
  sendJson(req, res, {
    ENDPOINT_REST_API: `${base}/a`, ENDPOINT_S3_GATEWAY: `${base}/io`, ENDPOINT_WEBSOCKET: ctx.version === 2 ? `${url.replace(/^http/, 'ws')}/ws/event` : '/ws/event',
    FRONTEND_URL: url, PUBLIC_BASEURI: '/public', session_timeout: 1440, client_timeout: 1440, client_timeout_warning: 3,
    customWording: { title: 'Pydio Cells', icon: 'plug/gui.ajax/res/themes/common/images/LoginBoxLogo.png', iconBinary: '' },
    backend: { BuildRevision: '', BuildStamp: '', License: 'agplv3', PackageLabel: 'Pydio Cells Home Edition', PackageType: 'PydioHome', Version: '86ebd28a3c44fbdbb5036933de4fdfaa' },
    ajxpResourcesFolder: 'plug/gui.ajax/res', zipEnabled: true, multipleFilesDownloadEnabled: true, usersEnabled: true, loggedUser: false, currentLanguage: 'en-us',
    availableLanguages: { 'en-us': 'English' }, usersEditable: true, ajxpVersion: RELEASES[ctx.version], ajxpVersionDate: '', i18nMessages: {}, theme: 'material', ajxpImagesCommon: 'plug/gui.ajax/res/themes/common/images', validMailer: false,
  })
}

/** `GET /a/config/discovery/openapi`: just enough of a swagger for a client to probe what is known here. */
export function openapi(ctx: Context, req: IncomingMessage, res: ServerResponse): void {
  const string = { type: 'string' }
  const boolean = { type: 'boolean' }
  const paths: Record<string, object> = {}
  for (const path of ['/a/tree/stat/{Node}', '/a/tree/stats', '/a/tree/create', '/a/tree/delete', '/a/tree/restore', '/a/meta/bulk/get', '/a/jobs/user', '/a/jobs/user/{JobName}', '/a/share/link', '/a/share/cell', '/a/user-meta/update']) paths[path] = {}
  sendJson(req, res, {
    consumes: ['application/json'], produces: ['application/json'], schemes: ['http'], swagger: '2.0',
    info: { title: 'Pydio Cells API', description: 'Embedded Cells-compatible server', version: '2.0' },
    host: ctx.url().replace(/^https?:\/\//, ''), paths,
    definitions: {
      restDeleteNodesRequest: { type: 'object', properties: { Nodes: { type: 'array' }, Recursive: boolean, ...(ctx.flat ? { RemovePermanently: boolean } : {}) } },
      restGetBulkMetaRequest: { type: 'object', properties: { NodePaths: { type: 'array' }, AllMetaProviders: boolean, Versions: boolean, Offset: { type: 'integer' }, Limit: { type: 'integer' }, ...(ctx.flat ? { SortField: string, SortDirDesc: boolean, Filters: { type: 'object' } } : {}) } },
    },
  })
}

/** `GET /a/config/datasource`, administrators only. */
export function dataSources(ctx: Context, { req, res, user }: Call): void {
  if (!user.isAdmin) throw unauthorized()
  const source = (name: string): object => ({
    Name: name, ObjectsServiceName: 'local1', ObjectsHost: '127.0.0.1', ObjectsPort: 9001, ObjectsBucket: name, ApiKey: name, PeerAddress: '127.0.0.1', Watch: true, StorageType: 'LOCAL',
    StorageConfiguration: { folder: `/${name}`, normalize: 'false' }, ...(ctx.flat ? { FlatStorage: true } : {}), LastSynchronizationDate: 0,
  })
  const names = [SOURCES.common.name, SOURCES.personal.name, 'cellsdata']
  sendJson(req, res, { DataSources: names.map(source), Total: names.length })
}

const xml = (text: string): string => text.replace(/[&<>"']/g, char => `&#${char.charCodeAt(0)};`)

/** `GET /a/frontend/state`: the registry, of which clients read the user's id. Without a token it has no user. */
export function frontState(ctx: Context, { res, user }: Call): void {
  sendRegistry(res, `<user id="${xml(user.login)}" lang="en-us">
   <active_repo id="personal-files"></active_repo>
   <repositories>
${ctx.access.views(user).map(view => `    <repo id="${xml(view.row.uuid)}" access_type="gateway" repositorySlug="${xml(view.row.slug)}" userEditable="false" acl="${view.writable ? 'read,write' : 'read'}" meta_syncable_REPO_SYNCABLE="true"><label>${xml(view.row.label)}</label><description>${xml(view.row.description)}</description></repo>`).join('\n')}
   </repositories>
   <preferences><pref name="displayName" value="${xml(user.displayName)}"></pref></preferences>
  </user>`)
}

export function publicState(_ctx: Context, _req: IncomingMessage, res: ServerResponse): void {
  sendRegistry(res, '')
}

function sendRegistry(res: ServerResponse, user: string): void {
  sendText(res, 200, `<?xml version="1.0" encoding="UTF-8"?>\n <pydio_registry>\n  <actions></actions>\n  ${user}\n </pydio_registry>\n`, 'application/xml')
}
