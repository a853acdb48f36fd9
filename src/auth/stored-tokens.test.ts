import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { accountConnection } from './connection.js'
import { isAuthError } from './errors.js'
import type { Account } from './goconfig.js'
import { AccountStore, idOf } from './store.js'

const base = { url: 'https://cells.example', user: 'alice', skipVerify: false, useTokenCache: true, customHeaders: {}, label: '', skipKeyring: true, createdAtVersion: '', idToken: '', refreshToken: '', tokenExpiresAt: 0, password: '' }

describe('tokens of a stored account', () => {
  let folder: string
  let store: AccountStore
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cellsfs-stored-'))
    store = new AccountStore({ folder })
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  it('a refused personal token is replaced by that of a new sign-in, in the same process', async () => {
    const account = { ...base, authType: 'pat', idToken: 'first' } as unknown as Account
    await store.save(account)
    const { tokens } = await accountConnection(store, idOf(account))
    assert.equal(await tokens.get(), 'first')
    tokens.reject('first')
    await assert.rejects(tokens.get(), (error: unknown) => isAuthError(error, 'login-needed'))
    // Another account is no sign-in of this one.
    await store.save({ ...account, user: 'bob' })
    await assert.rejects(tokens.get(), (error: unknown) => isAuthError(error, 'login-needed'))
    await store.save({ ...account, idToken: 'second' })
    assert.equal(await tokens.get(), 'second')
    // What is late about the old one does not count.
    tokens.reject('first')
    assert.equal(await tokens.get(), 'second')
    tokens.reject('second')
    await assert.rejects(tokens.get(), (error: unknown) => isAuthError(error, 'login-needed'))
  })

  it('a sign-in with the same secret counts too', async () => {
    const account = { ...base, authType: 'pat', idToken: 'same' } as unknown as Account
    await store.save(account)
    const { tokens } = await accountConnection(store, idOf(account))
    tokens.reject('same')
    await assert.rejects(tokens.get(), (error: unknown) => isAuthError(error, 'login-needed'))
    await store.save(account)
    assert.equal(await tokens.get(), 'same')
  })

  it('an account that is removed stays refused', async () => {
    const account = { ...base, authType: 'pat', idToken: 'x' } as unknown as Account
    await store.save(account)
    const { tokens } = await accountConnection(store, idOf(account))
    tokens.reject('x')
    await store.remove([idOf(account)])
    await assert.rejects(tokens.get(), (error: unknown) => isAuthError(error, 'login-needed'))
  })
})
