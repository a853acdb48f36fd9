/** What ordinary tools do with files and folders of a drive: the calls of a filesystem, one by one, through a real mount. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { run, sh, until } from './helpers/process.js'
import { md5, missing, useSuite, WS } from './helpers/suite.js'

const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '')

/** Fails with this message of the C library. */
async function fails(work: Promise<string>, words: RegExp): Promise<void> {
  await assert.rejects(work, (error: Error) => {
    assert.match(error.message, words)
    return true
  })
}

describe('files of a mount', { concurrency: 8, timeout: 200_000 }, () => {
  const suite = useSuite()

  it('S10: creates, reads, overwrites and stats', async () => {
    const at = await suite.corner('basics')
    assert.equal(await at.sh('printf one > f; cat f; stat -c " %s %F %h" f; printf three > f; cat f; stat -c " %s" f'), 'one 3 regular file 1\nthree 5\n')
    const node = await at.serverHas('f', 'three')
    assert.equal(await at.sh('cat f'), 'three')
    assert.equal(node.kind, 'file')
    const age = Math.abs(Number(await at.sh('stat -c %Y f')) - Date.now() / 1000)
    assert.ok(age < 3_600, `modified ${age} s away from now`)
  })

  it('keeps empty files', async () => {
    const at = await suite.corner('empty')
    await at.sh('touch a; : > b; mkdir d; touch d/c')
    assert.equal(await at.sh('stat -c %s a b d/c'), '0\n0\n0\n')
    for (const name of ['a', 'b', 'd/c']) await at.serverHas(name, '')
    assert.equal(await at.sh('cat a b d/c; ls'), 'a\nb\nd\n')
  })

  it('appends', async () => {
    const at = await suite.corner('append')
    await at.sh('echo one > f; echo two >> f; echo three >> f')
    await at.serverHas('f', 'one\ntwo\nthree\n')
    // Also to a file that this mount knows only from the server.
    await at.putByOther('theirs', 'first\n')
    await at.sh('echo second >> theirs')
    await at.serverHas('theirs', 'first\nsecond\n')
  })

  it('S27: appends of two writers all arrive', async () => {
    const at = await suite.corner('append-two')
    await at.sh(': > f; for w in a b; do (for i in $(seq 50); do echo "$w$i"; done >> f) & done; wait')
    const words = lines(await at.sh('cat f')).sort()
    assert.deepEqual(words, ['a', 'b'].flatMap((w) => Array.from({ length: 50 }, (_, i) => `${w}${i + 1}`)).sort())
    await at.serverHas('f', await at.sh('cat f'))
  })

  it('writes anywhere in a file that is on the server', async () => {
    const at = await suite.corner('anywhere')
    const before = Buffer.alloc(3_000_000, 'abcdefghij')
    await at.putByOther('f', before)
    await at.sh('printf XYZ | dd of=f bs=1 seek=1500000 conv=notrunc status=none; printf END | dd of=f bs=1 seek=2999997 conv=notrunc status=none; printf S | dd of=f bs=1 conv=notrunc status=none')
    before.write('XYZ', 1_500_000)
    before.write('END', 2_999_997)
    before.write('S', 0)
    assert.equal((await at.sh('md5sum < f')).slice(0, 32), md5(before))
    await at.serverHas('f', before)
  })

  it('truncates, shorter and longer', async () => {
    const at = await suite.corner('truncate')
    await at.putByOther('f', '0123456789')
    await at.sh('truncate -s 4 f; truncate -s 6 f')
    await at.serverHas('f', '0123\0\0')
    assert.equal(await at.sh('stat -c %s f; head -c 4 f'), '6\n0123')
    await at.sh('truncate -s 0 f')
    await at.serverHas('f', '')
    await fails(at.sh('truncate -s 3 missing/f'), /No such file/)
  })

  it('changes the size of an open file', async (t) => {
    const absent = await missing('python3')
    if (absent !== false) return t.skip(absent)
    const at = await suite.corner('ftruncate')
    await at.python(`
import os
f = os.open('f', os.O_RDWR | os.O_CREAT)
os.write(f, b'0123456789')
os.ftruncate(f, 3)
assert os.fstat(f).st_size == 3
os.pwrite(f, b'x', 5)
assert os.pread(f, 100, 0) == b'012\\0\\0x'
os.ftruncate(f, 7)
os.fsync(f)
os.close(f)
`)
    await at.serverHas('f', '012\0\0x\0')
  })

  it('leaves holes where nothing is written', async () => {
    const at = await suite.corner('sparse')
    await at.sh('printf end | dd of=f bs=1 seek=5000000 status=none')
    assert.equal(await at.sh('stat -c %s f; tail -c 3 f; head -c 5000000 f | tr -d "\\0" | wc -c'), '5000003\nend0\n')
    const node = await at.node('f')
    assert.equal(node.size, 5_000_003)
  })

  it('allocates space', async (t) => {
    const absent = await missing('fallocate')
    if (absent !== false) return t.skip(absent)
    const at = await suite.corner('fallocate')
    // libfuse 2 has no such call for us: then the C library does it by writing.
    assert.equal(await at.sh('printf data > f; fallocate -l 1000 f 2> /dev/null || fallocate -x -l 1000 f; stat -c %s f'), '1000\n')
    await at.serverHas('f', Buffer.concat([Buffer.from('data'), Buffer.alloc(996)]))
  })

  it('moves data in blocks of any size', async () => {
    const at = await suite.corner('blocks')
    await at.sh(`head -c 1000003 /dev/urandom > "$HOME/odd"
      for size in 1021 4096 65537 131072 999999; do
        dd if="$HOME/odd" of="f$size" bs=$size status=none
        cmp "$HOME/odd" "f$size"
        dd if="f$size" bs=7777 status=none | cmp "$HOME/odd" -
      done`)
    const digest = (await at.sh('md5sum < "$HOME/odd"')).slice(0, 32)
    for (const size of [1021, 4096, 65537, 131072, 999999]) assert.equal((await at.node(`f${size}`)).etag.length, digest.length)
  })

  it('reads in parallel, whole and in part', async () => {
    const at = await suite.corner('readers')
    const data = Buffer.alloc(4_000_000)
    for (let i = 0; i < data.length; i += 4) data.writeUInt32LE(i, i)
    await at.putByOther('f', data)
    const tail = md5(data.subarray(3_900_000))
    const sums = lines(await at.sh('for i in 1 2 3 4; do md5sum < f & tail -c 100000 f | md5sum & done; wait')).map((line) => line.slice(0, 32))
    assert.deepEqual(sums.sort(), [...Array.from({ length: 4 }, () => md5(data)), ...Array.from({ length: 4 }, () => tail)].sort())
  })

  it('S9: maps files into memory, to read and to write', async (t) => {
    const absent = await missing('python3')
    if (absent !== false) return t.skip(absent)
    const at = await suite.corner('mmap')
    await at.putByOther('f', Buffer.alloc(10_000, 'a'))
    assert.equal(await at.python(`
import mmap
with open('f', 'r+b') as f:
    m = mmap.mmap(f.fileno(), 0)
    assert m[9999] == ord('a') and len(m) == 10000
    m[5000:5003] = b'XYZ'
    m.flush()
    m.close()
with open('f', 'rb') as f:
    m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
    print(m[4999:5004].decode())
`), 'aXYZa\n')
    const wanted = Buffer.alloc(10_000, 'a')
    wanted.write('XYZ', 5_000)
    await at.serverHas('f', wanted)
  })

  it('S12: keeps an open file readable and writable after it was deleted', async () => {
    const at = await suite.corner('unlinked')
    await at.putByOther('theirs', 'kept for the reader')
    assert.equal(await at.sh(`
      exec 3< theirs; rm theirs; [ ! -e theirs ]; cat <&3; exec 3<&-
      exec 4<> mine; echo written >&4; rm mine; echo more >&4; cat /proc/self/fd/4; exec 4<&-
      ls -A`), 'kept for the readerwritten\nmore\n')
    await at.serverLacks('theirs')
    await at.serverLacks('mine')
    assert.deepEqual(await at.serverNames(), [])
  })

  it('S18: removes files to the recycle bin, and what never reached the server without a trace', async () => {
    const at = await suite.corner('remove')
    await at.sh('echo text > f')
    await at.serverHas('f', 'text\n')
    await at.sh('rm f')
    await fails(at.sh('cat f'), /No such file/)
    await at.serverLacks('f')
    await fails(at.sh('rm f'), /No such file/)
  })

  it('makes folders and refuses to remove full ones', async () => {
    const at = await suite.corner('folders')
    await at.sh('mkdir -p a/b/c; mkdir -p a/b; touch a/b/f')
    await fails(at.sh('mkdir a'), /File exists/)
    await fails(at.sh('rmdir a/b'), /Directory not empty/)
    await fails(at.sh('cat a'), /Is a directory/)
    await fails(at.sh('rmdir a/b/f'), /Not a directory/)
    await at.sh('rm a/b/f; rmdir a/b/c a/b')
    assert.equal(await at.sh('ls -A a; stat -c %F a'), 'directory\n')
    assert.equal((await at.node('a')).kind, 'folder')
    await at.serverLacks('a/b')
  })

  it('removes a tree', async () => {
    const at = await suite.corner('tree')
    await at.sh('for d in a a/b a/b/c a/d .hidden; do mkdir -p "t/$d"; for i in $(seq 20); do echo "$i" | dd of="t/$d/f$i" status=none; done; done; [ $(find t -type f | wc -l) = 100 ]; rm -r t; [ ! -e t ]; ls -A')
    assert.deepEqual(lines(await at.sh('ls -A')), [])
    await at.serverLacks('t')
    await at.sh('mkdir t; echo again > t/f')
    await at.serverHas('t/f', 'again\n')
    assert.deepEqual(await at.serverNames('t'), ['f'])
  })

  it('S16: renames files, also over existing ones', async () => {
    const at = await suite.corner('rename')
    await at.putByOther('source', 'source')
    const target = await at.putByOther('target', 'the target')
    await at.sh('mv source renamed; mkdir in; mv renamed in/moved; cat in/moved')
    await at.serverHas('in/moved', 'source')
    await at.serverLacks('source')
    assert.equal(await at.sh('mv in/moved target; cat target; ls -A in'), 'source')
    // Shares, versions and comments hang on the Uuid: the target's lives on.
    assert.equal((await at.serverHas('target', 'source')).uuid, target.uuid)
    await at.serverLacks('in/moved')
    assert.deepEqual(lines(await at.sh('ls')), ['in', 'target'])
    await fails(at.sh('mv missing there'), /No such file/)
  })

  it('renames what was written a moment ago', async () => {
    const at = await suite.corner('rename-fresh')
    await at.sh('echo one > a; mv a b; mv b c; echo two > a; mv a b; cat c b; mkdir d; echo x > d/f; mv d e; cat e/f; mv e/f f; rmdir e; cat f')
    await at.serverHas('c', 'one\n')
    await at.serverHas('b', 'two\n')
    await at.serverHas('f', 'x\n')
    await at.serverLacks('e')
    await at.serverLacks('d')
    assert.deepEqual(await at.serverNames(), ['b', 'c', 'f'])
  })

  it('S20: renames in case only', async () => {
    const at = await suite.corner('case')
    const { uuid } = await at.putByOther('name', 'text')
    await at.sh('mv name Name; cat Name; mkdir folder; mv folder Folder; ls > "$HOME/case"')
    assert.deepEqual(lines(await at.sh('ls')).sort(), ['Folder', 'Name'])
    assert.equal((await at.serverHas('Name', 'text')).uuid, uuid)
    await at.node('Folder')
    assert.deepEqual(await at.serverNames(), ['Folder', 'Name'])
  })

  it('renames folders with all that is in them', async () => {
    const at = await suite.corner('rename-folder')
    await at.sh('mkdir -p a/b; echo deep > a/b/f; echo top > a/f; mkdir empty')
    const { uuid } = await at.serverHas('a/b/f', 'deep\n')
    assert.equal(await at.sh('mv a z; cat z/b/f z/f; mv -T z empty; cat empty/b/f; ls -A'), 'deep\ntop\ndeep\nempty\n')
    assert.equal((await at.serverHas('empty/b/f', 'deep\n')).uuid, uuid)
    await at.serverLacks('a')
    await fails(at.sh('mkdir other; touch other/g; mv -T empty other'), /Directory not empty/)
    await fails(at.sh('mv -T other/g empty'), /directory/)
    await fails(at.sh('mv -T empty other/g'), /Not a directory|cannot overwrite/)
  })

  it('refuses to move a folder into itself', async (t) => {
    const at = await suite.corner('into-itself')
    await at.sh('mkdir -p a/b')
    await fails(at.sh('mv a a/b/c'), /subdirectory of itself|Invalid argument/)
    if (await missing('python3') !== false) return t.diagnostic('only through mv')
    assert.equal(await at.python('import os, errno\ntry: os.rename("a", "a/b/c")\nexcept OSError as e: print(errno.errorcode[e.errno])'), 'EINVAL\n')
  })

  it('moves between workspaces', async () => {
    const at = await suite.corner('across')
    const other = await suite.remoteFolder(WS)
    const there = suite.cornerAt(join(suite.drive.path, other), other)
    await at.sh('echo text > f; mkdir d; echo inner > d/g')
    await at.serverHas('d/g', 'inner\n')
    await at.sh('mv f d "$THERE"', { env: { THERE: there.dir } })
    assert.equal(await there.sh('cat f d/g'), 'text\ninner\n')
    await there.serverHas('f', 'text\n')
    await there.serverHas('d/g', 'inner\n')
    await at.serverLacks('f')
    await at.serverLacks('d')
    assert.equal(await at.sh('ls -A'), '')
    await there.sh('rm -r f d')
  })

  it('S24: keeps mode bits', async () => {
    const at = await suite.corner('mode')
    await at.sh('touch f; chmod 640 f; mkdir d; chmod 700 d; echo "echo works" > x; chmod +x x')
    assert.equal(await at.sh('stat -c %a f d; ./x'), '640\n700\nworks\n')
    await at.serverHas('x', 'echo works\n')
    assert.equal(await at.sh('stat -c %a f d x'), '640\n700\n755\n')
  })

  it('S24: keeps times that programs set', async () => {
    const at = await suite.corner('times')
    await at.sh('echo text > f; touch -d "2001-02-03 04:05:06.789 UTC" f')
    const time = (): Promise<string> => at.sh('TZ=UTC stat -c %y f')
    assert.equal(await time(), '2001-02-03 04:05:06.789000000 +0000\n')
    await at.serverHas('f', 'text\n')
    assert.equal(await time(), '2001-02-03 04:05:06.789000000 +0000\n')
    // A new content is modified now.
    await at.sh('echo more >> f')
    assert.doesNotMatch(await time(), /^2001/)
    const written = await time()
    await at.serverHas('f', 'text\nmore\n')
    assert.equal(await time(), written)
  })

  it('S24: keeps symbolic links', async () => {
    const at = await suite.corner('links')
    assert.equal(await at.sh('echo text > f; ln -s f l; mkdir d; ln -s ../f d/up; ln -s nowhere broken; readlink l d/up broken; cat l d/up; stat -c %F l; find . -type l | sort'),
      'f\n../f\nnowhere\ntext\ntext\nsymbolic link\n./broken\n./d/up\n./l\n')
    await fails(at.sh('cat broken'), /No such file/)
    await fails(at.sh('ln f hard'), /not permitted|not supported/i)
    await at.sh('rm l; [ -e f ]; [ ! -L l ]')
  })

  it('tells its size and its names', async () => {
    const at = await suite.corner('statfs')
    const [blocks, free, length, type] = (await at.sh('stat -f -c "%b %a %l %T" .')).trim().split(' ')
    assert.ok(Number(blocks) > 0 && Number(free) > 0 && Number(free) <= Number(blocks))
    assert.equal(length, '255')
    assert.match(type!, /fuse/)
    assert.match(await at.sh('df -h . | tail -1'), /cellsfs#/)
  })

  it('tells what the server knows as extended attributes', async (t) => {
    const absent = await missing('getfattr')
    if (absent !== false) return t.skip(absent)
    const at = await suite.corner('xattrs')
    await at.sh('echo text > f; mkdir d')
    const { uuid, etag } = await at.serverHas('f', 'text\n')
    const all = await until('the Uuid of a new file', async () => {
      const text = await at.sh('getfattr -d f')
      return text.includes('uuid') ? text : ''
    })
    assert.match(all, new RegExp(`user.cells.uuid="${uuid}"`))
    assert.match(all, new RegExp(`user.cells.etag="${etag}"`))
    assert.match(all, new RegExp(`user.cells.path="${at.remote}/f"`))
    const folder = await at.node('d')
    assert.equal(await at.uuid('d'), folder.uuid)
    await fails(at.sh('getfattr --only-values -n user.other f'), /No such attribute/)
  })

  it('shows dot-files and keeps them', async () => {
    const at = await suite.corner('dots')
    await at.putByOther('.theirs', 'theirs')
    await at.sh('echo mine > .mine; mkdir .folder; echo deep > .folder/.deep; echo plain > plain')
    assert.deepEqual(lines(await at.sh('ls -A')).sort(), ['.folder', '.mine', '.theirs', 'plain'])
    assert.equal(await at.sh('cat .theirs .mine .folder/.deep; find . -name ".*" -type f | sort'), 'theirsmine\ndeep\n./.folder/.deep\n./.mine\n./.theirs\n')
    await at.serverHas('.mine', 'mine\n')
    await at.serverHas('.folder/.deep', 'deep\n')
    const second = await suite.mount({ name: 'dots-second' })
    assert.deepEqual(lines(await second.sh('ls -A dots')).sort(), ['.folder', '.mine', '.theirs', 'plain'])
    assert.deepEqual(lines(await second.sh('ls -A dots/.folder')), ['.deep'])
    await second.stop()
  })

  it('walks a tree of the server', async () => {
    const at = await suite.corner('walk')
    await Promise.all(['a/f', 'a/b/f', 'a/b/c/f', 'd/f'].map((path) => at.putByOther(path, path)))
    assert.equal(await at.sh('find . | sort; grep -rh . . | sort; du -s --apparent-size . > "$HOME/du"'),
      '.\n./a\n./a/b\n./a/b/c\n./a/b/c/f\n./a/b/f\n./a/f\n./d\n./d/f\na/b/c/f\na/b/f\na/f\nd/f\n')
  })

  it('does not let anybody change the list of workspaces', async () => {
    const { path } = suite.drive
    await fails(sh('mkdir new', { cwd: path }), /not permitted|Permission denied/)
    await fails(sh('touch new', { cwd: path }), /not permitted|Permission denied/)
    await fails(sh(`rmdir ${WS}`, { cwd: path }), /not permitted|Permission denied|not empty/)
    await fails(sh(`mv -T ${WS} new`, { cwd: path }), /not permitted|Permission denied/)
    const names = lines(await sh('ls', { cwd: path }))
    assert.ok(names.includes(WS), names.join())
  })

  it('does not let anybody write into a read-only workspace', async (t) => {
    const at = join(suite.drive.path, 'ro-ws')
    if ((await run('ls', [at])).code !== 0) return t.skip('no read-only workspace ro-ws on this server')
    assert.equal(lines(await sh('ls', { cwd: at })).length > 0, true)
    await sh('cat readme.txt', { cwd: at })
    // The owner of the mount may be root, whom mode bits do not stop.
    for (const script of ['echo x > new', 'mkdir new', 'rm -f readme.txt', 'echo x >> readme.txt', 'mv readme.txt other', 'truncate -s 0 readme.txt']) {
      await fails(sh(script, { cwd: at }), /Permission denied/)
    }
    assert.deepEqual(lines(await sh('ls -A', { cwd: at })).includes('readme.txt'), true)
    assert.notEqual(await sh('cat readme.txt', { cwd: at }), '')
  })
})
