/**
 * Secrets in the Linux desktop keyring, over D-Bus (freedesktop.org Secret Service 0.2).
 *
 * Spoken directly because the entries must be the ones that Pydio's cec makes and finds: attributes `service` and `username`
 * (cec-reference 2.4). keytar names the second one `account`, so through it neither program would find what the other has
 * stored. Only the plain session is used, as Go's cec does: the bus is a socket of this user.
 *
 * Every step has a deadline, and the socket is destroyed at the end, so a bus that accepts and never answers costs
 * seconds and never a hang. The bus library is loaded on first use.
 */
import type * as DBus from '@jellybrick/dbus-next'
import { orLate } from '../signals.js'
import { AuthError } from './errors.js'
import { NoKeyring, type SecretStore } from './keyring.js'

const SERVICE_NAME = 'org.freedesktop.secrets'
const ROOT = '/org/freedesktop/secrets'
const IFACE = 'org.freedesktop.Secret'
const NO_PROMPT = '/'

/** Starting the keyring daemon through D-Bus activation takes a second or two on a busy machine. */
const CALL_TIMEOUT_MS = 8_000
/** A person types the keyring's password. */
const PROMPT_TIMEOUT_MS = 90_000

type Library = typeof DBus

function within<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  return orLate(ms, promise, () => {
    throw new AuthError('keyring', `the keyring did not answer in time (${what})`)
  })
}

/** One connection to the bus, for the few calls of one operation. */
class Conversation {
  readonly #library: Library
  readonly #bus: DBus.MessageBus
  readonly #broken: Promise<never>

  constructor(library: Library) {
    this.#library = library
    this.#bus = library.sessionBus()
    this.#broken = new Promise<never>((_resolve, reject) => {
      // Its event types are an interface of the package's own, which @types/node's emitter does not take.
      const emitter = this.#bus as unknown as NodeJS.EventEmitter
      emitter.on('error', (error: Error) => reject(new NoKeyring(`there is no message bus of a desktop session here (${error.message})`, error)))
    })
    this.#broken.catch(() => {})
  }

  variant(signature: string, value: unknown): DBus.Variant {
    return new this.#library.Variant(signature, value)
  }

  async call(path: string, face: string, member: string, signature = '', body: unknown[] = [], destination = SERVICE_NAME): Promise<unknown[]> {
    const message = new this.#library.Message({ destination, path, interface: face, member, signature, body })
    try {
      const reply = await within(Promise.race([this.#bus.call(message), this.#broken]), CALL_TIMEOUT_MS, member)
      return reply?.body ?? []
    } catch (error) {
      if (error instanceof AuthError) throw error
      throw new AuthError('keyring', `the keyring refuses: ${(error as Error).message || member}`, { cause: error })
    }
  }

  async property(path: string, face: string, name: string): Promise<unknown> {
    const [value] = await this.call(path, 'org.freedesktop.DBus.Properties', 'Get', 'ss', [face, name])
    return (value as DBus.Variant).value
  }

  /** Shows the keyring's own dialogue if it needs one. @throws AuthError `keyring` when it is dismissed */
  async prompt(path: string): Promise<void> {
    if (path === NO_PROMPT) return
    const rule = `type='signal',interface='${IFACE}.Prompt',member='Completed',path='${path}'`
    const completed = new Promise<DBus.Message>((resolve) => {
      this.#bus.on('message', (message: DBus.Message) => {
        if (message.member === 'Completed' && message.path === path) resolve(message)
      })
    })
    await this.call('/org/freedesktop/DBus', 'org.freedesktop.DBus', 'AddMatch', 's', [rule], 'org.freedesktop.DBus')
    await this.call(path, `${IFACE}.Prompt`, 'Prompt', 's', [''])
    const message = await within(Promise.race([completed, this.#broken]), PROMPT_TIMEOUT_MS, 'it waits for its password')
    if (message.body[0] === true) throw new AuthError('keyring', 'the keyring stays locked')
  }

  async unlock(path: string): Promise<void> {
    const [, prompt] = await this.call(ROOT, `${IFACE}.Service`, 'Unlock', 'ao', [[path]])
    await this.prompt(prompt as string)
  }

  async session(): Promise<string> {
    const [, path] = await this.call(ROOT, `${IFACE}.Service`, 'OpenSession', 'sv', ['plain', this.variant('s', '')])
    return path as string
  }

  /** The collection `login` if there is one, else whatever is the default; where Go's cec looks. */
  async collection(): Promise<string> {
    const login = `${ROOT}/collection/login`
    const all = (await this.property(ROOT, `${IFACE}.Service`, 'Collections')) as string[]
    if (all.includes(login)) return login
    const [standard] = await this.call(ROOT, `${IFACE}.Service`, 'ReadAlias', 's', ['default'])
    if (standard === NO_PROMPT) throw new AuthError('keyring', 'the keyring has no collection to store secrets in')
    return standard as string
  }

  async find(service: string, key: string): Promise<string | undefined> {
    const collection = await this.collection()
    await this.unlock(collection)
    const [items] = await this.call(collection, `${IFACE}.Collection`, 'SearchItems', 'a{ss}', [{ service, username: key }])
    return (items as string[])[0]
  }

  close(): void {
    this.#bus.disconnect()
    // disconnect() only ends our side; a peer that never closes its own would keep this process alive.
    const { _connection } = this.#bus as unknown as { _connection?: { stream?: { destroy?: () => void } } }
    _connection?.stream?.destroy?.()
  }
}

/** The Secret Service of this desktop as a SecretStore. */
export class SecretService implements SecretStore {
  readonly name = 'Secret Service'
  readonly #service: string

  constructor(service: string) {
    this.#service = service
  }

  async #converse<T>(work: (talk: Conversation) => Promise<T>): Promise<T> {
    let library: Library
    try {
      library = await import('@jellybrick/dbus-next')
    } catch (cause) {
      throw new NoKeyring('the optional package @jellybrick/dbus-next is not installed', cause)
    }
    const talk = new Conversation(library)
    try {
      return await work(talk)
    } finally {
      talk.close()
    }
  }

  async get(key: string): Promise<string | undefined> {
    return await this.#converse(async (talk) => {
      const item = await talk.find(this.#service, key)
      if (item === undefined) return undefined
      const session = await talk.session()
      await talk.unlock(item)
      const [secret] = await talk.call(item, `${IFACE}.Item`, 'GetSecret', 'o', [session])
      const [, , value] = secret as [string, Uint8Array, Uint8Array, string]
      return Buffer.from(value).toString('utf8')
    })
  }

  async set(key: string, value: string): Promise<void> {
    await this.#converse(async (talk) => {
      const collection = await talk.collection()
      await talk.unlock(collection)
      const session = await talk.session()
      const properties = {
        [`${IFACE}.Item.Label`]: talk.variant('s', `Password for '${key}' on '${this.#service}'`),
        [`${IFACE}.Item.Attributes`]: talk.variant('a{ss}', { service: this.#service, username: key }),
      }
      const secret = [session, Buffer.alloc(0), Buffer.from(value, 'utf8'), 'text/plain; charset=utf8']
      const [, prompt] = await talk.call(collection, `${IFACE}.Collection`, 'CreateItem', 'a{sv}(oayays)b', [properties, secret, true])
      await talk.prompt(prompt as string)
    })
  }

  async delete(key: string): Promise<boolean> {
    return await this.#converse(async (talk) => {
      const item = await talk.find(this.#service, key)
      if (item === undefined) return false
      const [prompt] = await talk.call(item, `${IFACE}.Item`, 'Delete')
      await talk.prompt(prompt as string)
      return true
    })
  }
}
