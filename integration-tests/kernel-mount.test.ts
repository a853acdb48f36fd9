/**
 * What only the kernel driver can do, through real mounts of a filesystem in memory: see driver.test.ts for what both do.
 * Perl makes the system calls that no ordinary tool makes; it is part of every Debian.
 */
import assert from 'node:assert/strict'
import { access, constants, writeFile } from 'node:fs/promises'
import { release } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { withFolder } from './helpers/folders.js'
import { MEMORY_MOUNT, type MemoryMount, unmount, withMemoryMount } from './helpers/memory-drive.js'
import { Service, run, sh, until } from './helpers/process.js'

const root = process.getuid?.() === 0
/** nobody */
const OTHER = { uid: 65534, gid: 65534 }

const withMount = (flags: readonly string[], work: (mount: MemoryMount) => Promise<void>, user?: { uid: number; gid: number }): Promise<void> => withMemoryMount('kernel', flags, work, user)

const count = (calls: readonly string[], op: string): number => calls.filter((call) => call.split(' ')[0] === op).length

describe('kernel driver', { concurrency: 2 }, () => {
  it('lists with attributes, and asks for no name again', () => withMount(['long'], async (mount) => {
    await mount.sh('mkdir d; seq -f d/%04g 1 2000 | xargs touch')
    await dropNames()
    await mount.calls()
    assert.equal(await mount.sh('ls -lU d | tail -n +2 | wc -l'), '2000\n')
    const cold = await mount.calls()
    assert.equal(count(cold, 'getattr') + count(cold, 'lookup') < 10, true, cold.slice(0, 20).join())
    assert.equal(await mount.sh('ls -lU d | tail -n +2 | wc -l; stat -c %s d/0001'), '2000\n0\n')
    const warm = await mount.calls()
    // Reading a folder makes the kernel ask for its atime.
    assert.deepEqual(warm.filter((call) => !/opendir|getxattr/.test(call)), ['getattr'])
    await unmount(mount)
  }))

  it('shows what others change at once, though the kernel may believe for an hour', () => withMount(['long'], async (mount) => {
    await mount.sh('echo old > f; cat f > /dev/null; stat f > /dev/null; ls > /dev/null; test ! -e new')
    await mount.service.ask('remote write:f text-of-another-length')
    await until('new content', async () => (await mount.sh('cat f; stat -c %s f')) === 'text-of-another-length22\n')
    await mount.service.ask('remote write:new x')
    await until('a new name', async () => (await mount.sh('ls; cat new')) === 'f\nnew\nx')
    await mount.service.ask('remote remove:f')
    await until('a name less', async () => (await mount.sh('ls; test -e f || echo gone')) === 'new\ngone\n')
    await unmount(mount)
  }))

  it('sees changes with a reader that had the old pages', () => withMount(['long'], async (mount) => {
    await mount.sh('printf 12345 > f')
    const reader = new Service('perl', ['-e', '$|=1; open F, "<", "f"; while (<STDIN>) { seek F, 0, 0; sysread F, my $b, 9; print "$b\\n" }'], { cwd: mount.dir })
    const read = async (): Promise<string> => {
      reader.child.stdin!.write('\n')
      return reader.line()
    }
    assert.equal(await read(), '12345')
    await mount.service.ask('remote write:f abcde')
    await until('the new pages', async () => await read() === 'abcde')
    reader.child.stdin!.end()
    await reader.exited
  }))

  it('tells of a change in a folder that a request holds', () => withMount(['long'], async (mount) => {
    await mount.sh('echo x > f; stat f > /dev/null')
    await mount.service.ask('delay mkdir 2000')
    const busy = mount.sh('mkdir d')
    await until('mkdir is running', async () => (await mount.calls()).includes('mkdir d'))
    await mount.service.ask('remote remove:f')
    // The process goes on answering meanwhile.
    assert.equal(await mount.sh('cat f 2>/dev/null || echo'), await mount.sh('cat f 2>/dev/null || echo'))
    await busy
    await until('gone', async () => (await mount.sh('ls')) === 'd\n')
    await unmount(mount)
  }))

  it('forgets what the kernel forgets', { skip: !root && 'only root can make the kernel forget' }, () => withMount([], async (mount) => {
    await mount.sh('mkdir -p a/b/c; seq -f a/b/%03g 1 300 | xargs touch; find . -ls > /dev/null')
    await until('nothing is held', async () => {
      await sh('echo 2 > /proc/sys/vm/drop_caches')
      return (await mount.service.ask('leaks') as string[]).length === 0
    })
  }))

  it('renames without replacing, and exchanges', () => withMount([], async (mount) => {
    // renameat2 is 316 on x86-64.
    const rename = (from: string, to: string, flags: number): string => `perl -e 'my ($a, $b) = ("${from}", "${to}"); syscall(316, -100, $a, -100, $b, ${flags}) == 0 or print "$!\\n"'`
    if (process.arch !== 'x64') return
    assert.equal(await mount.sh(`echo 1 > a; echo 2 > b; ${rename('a', 'b', 1)}; ${rename('a', 'b', 2)}; cat a b; ${rename('a', 'b', 4)}; ${rename('a', 'c', 1)}; ls`), 'File exists\n2\n1\nInvalid argument\nb\nc\n')
    await unmount(mount)
  }))

  it('copies inside the mount without moving the content', () => withMount([], async (mount) => {
    await mount.sh('head -c 3000000 /dev/urandom > f; cp f g')
    const calls = await mount.calls()
    await mount.sh('cmp f g')
    assert.equal(count(calls, 'copyFileRange') > 0, true)
    assert.equal(count(calls, 'read'), 0)
    await unmount(mount)
  }))

  it('finds holes, allocates, truncates beyond 32 bits', () => withMount([], async (mount) => {
    assert.equal(await mount.sh(`
      truncate -s 10M f; printf x | dd of=f bs=1 seek=5M conv=notrunc status=none
      perl -e 'open F, "<", "f"; print sysseek(F, 0, 3), " ", sysseek(F, 5300000, 4), " "; sysseek(F, 9000000, 3) or print "$!\n"'
      fallocate -l 20M f; stat -c %s f; (fallocate -p -l 1M f 2>&1 || true) | grep -o 'supported'`), '5242880 5308416 No such device or address\n20971520\nsupported\n')
    await unmount(mount)
  }))

  it('appends from many processes without losing a line', () => withMount([], async (mount) => {
    assert.equal(await mount.sh('for i in $(seq 8); do (for j in $(seq 50); do echo "line $i $j" >> f; done) & done; wait; sort -u f | wc -l'), '400\n')
    await unmount(mount)
  }))

  for (const flags of [[], ['writeback']] as const) {
    it(`maps files for writing, also beside one that appends${flags.length > 0 ? ', with the writeback cache' : ''}`, () => withMount(flags, async (mount) => {
      const script = `
        import mmap, os
        a = os.open('f', os.O_RDWR | os.O_APPEND)
        f = os.open('f', os.O_RDWR)
        m = mmap.mmap(f, 0)
        m[10000:10005] = b'HELLO'
        m.flush()
        os.write(a, b'tail')
        m[0:5] = b'START'
        m.close(); os.close(f); os.close(a)`.replace(/^ {8}/gm, '')
      if ((await run('python3', ['-V'])).code !== 0) return
      await mount.sh('head -c 50000 /dev/zero > f')
      await mount.sh(`python3 -c "${script}"`)
      assert.equal(await mount.sh('stat -c %s f; head -c 5 f; dd if=f bs=1 skip=10000 count=5 status=none; tail -c 4 f'), '50004\nSTARTHELLOtail')
      await unmount(mount)
    }))

    it(`keeps data, sizes and times right${flags.length > 0 ? ' with the writeback cache' : ''}`, () => withMount(flags, async (mount) => {
      assert.equal(await mount.sh(`
        head -c 5000000 /dev/urandom > "$HOME/data"; cp "$HOME/data" f; cmp f "$HOME/data"; stat -c %s f
        printf abc > g; printf def >> g; printf X | dd of=g bs=1 seek=1 conv=notrunc status=none; cat g; echo
        touch -d '2001-02-03 04:05:06.789 UTC' g; TZ=UTC stat -c '%y' g; truncate -s 2 g; cat g; echo
        exec 3<>h; echo one >&3; rm h; cat /proc/self/fd/3; exec 3>&-; ls`), '5000000\naXcdef\n2001-02-03 04:05:06.789000000 +0000\naX\none\nf\ng\n')
      await unmount(mount)
    }))
  }

  it('reads and writes past the page cache', () => withMount([], async (mount) => {
    await mount.sh('head -c 4194304 /dev/urandom > "$HOME/data"; dd if="$HOME/data" of=f bs=1M oflag=direct status=none; dd if=f bs=1M iflag=direct status=none | cmp - "$HOME/data"')
    await unmount(mount)
  }))

  it('locks ranges within this machine, for all ways to lock and without a word to the file system', () => withMount([], async (mount) => {
    // struct flock of 64-bit Linux; F_SETLK and F_OFD_SETLK.
    const script = `
      use Fcntl; my $lock = sub { my ($f, $command, $type, $start, $length) = @_; fcntl($f, $command, pack("s s x4 q q i x4", $type, 0, $start, $length, 0)) };
      open my $a, "+<", "f" or die; open my $b, "+<", "f" or die;
      print $lock->($a, F_SETLK, F_WRLCK, 0, 10) ? "ours " : "$! ";
      if (my $child = fork) { waitpid $child, 0 } else {
        print $lock->($b, F_SETLK, F_WRLCK, 5, 10) ? "theirs " : "busy ", $lock->($b, F_SETLK, F_WRLCK, 10, 10) ? "beside " : "$! "; exit;
      }
      print $lock->($a, 37, F_WRLCK, 100, 10) ? "open " : "$! ", $lock->($b, 37, F_WRLCK, 100, 10) ? "again" : "busy"`
    await mount.sh('head -c 200 /dev/zero > f')
    await mount.calls()
    assert.equal(await mount.sh(`perl -e '$| = 1; ${script}'`), 'ours busy beside open busy')
    assert.deepEqual((await mount.calls()).filter((call) => /lock/.test(call)), [])
    await unmount(mount)
  }))

  it('locks within this machine', () => withMount([], async (mount) => {
    assert.equal(await mount.sh('exec 3> f; flock 3; (flock -n 9 && echo won || echo lost) 9> f; flock -u 3; (flock -n 9 && echo won || echo lost) 9> f'), 'lost\nwon\n')
  }))

  it('tells when a file was made', { skip: before(6, 6) && 'statx of FUSE came with Linux 6.6' }, () => withMount([], async (mount) => {
    assert.equal(await mount.sh('date +%s; echo x > f; touch -d 2001-02-03 f; stat -c %W f; date +%s').then((text) => {
      const [from = 0, birth = 0, to = 0] = text.split('\n').map(Number)
      return birth >= from && birth <= to
    }), true)
    await unmount(mount)
  }))

  it('asks for all names again when nothing is certain any more', { skip: before(6, 18) && 'older kernels cannot be told so' }, () => withMount(['long'], async (mount) => {
    await mount.sh('echo one > f; echo two > g; cat f g; ls > /dev/null')
    await mount.service.ask('remote swap:f g')
    await until('the other way round', async () => (await mount.sh('cat f g')) === 'two\none\n')
    await unmount(mount)
  }))

  it('answers what is under way when the mount is taken away', () => withMount([], async (mount) => {
    await mount.sh('echo text > f')
    await mount.service.ask('delay read 1500')
    const reader = new Service('sh', ['-c', 'exec cat f'], { cwd: mount.dir })
    await until('it is reading', async () => (await mount.calls()).includes('read'))
    assert.deepEqual(await mount.service.ask('unmount lazy'), { unmounted: true })
    assert.equal(await reader.line(), 'text')
    assert.equal(await reader.exited, 0)
    assert.deepEqual(JSON.parse(await mount.service.line()), { ended: true, leaks: [] })
  }))

  it('asks for no attributes that no engine has', () => withMount([], async (mount) => {
    await mount.sh('seq 100 | xargs touch; ls -l > /dev/null; dd if=/dev/zero of=f bs=1k count=100 status=none')
    assert.equal(count(await mount.calls(), 'getxattr'), 0)
  }))

  it('ends setuid when a stranger writes or the owner changes', { skip: !root && 'needs two users' }, () => withMount(['allow-other'], async (mount) => {
    await mount.sh(`chmod 777 .; cp /bin/true a; chmod 4777 a; cp a b; chmod 6755 b`)
    await sh('echo more >> a', { cwd: mount.dir, ...OTHER })
    assert.equal(await mount.sh('stat -c %a a; chown 1:1 b; stat -c %a b'), '777\n755\n')
  }))

  // cat waits for a page, which needs no word to us; a read with O_DIRECT waits for the reply, which the kernel interrupts.
  const waits = [
    { name: 'in the page cache', program: ['cat', 'f'], signals: ['SIGINT', 'SIGKILL'] },
    { name: 'for a reply', program: ['perl', '-e', 'sysopen F, "f", 0x4000 and sysread F, my $bytes, 4096'], signals: ['SIGINT', 'SIGQUIT', 'SIGKILL'] },
  ] as const
  for (const { name, program, signals } of waits) {
    for (const signal of signals) {
      it(`lets a program end that waits ${name}, by ${signal}`, () => withMount([], async (mount) => {
        await mount.sh('echo x > f; echo y > g')
        await mount.service.ask('delay read 30000')
        const reader = new Service(program[0], program.slice(1), { cwd: mount.dir })
        await until('it is reading', async () => (await mount.calls()).includes('read'))
        const before = Date.now()
        assert.notEqual(await reader.stop(signal, 20_000), 0)
        assert.equal(Date.now() - before < 10_000, true)
        await mount.service.ask('delay read 0')
        assert.equal(await mount.sh('ls; cat g'), 'f\ng\ny\n')
      }))
    }
  }

  it('does not interrupt a program that catches its signals', () => withMount([], async (mount) => {
    await mount.sh('echo x > f')
    await mount.service.ask('delay read 1500')
    assert.equal(await mount.sh(`perl -e 'use Time::HiRes "ualarm"; $SIG{ALRM} = sub { $n++ }; ualarm(100000, 100000); open F, "<", "f"; my $r = sysread F, my $b, 9; print defined $r ? "read $b" : "failed $!"; print $n > 0 ? "caught\n" : "none\n"'`), 'read x\ncaught\n')
  }))

  it('gives the file system its own name, and the kernel large reads', () => withMount([], async (mount) => {
    const line = await sh(`grep ' ${mount.dir} ' /proc/self/mountinfo`)
    assert.match(line, / - fuse\.cellsfs memory,\\040with\\040a\\040comma /)
    assert.match(line, /nosuid,nodev/)
  }))

  it('takes its mount away when it is killed, if asked to', () => withMount(['auto-unmount'], async (mount) => {
    await mount.service.stop('SIGKILL')
    await until('unmounted', async () => (await run('ls', [mount.dir])).code === 0)
    assert.notEqual((await run('mountpoint', ['-q', mount.dir])).code, 0)
  }))

  it('says in one sentence that the FFI is missing', () => withFolder(async ({ path, folder, env }) => {
    const preload = join(path, 'no-koffi.cjs')
    await writeFile(preload, `
      const module_ = require('node:module'), resolve = module_._resolveFilename
      module_._resolveFilename = function (name, ...rest) { if (name === 'koffi') throw new Error('not here'); return resolve.call(this, name, ...rest) }`)
    const { stdout } = await run(process.execPath, ['-r', preload, MEMORY_MOUNT, await folder('mnt'), 'kernel'], { env })
    assert.match(stdout, /needs the optional package koffi.*npm install koffi/)
  }))

  it('lets nobody else in, unless asked to', { skip: !root && 'needs two users' }, async () => {
    await withMount([], async ({ dir }) => assert.notEqual((await run('ls', [dir], OTHER)).code, 0))
    await withMount(['allow-other'], async ({ dir }) => assert.equal((await run('ls', [dir], OTHER)).code, 0))
  })

  it('mounts for an ordinary user through fusermount3', { skip: !root && 'all tests here do' }, async (test) => {
    // The build may stand where only root can read.
    if ((await run('test', ['-r', MEMORY_MOUNT], OTHER)).code !== 0 || (await run('test', ['-w', '/dev/fuse'], OTHER)).code !== 0) return test.skip('not readable for others')
    await withMount([], async (mount) => {
      assert.equal(await mount.sh('id -u; echo x > f; cat f; stat -c %u f; head -c 3000000 /dev/urandom > "$HOME/d"; cp "$HOME/d" g; cmp g "$HOME/d"'), '65534\nx\n65534\n')
      assert.match(await sh(`grep ' ${mount.dir} ' /proc/self/mountinfo`), /user_id=65534/)
      await unmount(mount)
    }, OTHER)
  })
})

/** Is the running kernel older? */
function before(major: number, minor: number): boolean {
  const [ours = 0, its = 0] = release().split('.').map(Number)
  return ours < major || (ours === major && its < minor)
}

/** Makes the kernel forget names, so that the next listing is a first one. Only root may; else the kernel may know some. */
async function dropNames(): Promise<void> {
  if (await access('/proc/sys/vm/drop_caches', constants.W_OK).then(() => true, () => false)) await sh('echo 2 > /proc/sys/vm/drop_caches')
}
