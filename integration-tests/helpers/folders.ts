/** Folders of one test: temporary, with a home of their own, and never left behind as a mount. */
import { mkdtemp, mkdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mounts } from '../../src/fs/mountpoint.js'
import { run } from './process.js'

export interface TestFolder {
  readonly path: string
  /** Environment with HOME and all XDG folders inside `path`, and no CEC_* of the caller. */
  readonly env: NodeJS.ProcessEnv
  /** A folder, made if need be. */
  readonly folder: (name: string) => Promise<string>
}

/** Environment of a user whose home is `home`. */
export function homeEnv(home: string): NodeJS.ProcessEnv {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(CEC|XDG|CELLS|NODE_TEST)/.test(name)))
  return {
    ...env, HOME: home,
    XDG_CONFIG_HOME: join(home, 'config'), XDG_CACHE_HOME: join(home, 'cache'), XDG_STATE_HOME: join(home, 'state'),
    XDG_DATA_HOME: join(home, 'data'), XDG_RUNTIME_DIR: join(home, 'run'),
  }
}

/** Unmounts whatever is still mounted below `folder`, used or not. Looks into /proc only: a dead mount would block. */
export async function unmountAll(folder: string): Promise<void> {
  const below = (await mounts()).map(({ mountpoint }) => mountpoint).filter((path) => path.startsWith(`${folder}/`))
  for (const mountpoint of below.reverse()) {
    await run('fusermount', ['-u', '-z', mountpoint])
  }
}

/** A temporary folder; `remove` takes it away, mounts and all. */
export async function openFolder(): Promise<TestFolder & { readonly remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'cellsfs-'))
  await mkdir(join(path, 'home', 'run'), { recursive: true, mode: 0o700 })
  return {
    path, env: homeEnv(join(path, 'home')),
    folder: async (name) => {
      // A dead mount there is not ours to mend.
      await mkdir(join(path, name), { recursive: true }).catch((error: NodeJS.ErrnoException) => { if (error.code !== 'ENOTCONN') throw error })
      return join(path, name)
    },
    remove: async () => {
      await unmountAll(path)
      await rm(path, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

/** Runs `work` in a temporary folder that is removed afterwards. */
export async function withFolder<T>(work: (folder: TestFolder) => Promise<T>): Promise<T> {
  const folder = await openFolder()
  try {
    return await work(folder)
  } finally {
    await folder.remove()
  }
}
