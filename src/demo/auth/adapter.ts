/**
 * oidc-provider's storage, over our store. Two rules of a Cells server live here, because here
 * they hold whichever way a token is made:
 *  - one live access token and one live refresh token per sign-in: a refresh kills the old access token
 *    at once, and of two refreshes at the same moment only one result works (contract, trap 16);
 *  - a used refresh token is forgotten, not remembered as used: its reuse must look like garbage
 *    and must not revoke its successors.
 */
import type { Adapter, AdapterFactory, AdapterPayload } from 'oidc-provider'
import { nowS, type AuthStore } from './store.js'

/** The models of which a sign-in (a "grant") has at most one live token. */
const SINGLE = new Set(['AccessToken', 'RefreshToken'])

const tokenKey = (model: string, id: string): string => `oidc:${model}:${id}`
const grantKey = (grantId: string, model: string, id = ''): string => `grant:${grantId}:${model}:${id}`

export interface AccessRecord {
  readonly accountId: string
  readonly sid?: string
  /** Seconds since the epoch. */
  readonly exp: number
}

/** The live access token, undefined if it is unknown, expired or revoked. */
export const findAccessToken = (store: AuthStore, token: string): AccessRecord | undefined => store.get(tokenKey('AccessToken', token))

/** Kills every token of one sign-in. */
export function revokeGrant(store: AuthStore, grantId: string): void {
  store.atomically(() => {
    for (const model of ['AccessToken', 'RefreshToken', 'AuthorizationCode']) revokeModel(store, grantId, model)
    store.remove(tokenKey('Grant', grantId))
  })
}

function revokeModel(store: AuthStore, grantId: string, model: string): void {
  const prefix = grantKey(grantId, model)
  for (const { key } of store.list(prefix)) {
    store.remove(key)
    store.remove(tokenKey(model, key.slice(prefix.length)))
  }
}

export function createAdapters(store: AuthStore): AdapterFactory {
  return (model: string): Adapter => ({
    upsert: (id, payload, expiresIn) => settled(() => store.atomically(() => {
      const expires = expiresIn === undefined ? undefined : nowS() + expiresIn
      if (payload.grantId !== undefined) {
        if (SINGLE.has(model)) revokeModel(store, payload.grantId, model)
        store.put(grantKey(payload.grantId, model, id), true, expires)
      }
      store.put(tokenKey(model, id), payload, expires)
    })),
    find: (id) => settled(() => store.get<AdapterPayload>(tokenKey(model, id))),
    consume: (id) => settled(() => store.atomically(() => {
      const payload = store.get<AdapterPayload>(tokenKey(model, id))
      if (payload === undefined) return
      if (model === 'RefreshToken') {
        store.remove(tokenKey(model, id))
        if (payload.grantId !== undefined) revokeModel(store, payload.grantId, 'AccessToken')
      } else {
        store.put(tokenKey(model, id), { ...payload, consumed: nowS() }, payload.exp)
      }
    })),
    destroy: (id) => settled(() => store.remove(tokenKey(model, id))),
    revokeByGrantId: (grantId) => settled(() => store.atomically(() => revokeModel(store, grantId, model))),
    // The device flow and provider-side browser sessions do not exist here: Cells keeps its own session cookie.
    findByUserCode: () => settled(() => undefined),
    findByUid: () => settled(() => undefined),
  })
}

/** The store is synchronous and oidc-provider is not. A throw becomes a rejection. */
const settled = <T>(work: () => T): Promise<T> => new Promise((resolve) => resolve(work()))
