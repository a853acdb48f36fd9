/** Plays the kernel for tests of the session: sends requests, collects replies and notices, checks that each is well-formed. */
import assert from 'node:assert/strict'
import type { Device, Received } from './device.js'
import * as layouts from './layouts.js'
import { MAX_MINOR, OUT_HEADER_BYTES, type OpName } from './protocol.js'
import type { Parts } from './replies.js'
import { encodeRequest, type Args, type Header } from './requests.js'

export interface FakeReply {
  /** Positive errno. */
  readonly error: number
  readonly body: Buffer
}

/** All flags that any kernel offers. */
export const EVERYTHING: Args<'init'> = { major: 7, minor: MAX_MINOR, maxReadahead: 131_072, flags: 0xffffffff, flags2: 0xffffffff }

export class FakeKernel implements Device {
  readonly notices: { readonly code: number; readonly body: Buffer }[] = []
  /** Replies to requests that nobody waits for, by unique. */
  readonly replies = new Map<bigint, FakeReply>()
  /** What the kernel takes back before it is answered: replies fail with ENOENT. */
  readonly gone = new Set<bigint>()
  /** Answers of notices; a test may hold them up. */
  notify: (parts: Parts) => Promise<number> = (parts) => {
    this.#take(parts)
    return Promise.resolve(0)
  }
  watched = false
  closed = false
  readonly #waiting: Buffer[] = []
  readonly #taken = new Map<bigint, (reply: FakeReply) => void>()
  #callback: (() => void) | undefined
  #state: 'open' | 'unmounted' | 'aborted' = 'open'
  #unique = 0n

  read(buffer: Buffer): Received {
    const message = this.#waiting.shift()
    if (message === undefined) return this.#state === 'open' ? 'none' : this.#state
    message.copy(buffer)
    return { length: message.length }
  }

  write(parts: Parts): boolean {
    return this.#take(parts)
  }

  watch(callback: () => void): () => void {
    this.watched = true
    this.#callback = callback
    setImmediate(callback)
    return () => {
      this.watched = false
      this.#callback = undefined
    }
  }

  close(): void {
    this.closed = true
  }

  #take(parts: Parts): boolean {
    const bytes = Buffer.concat(parts)
    const { length, error, unique } = layouts.OutHeader.decode(bytes)
    assert.equal(length, bytes.length, 'the header tells the length')
    const body = bytes.subarray(OUT_HEADER_BYTES)
    if (unique === 0n) {
      this.notices.push({ code: error, body })
      return true
    }
    assert.equal(error <= 0 && error > -4096, true, `${error} is an errno`)
    assert.equal(error === 0 || body.length === 0, true, 'an error has no body')
    if (this.gone.has(unique)) return false
    assert.equal(this.replies.has(unique), false, `${unique} was answered twice`)
    const reply = { error: Math.abs(error), body }
    this.replies.set(unique, reply)
    this.#taken.get(unique)?.(reply)
    this.#taken.delete(unique)
    return true
  }

  /** Sends bytes as they are. */
  send(message: Buffer): void {
    this.#waiting.push(message)
    this.#callback?.()
  }

  /** Sends a request; `reply` resolves with its answer. */
  post<N extends OpName>(name: N, args: Args<N>, header: Partial<Omit<Header, 'opcode' | 'unique'>> = {}): { readonly unique: bigint; readonly reply: Promise<FakeReply> } {
    this.#unique += 2n
    const unique = this.#unique
    const reply = new Promise<FakeReply>((resolve) => this.#taken.set(unique, resolve))
    this.send(encodeRequest(name, { unique, nodeid: 1, uid: 0, gid: 0, pid: 1, ...header }, args))
    return { unique, reply }
  }

  ask<N extends OpName>(name: N, args: Args<N>, header?: Partial<Omit<Header, 'opcode' | 'unique'>>): Promise<FakeReply> {
    return this.post(name, args, header).reply
  }

  /** As umount(8) or an abort ends it. */
  end(how: 'unmounted' | 'aborted' = 'unmounted'): void {
    this.#state = how
    this.#callback?.()
  }
}
