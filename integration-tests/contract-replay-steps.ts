/**
 * What the recordings do not say about themselves: the files that were there before, which of several tokens a
 * placeholder means, how a request was signed. By recording and position (contract/NN-*.json, from 0).
 */
import { gzipSync } from 'node:zlib'
import { randomBytes } from 'node:crypto'
import { md5 } from './contract-replay-compare.js'
import type { ReplaySession, Step } from './contract-replay-session.js'

const settle = { before: (session: ReplaySession) => session.settle() }
const signIn = { before: (session: ReplaySession) => session.signIn() }

const auth: Record<number, Step> = {
  // The recorder kept the cookie of its login, not the one that the failed logins in between were given.
  4: { use: { COOKIE: 0 } },
  5: { use: { COOKIE: 0 } },
  6: { use: { TOKEN: -2 } },
  28: { use: { ACCESS_TOKEN: -2 } },
  30: { use: { REFRESH_TOKEN: -2 } },
  69: {
    before: async (session) => {
      await session.signIn()
      await session.authorize()
    },
  },
  78: { signing: { accessKey: 'garbage' } },
  79: { signing: { secret: 'wrong' } },
  80: { signing: { region: 'eu-west-1' } },
  98: signIn,
  100: signIn,
}

const names: Record<number, Step> = {
  5: { setup: { 'odd/plus+name.txt': '1', 'odd/with space.txt': '1', 'odd/nfc-é.txt': '1', 'odd/.hidden.txt': '1' } },
  9: {
    setup: {
      'order/10.txt': '10.txt', 'order/9.txt': '9.txt', 'order/A3.txt': 'A3.txt', 'order/B2.txt': 'B2.txt', 'order/_u.txt': '_u.txt', 'order/a1.txt': 'a1.txt',
      'order/b10.txt': 'b10.txt', 'order/z.txt': 'z.txt', 'order/é1.txt': 'é1.txt', 'order/SUB-a/': '', 'order/aa/': '', 'order/sub-b/': '',
    },
  },
}

const permissions: Record<number, Step> = {
  36: { before: (session) => session.signIn('TOKEN_USER2', 'contract-user-n673', 'P@ssw0rd-1') },
}

const data: Record<number, Step> = {
  // The recording keeps the last byte, and nothing else, of these 5 MiB.
  16: { body: Buffer.concat([randomBytes(5 * 1024 * 1024 - 1), Buffer.from('2')]) },
  49: { headers: { 'if-modified-since': '<LAST_MODIFIED>' } },
  // Sent with one byte, as a later listing shows.
  81: { body: Buffer.from('x') },
  82: { presigned: 'token' },
  83: { presigned: 'gateway, token after' },
  84: { presigned: 'gateway, token signed' },
  86: { signing: { skewMs: -20 * 60_000 } },
  87: { chunks: [randomBytes(65_536), randomBytes(1_000)] },
}

const multipart: Record<number, Step> = {
  12: {
    before: ({ contents, twins }) => {
      const parts = ['504bf1d0e5955a1878caf048c85f95ca', '4eb5913b8d393474bc93d90b5d976807', '8008fa83481848681ab45abfed56eda5']
      twins.set('89c767604e3d694a2888d1fc6a0840e6', md5(Buffer.concat(parts.map((digest) => contents.get(digest) ?? Buffer.alloc(0)))))
    },
  },
}

/** The recorder let the index come to rest before each of these, and only then raced it. */
const races: Record<number, Step> = { 2: settle, 8: settle, 13: settle, 15: settle, 22: settle, 32: settle }

const mutations: Record<number, Step> = {
  0: { setup: { 'a.txt': 'aaa', 'd/': '' } },
  12: { setup: { 'exists.txt': 'existing' } },
  16: { setup: { 'conf.txt': 'one', 'd/conf.txt': 'two' } },
  19: { setup: { 'case.txt': 'case' } },
  31: { setup: { 'tree/a.txt': 'aa', 'tree/sub/b.txt': 'bbb' } },
  36: { setup: { 'tgt/x.txt': 'x' } },
  40: { setup: { 'across.txt': 'across' } },
  42: { setup: { 'afolder/in.txt': 'in' } },
  44: { setup: { 'cp.txt': 'copy me' } },
  52: { setup: { 'del.txt': 'delete me' } },
  58: { setup: { 'del.txt': 'delete me again' } },
  59: settle,
  64: { setup: { 'perm.txt': 'p' } },
  67: { setup: { 'd2/c.txt': '1' } },
  69: { setup: { 'm1.txt': '1', 'm2.txt': '2' } },
  73: settle,
  75: settle,
  89: { setup: { 'tmp1.txt': 'old' } },
  93: { setup: { 'w/': '' } },
}

