/**
 * What happened in a run, moment by moment: each operation, each call to the server with its answer, each event, and what the engine logs. What is
 * rare is not found a second time: MODEL_TRACE names a folder, and the trace of each run that fails is left there.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CellsServer } from '../../cells/server.js'
import type { CellsEvent } from '../../cells/types.js'
import { createLogger, type Logger, silentLogger } from '../../log.js'

const FOLDER = process.env['MODEL_TRACE']
/** Lines of one run; the oldest go first. */
const MOST = 20_000

export class Trace {
  private lines: string[] = []
  private readonly began = performance.now()

  add(line: string): void {
    if (FOLDER === undefined) return
    this.lines.push(`${(performance.now() - this.began).toFixed(1).padStart(9)} ${line}`)
    if (this.lines.length > 2 * MOST) this.lines = this.lines.slice(-MOST)
  }

  /** What an engine logs, unless another logger is wanted. */
  logger(otherwise: Logger): Logger {
    if (FOLDER === undefined || otherwise !== silentLogger) return otherwise
    return createLogger('debug', (line) => this.add(line.trimEnd().replace(/^\S+ /, '  ')))
  }

  /** The same server, each call and its answer noted. */
  watch(server: CellsServer): CellsServer {
    if (FOLDER === undefined) return server
    return new Proxy(server, {
      get: (target, name) => {
        const member = Reflect.get(target, name) as unknown
        if (typeof member !== 'function') return member
        const call = (member as (...parameters: unknown[]) => unknown).bind(target)
        if (name === 'close') return call
        if (name === 'events') return (listener: Parameters<CellsServer['events']>[0]) => target.events(this.heard(listener))
        return (...parameters: unknown[]) => this.called(String(name), parameters, call(...parameters))
      },
    })
  }

  private heard(listener: Parameters<CellsServer['events']>[0]): Parameters<CellsServer['events']>[0] {
    return {
      onEvent: (event: CellsEvent) => {
        this.add(`  event ${brief(event)}`)
        listener.onEvent(event)
      },
      onState: (state) => {
        this.add(`  stream ${state.state}`)
        listener.onState(state)
      },
    }
  }

  private called(name: string, parameters: readonly unknown[], answer: unknown): unknown {
    const about = parameters.filter((it) => typeof it === 'string' || Array.isArray(it)).map(brief).join(' ')
    if (answer instanceof Promise) {
      this.add(`  > ${name} ${about}`)
      return answer.then(
        (value: unknown) => {
          this.add(`  < ${name} ${about}: ${brief(value)}`)
          return value
        },
        (error: unknown) => {
          this.add(`  < ${name} ${about}: ${String(error)}`)
          throw error
        },
      )
    }
    if (typeof answer === 'object' && answer !== null && Symbol.asyncIterator in answer) return this.pages(name, about, answer as AsyncIterable<unknown>)
    return answer
  }

  private async * pages(name: string, about: string, pages: AsyncIterable<unknown>): AsyncIterable<unknown> {
    this.add(`  > ${name} ${about}`)
    try {
      for await (const page of pages) {
        this.add(`  < ${name} ${about}: ${brief(page)}`)
        yield page
      }
    } catch (error) {
      this.add(`  < ${name} ${about}: ${String(error)}`)
      throw error
    }
  }

  /** Leaves it in a file of that name, if traces are wanted. */
  save(name: string, message: string): void {
    if (FOLDER === undefined) return
    mkdirSync(FOLDER, { recursive: true })
    writeFileSync(join(FOLDER, `${name}.trace`), `${message}\n\n${this.lines.slice(-MOST).join('\n')}\n`)
  }
}

function brief(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (Array.isArray(value)) return `[${value.map(brief).join(', ')}]`
  if (value instanceof Map) return `{${[...value.values()].map(brief).join(', ')}}`
  if (typeof value === 'string') return value
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? ''
  if ('path' in value && 'uuid' in value && 'etag' in value && 'kind' in value) {
    const { path, uuid, etag, kind, size } = value as { path: string; uuid: string; etag: string; kind: string; size: number }
    return kind === 'folder' ? `${path}/ ${uuid.slice(0, 8)}` : `${path} ${uuid.slice(0, 8)} ${etag.slice(0, 9)} ${size}`
  }
  if ('type' in value) return Object.values(value).map(brief).join(' ')
  return 'stream' in value ? `body ${String((value as { etag?: string }).etag).slice(0, 9)}` : JSON.stringify(value)
}
