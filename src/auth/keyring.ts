/**
 * The operating system's keyring, holding what Pydio's cec holds there: service
 * `com.pydio.cells-client`, key `<url>::<user>` (cec-reference 2.4).
 *
 * On Linux the Secret Service is spoken directly (secret-service.ts says why), keytar is the fallback; elsewhere it is
 * keytar. keytar is optional and compiled: where it is missing, that is a sentence and not a crash.
 */
import { AuthError } from './errors.js'

export const KEYRING_SERVICE = 'com.pydio.cells-client'

/** All methods throw AuthError `keyring` when there is no keyring or it refuses. */
export interface SecretStore {
  readonly name: string
  get(key: string): Promise<string | undefined>
  set(key: string, value: string): Promise<void>
  /** False when there was nothing under this key. */
  delete(key: string): Promise<boolean>
}

/** There is nothing to talk to, as opposed to a keyring that refuses. */
export class NoKeyring extends AuthError {
  constructor(message: string, cause?: unknown) {
    super('keyring', message, { cause })
  }
}

/** What we use of keytar; its own types come with the package, which may not be there. */
interface Keytar {
  getPassword(service: string, account: string): Promise<string | null>
  setPassword(service: string, account: string, password: string): Promise<void>
  deletePassword(service: string, account: string): Promise<boolean>
}

/** go-keyring stores base64 behind this mark in the macOS keychain, so that any bytes survive. */
const GO_BASE64 = 'go-keyring-base64:'
const GO_HEX = 'go-keyring-encoded:'

/** Text of the macOS keychain → value, whichever way it was stored. */
export function fromKeychain(text: string): string {
  if (text.startsWith(GO_BASE64)) return Buffer.from(text.slice(GO_BASE64.length), 'base64').toString('utf8')
  if (text.startsWith(GO_HEX)) return Buffer.from(text.slice(GO_HEX.length), 'hex').toString('utf8')
  return text
}

export const toKeychain = (value: string): string => GO_BASE64 + Buffer.from(value, 'utf8').toString('base64')

/** keytar's generic passwords: service and account are what go-keyring uses on macOS. */
export class KeytarStore implements SecretStore {
  readonly name = 'keytar'
  readonly #mac: boolean
  readonly #load: () => Promise<unknown>

  constructor(platform: NodeJS.Platform = process.platform, load: () => Promise<unknown> = loadKeytar) {
    this.#mac = platform === 'darwin'
    this.#load = load
  }

  async #run<T>(work: (keytar: Keytar) => Promise<T>): Promise<T> {
    let keytar: Keytar
    try {
      const module = (await this.#load()) as { default?: Keytar } & Keytar
      keytar = module.default ?? module
    } catch (cause) {
      throw new NoKeyring('the optional package keytar is not installed', cause)
    }
    try {
      return await work(keytar)
    } catch (cause) {
      throw new AuthError('keyring', `the keyring refuses: ${(cause as Error).message}`, { cause })
    }
  }

  async get(key: string): Promise<string | undefined> {
    const text = await this.#run((keytar) => keytar.getPassword(KEYRING_SERVICE, key))
    if (text === null) return undefined
    return this.#mac ? fromKeychain(text) : text
  }

  async set(key: string, value: string): Promise<void> {
    await this.#run((keytar) => keytar.setPassword(KEYRING_SERVICE, key, this.#mac ? toKeychain(value) : value))
  }

  async delete(key: string): Promise<boolean> {
    return await this.#run((keytar) => keytar.deletePassword(KEYRING_SERVICE, key))
  }
}

/** A name in a variable, so that the compiler does not look for the optional package. */
async function loadKeytar(): Promise<unknown> {
  const name = 'keytar'
  return await import(name)
}

/** The first store there is. A store that refuses has answered: the next one would only ask the same keyring again. */
class FirstThere implements SecretStore {
  readonly #stores: readonly SecretStore[]

  constructor(stores: readonly SecretStore[]) {
    this.#stores = stores
  }

  get name(): string {
    return this.#stores.map((store) => store.name).join(' or ')
  }

  async #try<T>(work: (store: SecretStore) => Promise<T>): Promise<T> {
    let first: NoKeyring | undefined
    for (const store of this.#stores) {
      try {
        return await work(store)
      } catch (error) {
        if (!(error instanceof NoKeyring)) throw error
        first ??= error
      }
    }
    throw first ?? new NoKeyring('this system has no keyring')
  }

  get = (key: string): Promise<string | undefined> => this.#try((store) => store.get(key))
  set = (key: string, value: string): Promise<void> => this.#try((store) => store.set(key, value))
  delete = (key: string): Promise<boolean> => this.#try((store) => store.delete(key))
}

/** The keyring of this system. Nothing is contacted or loaded before the first call. */
export async function systemKeyring(platform: NodeJS.Platform = process.platform): Promise<SecretStore> {
  if (platform !== 'linux') return new KeytarStore(platform)
  const { SecretService } = await import('./secret-service.js')
  return new FirstThere([new SecretService(KEYRING_SERVICE), new KeytarStore(platform)])
}

/**
 * Writes, reads back and deletes a test entry (`config check-keyring`).
 *
 * @throws AuthError `keyring` with the reason
 */
export async function checkKeyring(keyring: SecretStore): Promise<void> {
  const key = 'https://test.example.com::john.doe'
  const value = 'a value with "quotes", \\, $, %, é, 中, 😀 and __//__'
  await keyring.set(key, value)
  const found = await keyring.get(key)
  await keyring.delete(key)
  if (found !== value) throw new AuthError('keyring', 'the keyring does not give back what was stored')
}
