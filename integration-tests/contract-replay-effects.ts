/** What a recorded request does to the tree, so that the replay can wait for it; and which requests do nothing. */
import { md5 } from './contract-replay-compare.js'
import type { WireRequest } from './contract-replay-wire.js'

export interface StatNode {
  readonly Uuid?: string
  readonly Etag?: string
}

export interface Effect {
  readonly path: string
  readonly wanted: (node: StatNode | undefined) => boolean
}

export const encodePath = (path: string): string => path.split('/').map(encodeURIComponent).join('/')
export const isS3 = ({ path }: { readonly path: string }): boolean => /^\/(io|data)([/?]|$)/.test(path) || path === '/'

/** The JSON object in `text`, an empty one if there is none. */
export function parse(text: unknown): Record<string, unknown> {
  try {
    return JSON.parse(typeof text === 'string' ? text : '{}') as Record<string, unknown>
  } catch {
    return {}
  }
}

const READ_POSTS = /^\/a\/(meta\/(bulk\/)?get|tree\/stats|search\/nodes|user-meta\/(search|bookmarks)|jobs\/user$|acl$|user$|role$|workspace$)/

/** The request changes nothing, so it may be repeated. */
export function isRead({ method, path }: { readonly method: string; readonly path: string }): boolean {
  return method === 'GET' ? !path.startsWith('/oidc/') : method === 'HEAD' || (method === 'POST' && READ_POSTS.test(path))
}

const there = (path: string): Effect => ({ path: trimmed(path), wanted: (node) => node !== undefined && node.Etag !== 'temporary' })
const gone = (path: string): Effect => ({ path: trimmed(path), wanted: (node) => node === undefined })
const trimmed = (path: string): string => path.replace(/^\/|\/$/g, '')

/** @param path as recorded @param sent what was really sent, and accepted */
export function effectsOf(path: string, sent: WireRequest): Effect[] {
  if (isS3({ path })) return objectEffects(sent)
  const body = parse(sent.body?.toString('utf8'))
  const nodes = Array.isArray(body['Nodes']) ? (body['Nodes'] as Array<{ Path?: string }>).map((node) => node.Path ?? '') : []
  switch (path) {
    case '/a/tree/create': return nodes.map(there)
    case '/a/tree/delete':
    case '/a/tree/restore': return nodes.map(gone)
    case '/a/jobs/user/move': return (jobOf(body).nodes ?? []).map(gone)
    case '/a/jobs/user/copy': {
      const { nodes: sources = [], target = '', targetParent = false } = jobOf(body)
      return sources.map((source) => there(targetParent ? `${trimmed(target)}/${source.split('/').pop()}` : target))
    }
    default: return []
  }
}

const jobOf = (body: Record<string, unknown>): { nodes?: string[]; target?: string; targetParent?: boolean } => parse(body['JsonParameters'])

function objectEffects({ method, path, headers, body }: WireRequest): Effect[] {
  const target = decodeURIComponent(path.split('?')[0]!.replace(/^\/(io|data)\//, ''))
  if (path.includes('uploadId=')) return method === 'POST' ? [there(target)] : []
  if (path.includes('uploads=')) return []
  if (method === 'DELETE') return [gone(target)]
  if (method !== 'PUT') return []
  if (body === undefined || headers['content-encoding'] === 'aws-chunked') return [there(target)]
  return [{ path: trimmed(target), wanted: (node) => node?.Etag === md5(body) }]
}
