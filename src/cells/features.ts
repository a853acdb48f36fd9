/**
 * What this server can do (newer-servers.md, section 6). Nothing is asked before a decision needs
 * it, each question is asked once, and an answer that teaches better corrects the flag. What
 * cannot be found out counts as a 2.x server, whose rules are safe everywhere.
 */
import { CellsError } from './errors.js'
import { hasFourByte, type NameRules } from './names.js'
import { asString, isObject } from './node.js'
import type { Rest } from './rest.js'
import { TIMEOUTS } from './timeouts.js'

export class Features {
  readonly #rest: Rest
  #version: Promise<string> | undefined
  #bootConf: Promise<Record<string, unknown>> | undefined
  #knowsPermanent: Promise<boolean> | undefined
  #permanentDelete: boolean | undefined

  constructor(rest: Rest) {
    this.#rest = rest
  }

  /** `2.0.8`, `5.0.0-alpha17`; '' when the server does not tell this user. */
  async version(signal?: AbortSignal): Promise<string> {
    // A 2.x server tells administrators only.
    this.#version ??= this.#ask('/a/config/discovery', { signedIn: true, privileged: true }, signal).then((answer) => {
      const version = asString(answer['Version'])
      return /^v?\d+\.\d+/.test(version) ? version.replace(/^v/, '') : ''
    })
    return this.#remember(this.#version, '', () => { this.#version = undefined })
  }

  /** Generation of the server, at least: by its version, else by what only later ones have. */
  async major(signal?: AbortSignal): Promise<number> {
    const version = Number.parseInt(await this.version(signal), 10)
    if (Number.isSafeInteger(version)) return version
    if (await this.apiV2(signal) !== '') return 5
    this.#knowsPermanent ??= this.#ask('/a/config/discovery/openapi', { signedIn: false, privileged: false }, signal).then((answer) => JSON.stringify(answer).includes('"RemovePermanently"'))
    return await this.#remember(this.#knowsPermanent, false, () => { this.#knowsPermanent = undefined }) ? 4 : 2
  }

  /** Base path of the second API of 5.x (`/v2`), '' where there is none. */
  async apiV2(signal?: AbortSignal): Promise<string> {
    this.#bootConf ??= this.#ask('/a/frontend/bootconf', { signedIn: false, privileged: false }, signal)
    const conf = await this.#remember(this.#bootConf, {}, () => { this.#bootConf = undefined })
    const base = asString(conf['ENDPOINT_REST_API_V2'])
    if (base === '') return ''
    const url = new URL(base, this.#rest.http.url)
    return url.origin === this.#rest.http.url.origin ? url.pathname.replace(/\/$/, '') : ''
  }

  /** Whether `RemovePermanently` may be sent: 2.x refuses the field. Unknown is tried once (jobs.ts). */
  get permanentDelete(): boolean | undefined {
    return this.#permanentDelete
  }

  learnPermanentDelete(works: boolean): void {
    this.#permanentDelete = works
  }

  /** Rules for these names; asks the version only when one of them needs it (traps 9; newer-servers 2 #9). */
  async nameRules(paths: readonly string[], signal?: AbortSignal): Promise<NameRules> {
    return paths.some(hasFourByte) ? { fourByte: (await this.major(signal)) >= 4 } : {}
  }

  async #ask(path: string, how: { signedIn: boolean; privileged: boolean }, signal?: AbortSignal): Promise<Record<string, unknown>> {
    const answer = await this.#rest.call({ method: 'GET', path, doing: 'ask what the server can do', ...how, timeoutMs: TIMEOUTS.probe, signal, attempts: 2 })
    return isObject(answer) ? answer : {}
  }

  /** A refused question counts as "no"; one that was not answered is asked again the next time. */
  async #remember<T>(question: Promise<T>, unknown: T, forget: () => void): Promise<T> {
    try {
      return await question
    } catch (error) {
      if (!(error instanceof CellsError) || error.transient || error.kind === 'aborted' || error.kind === 'login-needed') {
        forget()
        throw error
      }
      return unknown
    }
  }
}
