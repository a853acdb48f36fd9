import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { takeLock } from './lock.js'

describe('takeLock', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cellsfs-lock-'))
  after(() => rmSync(folder, { recursive: true }))

  it('refuses a second owner and gives back', () => {
    const file = join(folder, 'a')
    const release = takeLock(file)
    assert.equal(typeof release, 'function')
    assert.equal(takeLock(file), process.pid)
    ;(release as () => void)()
    const again = takeLock(file)
    assert.equal(typeof again, 'function')
  })

  it('takes over from a process that was killed', async () => {
    const file = join(folder, 'b')
    const url = new URL('./lock.js', import.meta.url).href
    const child = spawn(process.execPath, ['--input-type=module', '-e', `import {takeLock} from '${url}'; takeLock('${file}'); console.log('taken'); setInterval(() => {}, 1000)`], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    assert.equal(takeLock(file), child.pid)
    child.kill('SIGKILL')
    await once(child, 'exit')
    assert.equal(typeof takeLock(file), 'function')
    assert.equal(Number(readFileSync(file, 'latin1').split(' ')[0]), process.pid)
  })

  it('is not fooled by a pid that now belongs to another program', () => {
    const file = join(folder, 'c')
    writeFileSync(file, `${process.pid} 1\n`)
    assert.equal(typeof takeLock(file), 'function')
  })

  it('takes over a damaged file', () => {
    const file = join(folder, 'd')
    writeFileSync(file, '')
    assert.equal(typeof takeLock(file), 'function')
  })
})
