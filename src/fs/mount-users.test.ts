import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { mountUsers } from './mount-users.js'

it('finds who works in a folder or has a file of it open, and nobody else', { skip: process.platform !== 'linux' && 'reads /proc' }, async (test) => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'users-')))
  test.after(() => rm(folder, { recursive: true }))
  const [mount, beside] = [join(folder, 'a mount'), join(folder, 'a mount 2')]
  for (const each of [mount, beside]) await mkdir(each)
  await writeFile(join(mount, 'file'), '')
  const start = async (script: string, cwd: string): Promise<ChildProcess> => {
    const child = spawn('sh', ['-c', `${script}; echo ready; read -r line`], { cwd, stdio: ['pipe', 'pipe', 'inherit'] })
    test.after(() => child.kill('SIGKILL'))
    await once(child.stdout, 'data')
    return child
  }
  const inside = await start('true', mount)
  const holder = await start(`exec 3< '${join(mount, 'file')}'`, '/')
  await start('true', beside)
  assert.deepEqual(await mountUsers(mount), [{ pid: inside.pid, name: 'sh' }, { pid: holder.pid, name: 'sh' }].sort((a, b) => a.pid! - b.pid!))
})
