/**
 * What a mount measures: the calls that go to the server and the operations that come from the kernel, counted where they pass, and
 * what the engine knows anyway, read when somebody asks.
 */
import { isCellsError } from '../cells/errors.js'
import type { CellsServer } from '../cells/server.js'
import type { FileSystem } from './drivers/driver.js'
import { errnoCode } from './errno.js'
import { Metrics } from './metrics.js'
import type { EngineStatus } from './status.js'
import { Traffic } from './traffic.js'

/** All that the kernel asks and waits for. */
const OPERATIONS = [
  'lookup', 'getattr', 'setattr', 'readlink', 'symlink', 'mkdir', 'mknod', 'unlink', 'rmdir', 'rename', 'link', 'create', 'open', 'read', 'write', 'flush', 'fsync',
  'release', 'opendir', 'readdir', 'fsyncdir', 'statfs', 'getxattr', 'listxattr', 'setxattr', 'removexattr', 'fallocate', 'lseek', 'copyFileRange',
] as const satisfies readonly (keyof FileSystem)[]

export class Instruments {
  private readonly metrics = new Metrics()
  readonly traffic = new Traffic()
  private readonly read: () => EngineStatus
  private current: EngineStatus | undefined
  private readonly requests = this.metrics.histogram('cellsfs_request_duration_seconds', 'Calls to the server, by method of the client.', 'method')
  private readonly requestErrors = this.metrics.counter('cellsfs_request_errors_total', 'Calls to the server that failed, by kind.', 'kind')
  private readonly operations = this.metrics.histogram('cellsfs_fuse_request_duration_seconds', 'Requests of the kernel that were answered, by opcode.', 'opcode')
  private readonly fuseRequests = this.metrics.counter('cellsfs_fuse_requests_total', 'Requests of the kernel, by opcode.', 'opcode')
  private readonly fuseErrors = this.metrics.counter('cellsfs_fuse_errors_total', 'Requests of the kernel that were answered with an error, by errno.', 'errno')

  /** @param read what the engine tells of itself, asked once for each reading */
  constructor(read: () => EngineStatus) {
    this.read = read
    const { metrics, traffic } = this
    const status = (): EngineStatus => this.current ??= read()
    metrics.read('gauge', 'cellsfs_info', 'Version and server; always 1.', () => {
      const { version, server } = status()
      return [[{ version, server }, 1]]
    })
    metrics.read('gauge', 'cellsfs_connection', '1 for the state the connection is in.', () => {
      const { connection } = status()
      return (['online', 'offline', 'login-needed'] as const).map((state) => [{ state }, state === connection ? 1 : 0])
    })
    metrics.read('gauge', 'cellsfs_event_stream', '1 while the event stream of the server is connected.', () => Number(status().live))
    metrics.read('gauge', 'cellsfs_pending_changes', 'Changes that the server does not have yet.', () => status().pending.count)
    metrics.read('gauge', 'cellsfs_pending_bytes', 'Bytes of contents that the server does not have yet.', () => status().pending.bytes)
    metrics.read('gauge', 'cellsfs_pending_age_seconds', 'Age of the oldest pending change; 0 without one.', () => {
      const { oldest } = status().pending
      return oldest === null ? 0 : Math.max(0, Date.now() - Date.parse(oldest)) / 1000
    })
    metrics.read('gauge', 'cellsfs_unconfirmed_changes', 'Changes that were sent and that the server does not show yet.', () => status().unconfirmed)
    metrics.read('gauge', 'cellsfs_failed_changes', 'Changes that could not be sent.', () => status().failures.length)
    metrics.read('gauge', 'cellsfs_conflicts', 'Versions that were kept beside those of others.', () => status().conflicts.length)
    metrics.read('gauge', 'cellsfs_open_handles', 'Open files.', () => status().openHandles)
    metrics.read('counter', 'cellsfs_upload_bytes_total', 'Bytes of contents sent.', () => traffic.sent.total)
    metrics.read('counter', 'cellsfs_download_bytes_total', 'Bytes of contents received.', () => traffic.received.total)
    metrics.read('gauge', 'cellsfs_cache_bytes', 'Blocks on disk, without pinned ones.', () => status().cache.bytes)
    metrics.read('gauge', 'cellsfs_cache_limit_bytes', 'Bound of the blocks on disk.', () => status().cache.limit)
    metrics.read('gauge', 'cellsfs_cache_pinned_bytes', 'Pinned blocks on disk.', () => status().cache.pinned)
    metrics.read('counter', 'cellsfs_cache_hits_total', 'Reads of a block that was there.', () => status().cache.hits)
    metrics.read('counter', 'cellsfs_cache_misses_total', 'Reads of a block that had to be fetched.', () => status().cache.misses)
    metrics.read('gauge', 'process_resident_memory_bytes', 'Resident memory of the process.', () => process.memoryUsage.rss())
  }

  /** All of it, in the text format of Prometheus. */
  text(): string {
    this.current = this.read()
    return this.metrics.text()
  }

  /** The same server, measured. */
  watch(server: CellsServer): CellsServer {
    return new Proxy(server, {
      get: (target, name) => {
        const member = Reflect.get(target, name) as unknown
        if (typeof member !== 'function') return member
        const method = member as (...all: unknown[]) => unknown
        if (name === 'put') return (path: string, body: unknown, size: unknown, options: object = {}) => this.timed(name, () => method.call(target, path, body, size, this.counted(options)))
        if (name === 'multipartPart') return (...all: unknown[]) => this.timed(name, () => method.call(target, ...all.slice(0, 5), this.counted(all[5] ?? {})))
        if (name === 'events' || name === 'close') return method.bind(target)
        return (...all: unknown[]) => this.timed(String(name), () => method.apply(target, all))
      },
    })
  }

  /** A request that begins again goes back to 0; what was sent twice was sent twice. */
  private counted(options: { onProgress?: (sent: number) => void }): object {
    let before = 0
    return {
      ...options,
      onProgress: (sent: number) => {
        this.traffic.sent.add(sent >= before ? sent - before : sent)
        before = sent
        options.onProgress?.(sent)
      },
    }
  }

  private timed(method: string, call: () => unknown): unknown {
    const started = performance.now()
    const result = call()
    // A listing comes in pages: the time of its first answer is not seen here.
    if (!(result instanceof Promise)) return result
    const over = (): void => this.requests.observe((performance.now() - started) / 1000, method)
    result.then(over, (error: unknown) => {
      over()
      this.requestErrors.add(1, isCellsError(error) ? error.kind : 'unknown')
    })
    return result
  }

  /** From now on every operation of `fs` is counted. */
  measure(fs: FileSystem): void {
    for (const name of OPERATIONS) {
      const operation = (fs[name] as ((...args: unknown[]) => unknown) | undefined)?.bind(fs)
      if (operation === undefined) continue
      Object.assign(fs, {
        [name]: (...args: unknown[]) => {
          const started = performance.now()
          this.fuseRequests.add(1, name)
          const result = operation(...args)
          if (result instanceof Promise) result.then(
            () => this.operations.observe((performance.now() - started) / 1000, name),
            (error: unknown) => this.fuseErrors.add(1, errnoCode(error)),
          )
          return result
        },
      })
    }
  }
}
