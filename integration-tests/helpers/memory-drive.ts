/** A filesystem in memory as a real mount, in a process of its own (../memory-mount.ts): what a driver does to ordinary programs, nothing of Cells. */
import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { withFolder } from './folders.js'
import { type RunOptions, Service, sh, until } from './process.js'

/** The program: mountpoint, driver, flags. */
export const MEMORY_MOUNT = fileURLToPath(new URL('../memory-mount.js', import.meta.url))

export type DriverName = 'fuse-native' | 'kernel'

export interface MemoryMount {
  readonly dir: string
  readonly service: Service
  /** Runs a script with the mount as working folder. */
  readonly sh: (script: string, options?: RunOptions) => Promise<string>
  /** Operations since the last time. */
  readonly calls: () => Promise<string[]>
}

/** `user`: whose mount it is, and who runs the scripts. */
export async function withMemoryMount(driver: DriverName, flags: readonly string[], work: (mount: MemoryMount) => Promise<void>, user: { uid?: number; gid?: number } = {}): Promise<void> {
  await withFolder(async ({ path, folder, env }) => {
    const dir = await folder('mnt')
    await sh(`chmod 755 ${path}${user.uid === undefined ? '' : `; chown -R ${user.uid}:${user.gid} ${path}`}`)
    const service = new Service(process.execPath, [MEMORY_MOUNT, dir, driver, ...flags], { env, ...user })
    try {
      assert.deepEqual(JSON.parse(await service.line()), { ready: true })
      await work({
        dir, service,
        // Not as the working folder from the start: that is entered before the user is changed.
        sh: (script, options) => sh(`cd '${dir}'\n${script}`, { env, ...user, ...options }),
        calls: async () => await service.ask('calls') as string[],
      })
    } finally {
      service.child.stdin!.end()
      await service.stop('SIGKILL')
    }
  })
}

/** Unmounts and checks that every lookup and handle was given back. */
export async function unmount({ service }: MemoryMount): Promise<void> {
  // A file closed a moment ago may still be on its way (the kernel releases in the background).
  const reply = await until('unmounted', async () => {
    const answer = await service.ask('unmount') as { error?: string }
    return answer.error?.includes('in use') === true ? undefined : answer
  })
  assert.deepEqual(reply, { ended: true, leaks: [] })
  assert.equal(await service.exited, 0)
}
