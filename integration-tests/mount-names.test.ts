/** Names: the odd ones that a drive must keep, and the ones that a server cannot hold. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { missing, useSuite } from './helpers/suite.js'

/** Names that are trouble for URLs, shells, JSON or XML, and fine for people. */
const ODD = [
  'with space', ' leading', 'quote\'s', 'double"quote', 'percent%41', '100%', 'hash#1', 'plus+sign', 'and&amp;', 'a?b', 'colon:semi;', 'star*',
  '<tag>', '[bracket]', '{brace}', 'tilde~', '$HOME', 'back`tick', 'comma,', 'equals=', 'at@', '!bang', '(1)', 'été', '中文', 'Ωμέγα', 'русский',
  '-dash', '--', 'dots...in', 'x'.repeat(200), 'é'.repeat(100),
]

describe('names in a mount', { concurrency: 4, timeout: 200_000 }, () => {
  const suite = useSuite()

  it('keeps odd names of files', async () => {
    const at = await suite.corner('files')
    for (const name of ODD) await at.sh('printf %s "$NAME" > "./$NAME"', { env: { NAME: name } })
    const listed = (await at.sh('ls -A1')).split('\n').filter((name) => name !== '').sort()
    assert.deepEqual(listed, [...ODD].sort())
    for (const name of ODD) await at.serverHas(name, name)
    assert.deepEqual(await at.serverNames(), [...ODD].sort())
    const again = await at.sh('for name in *; do [ "$(cat "./$name")" = "$name" ] || echo "$name"; done')
    assert.equal(again, '')
    await at.sh('rm -f -- ./*')
    assert.equal(await at.sh('ls -A'), '')
  })

  it('keeps odd names of folders, and moves them', async () => {
    const at = await suite.corner('folders')
    const names = ODD.filter((name) => Buffer.byteLength(name) < 190)
    for (const name of names) await at.sh('mkdir "./$NAME"; printf deep > "./$NAME/$NAME"', { env: { NAME: name } })
    for (const name of names) await at.serverHas(`${name}/${name}`, 'deep')
    await at.sh('mv "./with space" "./été" "./中文"; mv ./100% "./50% #2"; cat "./中文/été/été" "./50% #2/100%"')
    await at.serverHas('中文/été/été', 'deep')
    await at.serverHas('50% #2/100%', 'deep')
    await at.sh('rm -r -- ./*')
    await at.serverLacks('中文')
  })

  it('takes decomposed letters for what they are', async () => {
    const at = await suite.corner('unicode')
    const [nfd, nfc] = ['e\u0301te\u0301', 'été']
    await at.sh('echo text > "$NFD"; cat "$NFC" "$NFD"; [ "$(ls | wc -l)" = 1 ]; rm "$NFC"; [ ! -e "$NFD" ]; mkdir "$NFD"; rmdir "$NFC"', { env: { NFD: nfd, NFC: nfc } })
    // libfuse 2 cannot tell the kernel that the other spelling is gone, too: it believes in it for a second.
    if (process.env['CELLSFS_DRIVER'] === 'fuse-native') await at.sh('while [ -e "$NFD" ]; do sleep 0.05; done', { env: { NFD: nfd } })
    await at.sh('echo text > "$NFD"', { env: { NFD: nfd } })
    await at.serverHas(nfc, 'text\n')
  })

  it('shows odd names that others made', async () => {
    const at = await suite.corner('theirs')
    const names = ODD.slice(0, 12)
    await Promise.all(names.map((name) => at.putByOther(name, name)))
    assert.deepEqual((await at.sh('ls -A1')).split('\n').filter((name) => name !== '').sort(), [...names].sort())
    assert.equal(await at.sh('for name in *; do [ "$(cat "./$name")" = "$name" ] || echo "$name"; done'), '')
  })

  it('S23: refuses at once what the server cannot hold', async (t) => {
    const absent = await missing('python3')
    if (absent !== false) return t.skip(absent)
    const at = await suite.corner('refused')
    await at.sh('echo text > good')
    const report = await at.python(`
import os, errno
def attempt(what, *args):
    try:
        what(*args)
        return 'done'
    except OSError as e:
        return errno.errorcode[e.errno]
def create(name): os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
for name in [b'back\\\\slash', b'new\\nline', b'.pydio', b'bad\\xff', b'x' * 256]:
    print(attempt(create, name), attempt(os.mkdir, name), attempt(os.rename, b'good', name))
print(sorted(os.listdir('.')))
`)
    const lines = report.trim().split('\n')
    assert.deepEqual(lines, [
      'EINVAL EINVAL EINVAL', 'EINVAL EINVAL EINVAL', 'EINVAL EINVAL EINVAL', 'EILSEQ EILSEQ EILSEQ',
      'ENAMETOOLONG ENAMETOOLONG ENAMETOOLONG', '[\'good\']',
    ])
    await at.serverHas('good', 'text\n')
    assert.deepEqual(await at.serverNames(), ['good'])
  })

  it('does not find what no server can hold', async () => {
    const at = await suite.corner('absent')
    assert.equal(await at.sh('for name in "back\\\\slash" "$(printf "new\\nline")" .pydio; do [ -e "$name" ] && echo "$name"; done; true'), '')
  })
})
