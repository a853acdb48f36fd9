import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { UsageError } from '../errors.js'
import { isHelperCall, splitOptions, translate } from './mount-helper.js'

const words = (line: string, program = '/usr/bin/cellsfs'): string => translate(program, line.split(' ')).words.filter((word) => word !== '--quiet').join(' ')

describe('a call of mount(8)', () => {
  it('is known by the name of the program or by its words', () => {
    assert.ok(isHelperCall('/sbin/mount.fuse.cellsfs', ['/', '/mnt']))
    assert.ok(isHelperCall('/sbin/umount.fuse.cellsfs', ['/mnt']))
    assert.ok(isHelperCall('/usr/bin/cellsfs', ['common-files', '/mnt', '-o', 'rw']))
    for (const own of [['mount', '/mnt'], ['mount', 'common-files', '/mnt'], ['status'], [], ['--help'], ['-f', 'x', '-o']]) assert.equal(isHelperCall('/usr/bin/cellsfs.js', own), false, own.join(' '))
  })

  it('becomes a call of ours', () => {
    assert.equal(words('common-files/x /mnt -o rw,dev,suid'), 'mount common-files/x /mnt')
    assert.equal(words('none /mnt -o ro,allow_other,uid=1000,gid=100,umask=077,noexec'), 'mount --read-only --allow-other --uid=1000 --gid=100 --umask=077 --noexec / /mnt')
    assert.equal(words('/ /mnt -o noauto,user=bob,_netdev,nofail,x-systemd.automount,x-gvfs-show,nosuid,nodev,relatime,comment=x'), 'mount / /mnt')
    assert.equal(words('/ /mnt -o driver=fuse-native,cache-size=5G,cache_dir=/var/c'), 'mount --driver=fuse-native --cache-size=5G --cache-dir=/var/c / /mnt')
    assert.equal(words('/ /mnt -o write_mode=through,metrics_port=9101,notify'), 'mount --write-mode=through --metrics-port=9101 --notify / /mnt')
    assert.equal(words('/ /mnt -n -v -r -t fuse.cellsfs -o nofail', '/sbin/mount.fuse.cellsfs'), 'mount --read-only / /mnt')
    assert.equal(words('/ /mnt -sv -orw,magic -N /proc/1/ns/mnt', '/sbin/mount.fuse.cellsfs'), 'mount / /mnt')
    assert.deepEqual(translate('cellsfs', ['/', '/mnt', '-f', '-o', 'setuid=bob']), { words: ['mount', '--quiet', '/', '/mnt'], user: 'bob', fake: true })
    assert.equal(words('/mnt -l', '/sbin/umount.fuse.cellsfs'), 'umount --lazy /mnt')
  })

  it('takes the account from the source and the options', () => {
    assert.equal(words('https://files.example.com/ /mnt -o rw'), 'mount --account=https://files.example.com / /mnt')
    assert.equal(words('https://al%40x@files.example.com/common-files/a%20b /mnt -o rw').replace('a b', 'a_b'), 'mount --account=al@x@files.example.com:443 /common-files/a_b /mnt')
    assert.equal(words('ws /mnt -o url=http://h:8080,login=bob'), 'mount --account=bob@h:8080 ws /mnt')
    assert.equal(words('ws /mnt -o account=bob@h'), 'mount --account=bob@h ws /mnt')
    assert.equal(words('https://bob@h/ws /mnt -o credentials=/etc/c'), 'mount --credentials=/etc/c --url=https://h --login=bob /ws /mnt')
  })

  it('splits options at commas that nothing protects', () => {
    assert.deepEqual(splitOptions('a,b=c\\,d,,e=\\\\'), ['a', 'b=c,d', 'e=\\'])
    assert.deepEqual(translate('cellsfs', ['/', '/mnt', '-o', 'cache_dir=/a\\,b']).words[2], '--cache-dir=/a,b')
  })

  it('refuses what it does not know, and secrets', () => {
    for (const [line, why] of [
      ['/ /mnt -o magic', /magic.*not known/], ['/ /mnt -o password=x', /credentials=FILE/], ['/ /mnt -o token=x', /credentials=FILE/],
      ['https://a:b@h/ /mnt -o rw', /credentials=FILE/], ['/ /mnt -o remount', /remounted/], ['/ /mnt -o uid', /needs a value/], ['/ -o rw', /mountpoint/], ['/ /mnt -o', /needs a value/],
    ] as const) assert.throws(() => words(line), (error: Error) => error instanceof UsageError && why.test(error.message) && !/token=x|=x|a:b/.test(error.message), line)
  })
})
