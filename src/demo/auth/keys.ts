/** The signing key, made once and kept, and id_tokens signed with it, claim for claim as recorded. */
import { createHash, createPrivateKey, generateKeyPair, randomUUID, sign, type JsonWebKey, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { nowS, type AuthStore } from './store.js'
import type { DemoUser } from './types.js'

export interface SigningKey {
  /** Private, for oidc-provider, which publishes the public half. */
  readonly jwk: JsonWebKey & { kid: string; use: 'sig'; alg: 'RS256' }
  readonly key: KeyObject
}

const KEY = 'key:signing'
const ID_TOKEN_TTL_S = 3600

export async function openSigningKey(store: AuthStore): Promise<SigningKey> {
  let jwk = store.get<SigningKey['jwk']>(KEY)
  if (jwk === undefined) {
    const { privateKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 })
    jwk = { ...privateKey.export({ format: 'jwk' }), kid: `public:${randomUUID()}`, use: 'sig', alg: 'RS256' }
    store.put(KEY, jwk)
  }
  return { jwk, key: createPrivateKey({ key: jwk, format: 'jwk' }) }
}

export interface IdTokenFacts {
  readonly issuer: string
  readonly user: DemoUser
  readonly clientId: string
  readonly accessToken: string
  readonly sid: string
  readonly authTime: number
}

/**
 * Contract, section 1: `aud` is always a list, and `nonce` is always there and always empty. A real 2.x server
 * loses the nonce that a client sends (seen on one), so a strict client must not insist on it.
 */
export function signIdToken({ jwk, key }: SigningKey, facts: IdTokenFacts): string {
  const iat = nowS()
  const claims = {
    at_hash: createHash('sha256').update(facts.accessToken).digest().subarray(0, 16).toString('base64url'),
    aud: [facts.clientId],
    auth_time: facts.authTime,
    email: facts.user.email,
    exp: iat + ID_TOKEN_TTL_S,
    iat,
    iss: facts.issuer,
    jti: randomUUID(),
    name: facts.user.login,
    nonce: '',
    rat: facts.authTime,
    sid: facts.sid,
    sub: facts.user.uuid,
  }
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const input = `${encode({ alg: 'RS256', kid: jwk.kid, typ: 'JWT' })}.${encode(claims)}`
  return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`
}