const edges: Record<number, Step> = {
  0: { setup: { 't1/x.txt': 'x', 't2/y.txt': 'y' } },
  2: { setup: { 'case.txt': 'case' } },
  3: settle,
  7: { setup: { 'k.txt': 'k' } },
  9: { setup: { 'same.txt': 'same' } },
  11: { setup: { 'over-dst.txt': 'dst', 'over-src.txt': 'src' } },
  12: settle,
  15: { setup: { 'o2-dst.txt': 'dst', 'o2-src.txt': 'src' } },
  18: { setup: { 'p1.txt': '1', 'p2.txt': '2', 'p3.txt': '3', 'p4.txt': '4' } },
  23: { setup: { 'chain.txt': 'chain' } },
  24: settle,
  25: settle,
  28: { setup: { 'self/in/f.txt': 'f' } },
}

const ZEBRA = '5fa8133a-a401-435c-9ca5-574bae3b7195'
const metadata: Record<number, Step> = {
  4: {
    before: async (session) => {
      await session.settle()
      await session.learn(`/a/tree/stat/${session.options.base}/report-zebra.txt`, ZEBRA, (body) => (body['Node'] as { Uuid?: unknown } | undefined)?.Uuid)
    },
  },
  33: settle,
}

const expiry: Record<number, Step> = {
  3: { before: (session) => session.signIn('EXPIRED_TOKEN') },
  6: { signAs: 'EXPIRED_TOKEN' },
  7: { signAs: 'EXPIRED_TOKEN' },
  9: signIn,
}

const limits: Record<number, Step> = {
  27: { setup: { p1: 'parallel 1', p2: 'parallel 2' } },
  29: { body: gzipSync(JSON.stringify({ NodePaths: ['/*'] })) },
  33: { setup: { 'many/1.txt': '1' } },
}

const later: Record<number, Step> = {
  8: {
    setup: {
      'personal-files/t2-mwrn4sfm/hello.txt': 'hello world', 'personal-files/t6-mwrnz2z9/report-zebra.txt': 'the quick brown zebra 2',
      'personal-files/dir1/r3m.bin': 'r', 'personal-files/t4-mwrnq2f1/five.bin': '5', 'personal-files/t4-mwrnq2f1/chunked.bin': 'c',
    },
  },
  18: {
    before: async (session) => {
      await session.json('PUT', '/a/user-meta/namespace', { Operation: 'PUT', Namespaces: [{ Namespace: 'usermeta-contract', Label: 'Contract', JsonDefinition: '{"type":"string"}' }] })
    },
  },
  19: { setup: { 'personal-files/t9-mwrob7us/g/a.txt': 'a' } },
  22: { setup: { 'personal-files/t9-mwrob7us/g/d.txt': 'd' } },
}

export const STEPS: Readonly<Record<string, Readonly<Record<number, Step>>>> = {
  '01-auth': auth,
  '01b-pkce-wrong-verifier': { 1: { before: (session) => session.answerChallenge() } },
  '02b-names-order-hidden': names,
  '03-create-and-permissions': permissions,
  '04-s3-data': data,
  '04b-s3-multipart-and-copy': multipart,
  '04c-s3-races-and-folder-delete': races,
  '05-mutations': mutations,
  '05b-mutation-edge-cases': edges,
  '06-meta-search-shares-idm': metadata,
  '07b-expiry-and-idle': expiry,
  '08-concurrency-and-limits': limits,
  '09-later-checks': later,
  '10-folder-delete-s3-vs-rest': { 0: { setup: { 'fd/sub/a.txt': 'a', 'rd/sub/a.txt': 'a' } }, 7: settle },
}
