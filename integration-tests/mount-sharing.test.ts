/** More than one at work: two mounts, other clients, and the time in which the server does not yet show what it has taken. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { run, until, type Service } from './helpers/process.js'
import { md5, useSuite, type Corner } from './helpers/suite.js'

describe('sharing a server', { concurrency: 8, timeout: 200_000 }, () => {
  const suite = useSuite()
  let second: Promise<Corner> | undefined

  /** The same folder through another mount. */
  async function other(name: string): Promise<Corner> {
    second ??= suite.mount({ name: 'second' }).then(({ dir }) => suite.cornerAt(dir, suite.root))
    const { dir } = await second
    return suite.cornerAt(join(dir, name), `${suite.root}/${name}`)
  }

  const sees = (at: Corner, script: string, wanted: string): Promise<boolean> => until(`${script} gives ${JSON.stringify(wanted)}`, async () => {
    const { code, stdout } = await run('bash', ['-c', script], { cwd: at.dir.slice(0, at.dir.lastIndexOf('/')) })
    return code === 0 && stdout === wanted
  })

  it('S13: two mounts see each other\'s files, changes, renames and deletes', async () => {
    const mine = await suite.corner('both')
    const theirs = await other('both')
    await sees(theirs, 'ls -A both', '')
    await mine.sh('echo one > f; mkdir d; echo deep > d/g')
    await sees(theirs, 'cat both/f both/d/g', 'one\ndeep\n')
    await theirs.sh('echo two, and longer > f')
    await sees(mine, 'cat both/f', 'two, and longer\n')
    await theirs.sh('echo 2wo, and longer > f')
    await sees(mine, 'cat both/f', '2wo, and longer\n')
    await mine.sh('mv f renamed; mv d e')
    await sees(theirs, 'ls -A both; cat both/renamed both/e/g', 'e\nrenamed\n2wo, and longer\ndeep\n')
    await theirs.sh('rm renamed; rm -r e')
    await sees(mine, 'ls -A both', '')
    await mine.sh('echo again > renamed')
    await sees(theirs, 'cat both/renamed', 'again\n')
  })

  it('S13: shows what other clients create, overwrite, move and delete', async () => {
    const at = await suite.corner('clients')
    await at.putByOther('f', 'first')
    assert.equal(await at.sh('cat f'), 'first')
    await at.putByOther('f', 'second content')
    await sees(at, 'cat clients/f', 'second content')
    await at.putByOther('f', 'sEcond content')
    await sees(at, 'cat clients/f', 'sEcond content')
    await suite.client.mkdir([`${at.remote}/d`])
    await sees(at, 'ls clients', 'd\nf\n')
    await suite.client.waitFor(`${at.remote}/d`, (node) => node !== undefined)
    await suite.client.move(`${at.remote}/f`, `${at.remote}/d/g`)
    await sees(at, 'ls clients clients/d; cat clients/d/g', 'clients:\nd\n\nclients/d:\ng\nsEcond content')
    await suite.client.remove([`${at.remote}/d`])
    await sees(at, 'ls -A clients', '')
  })

  it('creates a file right after somebody else has deleted one of that name', async () => {
    const at = await suite.corner('recreate')
    await at.putByOther('f', 'first')
    // The kernel goes on believing in a name for a while after it last asked.
    const writer = at.sh('while stat f > /dev/null 2>&1; [ -n "$(ls -A)" ]; do :; done; echo again > f; cat f', { timeoutMs: 60_000 })
    await suite.client.remove([`${at.remote}/f`])
    assert.equal(await writer, 'again\n')
    await at.serverHas('f', 'again\n')
  })

  it('S14: reads back what was overwritten, at any moment of the index delay', async () => {
    const at = await suite.corner('readback')
    await at.putByOther('f', 'x'.repeat(100))
    // Sizes go up and down: the server shows the old size for a second, and cuts bodies to it.
    for (const size of [10, 5_000, 20, 300_000, 1]) {
      await at.sh(`head -c ${size} /dev/zero | tr '\\0' y > f; [ $(stat -c %s f) = ${size} ]; [ $(tr -d y < f | wc -c) = 0 ]; [ $(wc -c < f) = ${size} ]`)
    }
    const started = Date.now()
    const script = 'for i in $(seq 20); do stat -c "%s %Y" f; md5sum < f; done | sort -u'
    const answers = new Set<string>()
    while (Date.now() - started < 3_000) answers.add(await at.sh(script))
    assert.equal(answers.size, 1, [...answers].join('---\n'))
    assert.match([...answers][0]!, new RegExp(`^1 \\d+\\n${md5('y')}  -\\n$`))
    await at.serverHas('f', 'y')
    assert.equal(await at.sh(script), [...answers][0])
  })

  it('S11: never mixes two versions in one reader', async () => {
    const at = await suite.corner('mixed')
    const [one, two] = [Buffer.alloc(3_000_000, '1'), Buffer.alloc(3_000_000, '2')]
    await at.putByOther('f', one)
    const reader = at.stay('exec 3< f; head -c 100000 <&3 | md5sum; read; cat <&3 | tr -d 1 | wc -c; exec 3<&-; cat f | tr -d 2 | wc -c')
    assert.equal(await reader.line(), `${md5(one.subarray(0, 100_000))}  -`)
    await at.putByOther('f', two)
    await sees(at, 'head -c 1 mixed/f', '2')
    reader.child.stdin!.write('\n')
    // What is cached of the first version, or an error: but not one byte of the second.
    const [rest, fresh] = await Promise.all([reader.line(), reader.line().catch(() => '0')])
    assert.equal(rest, '0', 'bytes of the second version')
    assert.equal(fresh, '0')
  })

  /** Writes a line and holds the file open until a line comes. (A shell closes copies of its descriptors all the time, and a close sends.) */
  const holding = (at: Corner, name: string, flags: 'a' | 'w'): Service => at.stay(`${process.execPath} -e '
    const fs = require("fs")
    const file = fs.openSync("${name}", "${flags}")
    fs.writeSync(file, "ours\\n")
    console.log("written")
    process.stdin.once("data", () => { fs.closeSync(file); console.log("closed"); process.stdin.destroy() })'`)

  const conflicts = async (at: Corner): Promise<string[]> => (await at.serverNames()).filter((name) => name.includes('conflict'))

  it('S30: keeps both when somebody else changes a file that is being written', async () => {
    const at = await suite.corner('conflict')
    await at.putByOther('doc.txt', 'the base\n')
    const writer = holding(at, 'doc.txt', 'a')
    assert.equal(await writer.line(), 'written')
    const { client } = suite
    const text = Buffer.from('theirs, from the web\n')
    // eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence
    await client.put(`${at.remote}/doc.txt`, async function * () { yield text }, text.length)
    await client.waitFor(`${at.remote}/doc.txt`, (node) => node?.etag === md5(text))
    writer.child.stdin!.write('\n')
    assert.equal(await writer.line(), 'closed')
    await at.serverHas('doc.txt', text)
    const [copy, ...more] = await until('the conflict copy', async () => {
      const names = await conflicts(at)
      return names.length > 0 ? names : undefined
    }) ?? []
    assert.deepEqual(more, [])
    await at.serverHas(copy!, 'the base\nours\n')
    await sees(at, `cat conflict/doc.txt; cat "conflict/${copy!}"`, 'theirs, from the web\nthe base\nours\n')
  })

  it('S32: keeps both when two create the same name', async () => {
    const at = await suite.corner('twice')
    const writer = holding(at, 'new.txt', 'w')
    assert.equal(await writer.line(), 'written')
    // eslint-disable-next-line @typescript-eslint/require-await -- a body is an async sequence
    await suite.client.put(`${at.remote}/new.txt`, async function * () { yield Buffer.from('theirs\n') }, 7)
    await suite.client.waitFor(`${at.remote}/new.txt`, (node) => node?.etag === md5('theirs\n'))
    writer.child.stdin!.write('\n')
    assert.equal(await writer.line(), 'closed')
    await at.serverHas('new.txt', 'theirs\n')
    const [copy] = await until('the conflict copy', async () => {
      const names = await conflicts(at)
      return names.length > 0 ? names : undefined
    }) ?? []
    await at.serverHas(copy!, 'ours\n')
  })

  it('S33: keeps ours when somebody else deletes a file that is being written', async () => {
    const at = await suite.corner('deleted')
    await at.putByOther('doc.txt', 'the base\n')
    const writer = holding(at, 'doc.txt', 'a')
    assert.equal(await writer.line(), 'written')
    await suite.client.remove([`${at.remote}/doc.txt`])
    await at.serverLacks('doc.txt')
    writer.child.stdin!.write('\n')
    assert.equal(await writer.line(), 'closed')
    await at.serverHas('doc.txt', 'the base\nours\n')
    assert.equal(await at.sh('cat doc.txt'), 'the base\nours\n')
  })
})
