/** What was acknowledged stays: after kill -9, signals, new starts. */
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { Drive } from './helpers/mount.js'
import { Service } from './helpers/process.js'
import { useSuite, type Corner } from './helpers/suite.js'

/** Writes files until it fails, and names each one on stdout when its close has returned 0. */
const WRITER = `
const fs = require("fs")
for (let i = 0; ; i++) {
  const file = fs.openSync("f" + i, "w")
  fs.writeSync(file, "content of " + i + "\\n")
  fs.writeSync(file, "x".repeat((i % 7) * 10000))
  fs.closeSync(file)
  fs.writeSync(1, "f" + i + "\\n")
}`
const contentOf = (i: number): string => `content of ${i}\n${'x'.repeat((i % 7) * 10_000)}`

describe('durability', { concurrency: 8, timeout: 230_000 }, () => {
  const suite = useSuite({ bare: true })

  async function start(name: string): Promise<{ drive: Drive; at: Corner; again: () => Promise<{ drive: Drive; at: Corner }> }> {
    const remote = await suite.remoteFolder(suite.root)
    const open = async (): Promise<{ drive: Drive; at: Corner }> => {
      const drive = await suite.mount({ name, remote })
      return { drive, at: suite.cornerAt(drive.path, remote) }
    }
    return { ...await open(), again: open }
  }

  const node = (at: Corner, script: string): Service => new Service(process.execPath, ['-e', script], { cwd: at.dir })

  /** Files of the state folder, relative. */
  async function kept(drive: Drive, kind: 'drafts' | 'lost+found'): Promise<string[]> {
    const mounts = join(suite.env['XDG_STATE_HOME']!, 'cellsfs', 'mounts')
    for (const key of await readdir(mounts)) {
      // Each mount has a folder of its own; its lock names the process.
      const lock = await readFile(join(mounts, key, 'lock'), 'utf8').catch(() => '')
      if (lock.includes(String(drive.service.child.pid))) return readdir(join(mounts, key, kind))
    }
    throw new Error('no state folder of this mount')
  }

  it('S1: has everything that was closed when the mount is killed the next moment', async () => {
    const { drive, at, again } = await start('killed')
    await at.putByOther('theirs', 'old content')
    const writer = node(at, `
      const fs = require("fs")
      fs.mkdirSync("d")
      fs.writeFileSync("d/f", "new")
      fs.appendFileSync("theirs", ", more")
      fs.writeFileSync("moved", "moved"); fs.renameSync("moved", "d/moved")
      fs.writeFileSync("empty", "")
      fs.writeFileSync("gone", "x"); fs.unlinkSync("gone")
      console.log("closed")`)
    await writer.line()
    await drive.stop('SIGKILL')
    const second = await again()
    await at.serverHas('d/f', 'new')
    await at.serverHas('theirs', 'old content, more')
    assert.equal(await second.at.sh('cat d/f theirs d/moved; stat -c %s empty'), 'newold content, moremoved0\n')
    await at.serverHas('d/moved', 'moved')
    // An empty content, a delete and the old name of a rename may be in the journal when the process dies.
    await at.serverHas('empty', '')
    await at.serverLacks('gone')
    await at.serverLacks('moved')
    assert.equal(await second.at.sh('ls'), 'd\nempty\ntheirs\n')
    assert.deepEqual(await at.serverNames(), ['d', 'empty', 'theirs'])
    await second.drive.stop()
  })

  it('loses no closed file when it is killed during writes', async () => {
    const { drive, at, again } = await start('busy')
    const writers = [node(at, `process.chdir(require("fs").mkdtempSync("w1-"));${WRITER}`), node(at, `process.chdir(require("fs").mkdtempSync("w2-"));${WRITER}`)]
    const closed = await Promise.all(writers.map(async (writer) => {
      const names: string[] = []
      while (names.length < 15) names.push(await writer.line())
      return names
    }))
    await drive.stop('SIGKILL')
    // Those that were named after the last one that we read.
    for (const [index, writer] of writers.entries()) {
      for (let line = await writer.line().catch(() => undefined); line !== undefined; line = await writer.line().catch(() => undefined)) closed[index]!.push(line)
    }
    const second = await again()
    const folders = (await second.at.sh('ls')).trim().split('\n')
    assert.deepEqual(folders.map((name) => name.slice(0, 3)).sort(), ['w1-', 'w2-'])
    for (const folder of folders) {
      const names = closed[Number(folder[1]) - 1]!
      assert.ok(names.length >= 15)
      for (const [i, name] of names.entries()) {
        await second.at.serverHas(`${folder}/${name}`, contentOf(i))
        assert.equal(await second.at.sh(`cat ${folder}/${name}`), contentOf(i))
      }
      // At most the one that was being written is there or not, and if it is there, it is whole.
      const more = (await second.at.sh(`ls ${folder}`)).trim().split('\n').filter((name) => !names.includes(name))
      assert.ok(more.length <= 1, more.join())
      for (const name of more) assert.equal(await second.at.sh(`cat ${folder}/${name}`), contentOf(Number(name.slice(1))))
    }
    await second.drive.stop()
  })

  it('S4: sets aside what was not closed when it was killed, and keeps the old content', async () => {
    const { drive, at, again } = await start('open')
    await at.putByOther('doc', 'old content')
    const writer = node(at, `
      const fs = require("fs")
      const doc = fs.openSync("doc", "w"), fresh = fs.openSync("fresh", "w")
      fs.writeSync(doc, "never closed"); fs.writeSync(fresh, "never closed either")
      // What is still open after a quarter of a second is recorded.
      setTimeout(() => console.log("written"), 1000); process.stdin.resume()`)
    await writer.line()
    await drive.stop('SIGKILL')
    await writer.stop('SIGKILL')
    const second = await again()
    assert.equal(await second.at.sh('cat doc; ls'), 'old contentdoc\n')
    const found = await kept(second.drive, 'lost+found')
    assert.deepEqual(found.map((name) => name.split('.')[0]).sort(), ['doc', 'fresh'])
    assert.deepEqual(await kept(second.drive, 'drafts'), [])
    await at.serverHas('doc', 'old content')
    assert.deepEqual(await at.serverNames(), ['doc'])
    await second.drive.stop()
  })

  it('S24: keeps times, modes, links and inode numbers over a new start', async () => {
    const { drive, at, again } = await start('remount')
    await at.sh('echo text > f; chmod 640 f; touch -d "2001-02-03 04:05:06.789 UTC" f; mkdir d; chmod 700 d; ln -s f l; echo x > d/g; touch -d "2002-02-03 UTC" d/g')
    const facts = 'TZ=UTC stat -c "%n %a %y %i" f d/g; stat -c "%n %a %i" d; readlink l; cat l'
    const before = await at.sh(facts)
    assert.match(before, /^f 640 2001-02-03 04:05:06.789000000 \+0000 /)
    assert.equal(await drive.stop('SIGTERM'), 0, drive.service.stderr)
    const second = await again()
    assert.equal(await second.at.sh(facts), before)
    await second.drive.stop('SIGKILL')
    const third = await again()
    assert.equal(await third.at.sh(facts), before)
    await third.drive.stop()
  })
})

// A server of its own: a 2.x index learns nothing while anybody writes without a pause, and the others above wait for it.
describe('durability, ended in the middle of work', { timeout: 230_000 }, () => {
  const suite = useSuite({ bare: true })

  it('S56: saves everything and ends with 0 on SIGTERM, also in the middle of work', async () => {
    const remote = await suite.remoteFolder(suite.root)
    const drive = await suite.mount({ name: 'term', remote })
    const at = suite.cornerAt(drive.path, remote)
    const writer = new Service(process.execPath, ['-e', WRITER], { cwd: at.dir })
    const names: string[] = []
    while (names.length < 10) names.push(await writer.line())
    // It sends for a minute, if the server takes that long.
    assert.equal(await drive.service.stop('SIGTERM', 80_000), 0, drive.service.stderr.slice(-500))
    for (let line = await writer.line().catch(() => undefined); line !== undefined; line = await writer.line().catch(() => undefined)) names.push(line)
    for (const [i, name] of names.entries()) await at.serverHas(name, contentOf(i))
  })
})
