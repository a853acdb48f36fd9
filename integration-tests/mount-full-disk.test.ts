/** A disk that is full, below the state folder and below the cache: the writer is told, nothing that was saved is lost, and all goes on when there is room. */
import assert from 'node:assert/strict'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { onlyEmbedded } from './helpers/suite.js'
import { withServer, type Drive, type World } from './helpers/mount.js'
import { run, sh, until } from './helpers/process.js'

/** Room of the small disk, MiB. */
const SIZE = 16

const skip = process.getuid?.() === 0 ? onlyEmbedded : 'only root can make a small disk'

/** A mount whose folder of this kind is on a disk of its own. */
async function withSmallDisk(kind: 'XDG_STATE_HOME' | 'XDG_CACHE_HOME', work: (world: World, drive: Drive, disk: string) => Promise<void>): Promise<void> {
  await withServer({ indexDelayMs: 100 }, async (world) => {
    const disk = world.env[kind]!
    await mkdir(disk, { recursive: true })
    await sh(`mount -t tmpfs -o size=${SIZE}m,mode=700 none ${disk}`)
    try {
      const drive = await world.mount()
      await work(world, drive, disk).catch((cause: unknown) => { throw new Error(`${String(cause)}\nthe mount said: ${drive.service.stderr}`, { cause }) })
    } finally {
      await run('umount', ['-l', disk])
    }
  })
}

/** Takes what room the disk still has. */
const fill = (disk: string): Promise<unknown> => run('dd', ['if=/dev/zero', `of=${join(disk, 'filled')}`, 'bs=4k', 'oflag=append', 'conv=notrunc'])

describe('a full disk', { skip, concurrency: 2 }, () => {
  it('S58: of the state folder is told to the writer, and nothing is lost', () => withSmallDisk('XDG_STATE_HOME', async (world, drive, disk) => {
    await drive.sh('head -c 3000000 /dev/urandom > "$HOME/data"; cp "$HOME/data" saved; mkdir d; echo text > f')
    assert.match((await run('dd', ['if=/dev/zero', 'of=large', 'bs=1M', `count=${2 * SIZE}`], { cwd: drive.dir })).stderr, /No space left on device/)
    await drive.sh('rm large; cmp saved "$HOME/data"')
    // What is sent gives its room back.
    assert.equal((await world.cellsfs(['sync'])).code, 0)
    const refused = await until('refused', async () => {
      // What has been sent gives its room back, some of it later: filled again, and what is written is always more than was there.
      await fill(disk)
      // (What is small needs no room that the store does not have.)
      const result = await run('bash', ['-c', 'head -c 20000 /dev/zero >> g'], { cwd: drive.dir })
      return result.code === 0 ? undefined : result
    })
    assert.match(refused!.stderr, /No space left on device/)
    // What makes room or needs none goes on.
    assert.match(await drive.sh('cat f; mv d e; rm f; chmod 600 saved; cmp saved "$HOME/data"; ls -I recycle_bin'), /^text\ne\n(g\n)?saved\n$/)
    await rm(join(disk, 'filled'))
    await until('there is room', async () => (await run('bash', ['-c', 'echo again > again'], { cwd: drive.dir })).code === 0)
    assert.equal(await drive.stop(), 0, drive.service.stderr)
    assert.equal((await world.client.stat(`${world.root}/saved`))?.size, 3_000_000)
    assert.equal((await world.client.stat(`${world.root}/again`))?.size, 6)
    const second = await world.mount()
    assert.match(await second.sh('cat again; cmp saved "$HOME/data"; ls -I recycle_bin'), /^again\nagain\ne\n(g\n)?saved\n$/)
  }))

  it('of the cache is no trouble for who reads and writes', () => withSmallDisk('XDG_CACHE_HOME', async (world, drive, disk) => {
    await fill(disk)
    const size = 2 * SIZE * 2 ** 20
    await drive.sh(`head -c ${size} /dev/urandom > "$HOME/data"; cp "$HOME/data" large; cmp large "$HOME/data"`)
    assert.equal(await drive.stop(), 0, drive.service.stderr)
    await rm(join(disk, 'filled'))
    const second = await world.mount()
    await fill(disk)
    await second.sh('cmp large "$HOME/data"; tail -c 1000 large | cmp - <(tail -c 1000 "$HOME/data")')
    assert.equal(await second.stop(), 0, second.service.stderr)
    await fill(disk)
    const refused = await world.cellsfs(['mount', second.path])
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /^cellsfs: the disk of the cache folder \S+ is full: free some space, or name another one with --cache-dir\n$/)
  }))
})
