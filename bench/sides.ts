/**
 * The clients that are compared. Each mount has a mountpoint and a cache folder of its own; a fresh one knows nothing.
 *
 * rclone runs with `--vfs-cache-mode full`, the mode in which every program works on its mount. Its write-back delay is 0 unless
 * asked for otherwise: it begins to send at close(), in the background, whereas cellsfs lets close() return when the file is sent. So
 * of a change only the times until the server shows it compare like with like.
 */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { daemon, isMounted, timed, until } from './processes.js'
import type { BenchServer } from './server.js'

const CELLSFS = fileURLToPath(new URL('../bin/cellsfs.js', import.meta.url))

export interface Mount {
  /** Where `remote` is seen. */
  readonly path: string
  /** Waits until the client says that everything is sent; undefined where it cannot say. */
  readonly sync: ((timeoutMs: number) => Promise<void>) | undefined
  /** The last error it has logged, '' for none. */
  readonly complaint: () => string
  /** Also when it does not answer; `patienceMs` for it to end by itself. */
  readonly unmount: (patienceMs: number) => Promise<void>
}

export interface Side {
  readonly name: string
  readonly version: string
  /** Mounts `remote` (`<workspace>/a/b`) with empty caches. */
  readonly mount: (remote: string) => Promise<Mount>
}

export interface SideOptions {
  /** Temporary folder. */
  readonly work: string
  readonly server: BenchServer
  readonly driver: string
  readonly rcloneWriteBack: string
}

/** No proxy, no setting of other tools: the same environment for all. */
function cleanEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(AWS_|CEC_|CELLS_|RCLONE_|XDG_|https?_proxy|no_proxy)/i.test(name)))
}

let mounts = 0

async function folders(work: string, side: string): Promise<{ home: string; path: string }> {
  const home = join(work, `${side}-${++mounts}`)
  const path = join(home, 'drive')
  await mkdir(path, { recursive: true })
  await mkdir(join(home, 'run'), { mode: 0o700 })
  return { home, path }
}

export function cellsfsSide({ work, server, driver }: SideOptions, version: string): Side {
  return {
    name: 'cellsfs',
    version: `${version}, driver ${driver}`,
    mount: async (remote) => {
      const { home, path } = await folders(work, 'cellsfs')
      const env = {
        ...cleanEnv(), HOME: home, XDG_CONFIG_HOME: join(home, 'config'), XDG_CACHE_HOME: join(home, 'cache'), XDG_STATE_HOME: join(home, 'state'), XDG_RUNTIME_DIR: join(home, 'run'),
        CEC_URL: server.url, CEC_LOGIN: server.login, CEC_PASSWORD: server.password,
      }
      const process_ = daemon(process.execPath, [CELLSFS, 'mount', '-f', '--driver', driver, remote, path], env)
      await process_.firstLine
      return {
        path,
        sync: async (timeoutMs) => {
          const { code, stderr, late } = await timed(process.execPath, [CELLSFS, 'sync', path], { env, timeoutMs })
          if (code !== 0 && !late) throw new Error(`cellsfs sync: ${stderr}`)
        },
        complaint: () => lastError(process_.said()),
        unmount: async (patienceMs) => {
          await process_.stop(patienceMs)
          await takeAway(path, home)
        },
      }
    },
  }
}

/** @param modtime without it rclone asks for no modification times (a HEAD for each file) and sets none (a copy onto itself, which a Cells server refuses) */
export function rcloneS3Side(options: SideOptions, version: string, { modtime }: { modtime: boolean }): Side {
  const { server } = options
  const [name, flags] = modtime ? ['rclone S3', []] : ['rclone S3 no-modtime', ['--no-modtime']]
  return rcloneSide(name, version, flags, options, async (remote) => ({
    // The whole bucket: with a folder rclone first asks whether it is an object, which a Cells server answers with 500, and tries for minutes.
    remote: ':s3:io',
    folder: remote,
    env: {
      RCLONE_S3_PROVIDER: 'Minio', RCLONE_S3_ENDPOINT: server.url, RCLONE_S3_REGION: 'us-east-1',
      RCLONE_S3_ACCESS_KEY_ID: await server.token(), RCLONE_S3_SECRET_ACCESS_KEY: 'gatewaysecret',
    },
  }))
}

export function rcloneDavSide(options: SideOptions, version: string): Side {
  const { server } = options
  return rcloneSide('rclone WebDAV', version, [], options, async (remote) => ({
    remote: ':webdav:',
    folder: '',
    env: {
      RCLONE_WEBDAV_URL: `${server.url}/dav/${remote}`, RCLONE_WEBDAV_VENDOR: 'other', RCLONE_WEBDAV_USER: server.login,
      RCLONE_WEBDAV_PASS: (await timed('rclone', ['obscure', server.password])).stdout.trim(),
    },
  }))
}

function rcloneSide(name: string, version: string, flags: readonly string[], { work, rcloneWriteBack }: SideOptions, target: (remote: string) => Promise<{ remote: string; folder: string; env: NodeJS.ProcessEnv }>): Side {
  return {
    name,
    version: [`${version},`, '--vfs-cache-mode', 'full', '--vfs-write-back', rcloneWriteBack, ...flags].join(' '),
    mount: async (remote) => {
      const { home, path } = await folders(work, name.replaceAll(' ', '-'))
      const { remote: from, folder, env } = await target(remote)
      const process_ = daemon('rclone', [
        'mount', from, path, '--config', '/dev/null', '--cache-dir', join(home, 'cache'),
        '--vfs-cache-mode', 'full', '--vfs-write-back', rcloneWriteBack, '--log-level', 'ERROR', ...flags,
      ], { ...cleanEnv(), HOME: home, ...env })
      await until(`${name} mounts`, () => isMounted(path), 20, 60_000).catch(async (error: unknown) => {
        await process_.stop()
        throw new Error(`${(error as Error).message}: ${process_.said()}`)
      })
      return {
        path: join(path, folder),
        sync: undefined,
        complaint: () => lastError(process_.said()),
        unmount: async (patienceMs) => {
          await process_.stop(patienceMs)
          await takeAway(path, home)
        },
      }
    },
  }
}

/** Both log levels in capitals. */
const lastError = (log: string): string => log.split('\n').findLast((line) => / ERROR /.test(line))?.replace(/^.* ERROR\s+:?\s*/, '').slice(0, 200) ?? ''

async function takeAway(path: string, home: string): Promise<void> {
  if (await isMounted(path)) await timed('fusermount', ['-u', '-z', path])
  await rm(home, { recursive: true, force: true, maxRetries: 5 })
}

/** `v1.60.1`, or undefined when rclone is not installed. */
export async function rcloneVersion(): Promise<string | undefined> {
  const { code, stdout } = await timed('rclone', ['version']).catch(() => ({ code: 127, stdout: '' }))
  return code === 0 ? stdout.split('\n')[0]?.replace('rclone ', '') : undefined
}
