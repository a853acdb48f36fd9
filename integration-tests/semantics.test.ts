/** SEMANTICS.md: each sentence has a test that carries its number. Here are those that need a mount or a process that dies. */
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, test } from 'node:test'
import { Service } from './helpers/process.js'
import { PROJECT } from './helpers/project.js'
import { onlyEmbedded, useSuite, type Corner } from './helpers/suite.js'

test('each sentence of SEMANTICS.md has a test, and each number in the name of a test is a sentence', async () => {
  const page = await readFile(join(PROJECT, 'SEMANTICS.md'), 'utf8')
  const sentences = [...page.matchAll(/^\* \*\*(S\d+)\*\* \S/gm)].map(([, number]) => number!)
  assert.deepEqual(sentences, sentences.map((_, i) => `S${i + 1}`), 'numbered from S1 on, none missing')
  const tested = new Set<string>()
  for (const folder of ['integration-tests', 'src/fs']) {
    for (const file of (await readdir(join(PROJECT, folder))).filter((name) => name.endsWith('.test.ts'))) {
      const text = await readFile(join(PROJECT, folder, file), 'utf8')
      for (const [, numbers] of text.matchAll(/['`]((?:S\d+, )*S\d+): /g)) for (const number of numbers!.split(', ')) tested.add(number)
    }
  }
  assert.deepEqual(sentences.filter((number) => !tested.has(number)), [], 'sentences without a test')
  assert.deepEqual([...tested].filter((number) => !sentences.includes(number)), [], 'tests of sentences that there are not')
})

describe('semantics of a mount', { concurrency: 3, timeout: 90_000 }, () => {
  const suite = useSuite({ bare: true })

  async function open(name: string, remote: string): Promise<{ at: Corner; kill: () => Promise<unknown>; stop: () => Promise<unknown> }> {
    const drive = await suite.mount({ name, remote })
    return { at: suite.cornerAt(drive.path, remote), kill: () => drive.stop('SIGKILL'), stop: () => drive.stop() }
  }

  it('S1, S2, S3: what was closed, synced, made, renamed or deleted is there after kill -9', async () => {
    const remote = await suite.remoteFolder(suite.root)
    const first = await open('killed', remote)
    await first.at.putByOther('old', 'old')
    await first.at.putByOther('moved', 'moved')
    await first.at.putByOther('gone', 'gone')
    await first.at.putByOther('synced', 'before')
    const program = new Service(process.execPath, ['-e', `
      const fs = require("fs")
      const open = fs.openSync("synced", "w")
      fs.writeSync(open, "after")
      fs.fsyncSync(open)
      fs.writeFileSync("closed", "closed")
      fs.appendFileSync("old", ", more")
      fs.mkdirSync("d")
      fs.renameSync("moved", "d/moved")
      fs.unlinkSync("gone")
      fs.symlinkSync("closed", "link")
      console.log("done")
      setInterval(() => {}, 1000)`], { cwd: first.at.dir })
    await program.line()
    await first.kill()
    await program.stop('SIGKILL')
    const second = await open('killed', remote)
    assert.equal(await second.at.sh('ls -A; cat synced closed old d/moved; readlink link'), 'closed\nd\nlink\nold\nsynced\nafterclosedold, moremovedclosed\n')
    await second.at.serverHas('synced', 'after')
    await second.at.serverHas('closed', 'closed')
    await second.at.serverHas('old', 'old, more')
    await second.at.serverHas('d/moved', 'moved')
    await second.at.serverLacks('gone')
    await second.at.serverLacks('moved')
    await second.stop()
  })

  it('S26: locks hold between programs of one computer, and only there', async () => {
    const remote = await suite.remoteFolder(suite.root)
    const [one, two] = await Promise.all([open('locks-1', remote), open('locks-2', remote)])
    await one.at.putByOther('f', 'content')
    const locks = { 'fcntl.flock': '', 'fcntl.lockf': '' }
    for (const call of Object.keys(locks)) {
      const take = (how: string): string => `import fcntl\nf = open("f", "r+")\n${call}(f, ${how})\nprint("taken", flush=True)\n`
      const holder = one.at.stay(`python3 -c '${take('fcntl.LOCK_EX')}input()'`)
      assert.equal(await holder.line(), 'taken')
      await assert.rejects(one.at.python(take('fcntl.LOCK_EX | fcntl.LOCK_NB')), /BlockingIOError/, call)
      assert.equal(await two.at.python(take('fcntl.LOCK_EX | fcntl.LOCK_NB')), 'taken\n', call)
      holder.child.stdin!.end('\n')
      await holder.stop()
      assert.equal(await one.at.python(take('fcntl.LOCK_EX | fcntl.LOCK_NB')), 'taken\n', call)
    }
    await Promise.all([one.stop(), two.stop()])
  })

  it('S30: two mounts send what they made of one file in the same moment', { skip: onlyEmbedded }, async () => {
    const remote = await suite.remoteFolder(suite.root)
    const [one, two] = await Promise.all([open('edit-1', remote), open('edit-2', remote)])
    await one.at.putByOther('doc.txt', 'base')
    assert.equal(await two.at.sh('cat doc.txt'), 'base')
    // The server stands still while both save.
    suite.server?.pause()
    await Promise.all([one.at.sh('echo one > doc.txt'), two.at.sh('echo two > doc.txt')])
    suite.server?.resume()
    await suite.client.waitFor(`${remote}/doc.txt`, (node) => node !== undefined && node.size === 4)
    for (const { at } of [one, two]) await at.sh('for i in $(seq 300); do ls | grep -q conflict && break; sleep 0.1; done; ls | grep -q conflict')
    assert.equal(await one.at.sh('cat * | sort'), 'one\ntwo\n')
    assert.equal(await two.at.sh('cat * | sort'), 'one\ntwo\n')
    await Promise.all([one.stop(), two.stop()])
  })
})
