import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { mountSettings, mountWords } from './options.js'
import { unitName, unitText } from './service-unit.js'

/** Words of a line of ExecStart= as systemd.syntax(7) and systemd.service(5) have them read. */
function wordsOf(line: string): string[] {
  const words: string[] = []
  for (const [, double, bare] of line.matchAll(/"((?:\\.|[^"\\])*)"|(\S+)/g)) {
    const text = (double ?? bare!).replace(/\\(.)/g, (_, char: string) => ({ n: '\n', t: '\t', r: '\r' })[char] ?? char)
    assert.doesNotMatch(text.replaceAll('%%', ''), /%/, 'no specifier')
    const plain = text.replaceAll('%%', '%')
    if (words.length > 0) assert.doesNotMatch(plain.replaceAll('$$', ''), /\$/, 'no variable')
    words.push(words.length > 0 ? plain.replaceAll('$$', '$') : plain)
  }
  return words
}

const field = (unit: string, name: string): string => new RegExp(`^${name}=-?([^\\n]*)$`, 'm').exec(unit)![1]!
const verifier = spawnSync('systemd-analyze', ['--version']).status === 0
const escaper = spawnSync('systemd-escape', ['--version']).status === 0
const ODD = ['/home/alice/My Drive', '/mnt/100% "sure" \\ $HOME', '/mnt/Übersicht – été', '/a', '/home/a-b/.hidden/x.y:z', '/mnt/%h $$ %%']

describe('a systemd unit of a mount', () => {
  const text = (mountpoint: string, words: readonly string[] = ['--read-only', 'cells://common-files/100% $x', mountpoint]): string =>
    unitText({ mountpoint, program: ['/usr/bin/env', '/opt/cells fs/$x%y/cellsfs.js'], words, environment: { XDG_STATE_HOME: '/var/100% "x"' }, notify: true })

  it('keeps every argument as it is', () => {
    fc.assert(fc.property(fc.array(fc.string({ unit: 'grapheme', maxLength: 20 }).filter((word) => word !== '' && !word.includes('\0'))), (words) => {
      const unit = text('/mnt', words)
      assert.deepEqual(wordsOf(field(unit, 'ExecStart')), ['/usr/bin/env', '/opt/cells fs/$x%y/cellsfs.js', 'mount', '--foreground', ...words])
    }))
    for (const mountpoint of ODD) assert.deepEqual(wordsOf(field(text(mountpoint), 'ExecStop')).slice(2), ['umount', mountpoint])
    assert.match(text('/mnt'), /^Environment="XDG_STATE_HOME=\/var\/100%% \\"x\\""$/m)
    assert.match(text('/mnt'), /^Type=notify\nNotifyAccess=all$/m)
  })

  it('is one that systemd takes', { skip: !verifier && 'there is no systemd-analyze' }, () => {
    for (const mountpoint of ODD) {
      const folder = mkdtempSync(join(tmpdir(), 'unit-'))
      try {
        // A colon in its name means something to this program.
        const file = join(folder, unitName(mountpoint).replaceAll(':', ''))
        writeFileSync(file, text(mountpoint))
        const { status, stderr } = spawnSync('systemd-analyze', ['--user', '--man=no', 'verify', file], { encoding: 'utf8', env: { ...process.env, XDG_RUNTIME_DIR: folder, SYSTEMD_LOG_LEVEL: 'warning' } })
        assert.doesNotMatch(stderr, /cellsfs-.*(:\d+:|not executable|Unknown|bad unit)/i, mountpoint)
        assert.equal(status, 0, stderr)
      } finally {
        rmSync(folder, { recursive: true })
      }
    }
  })

  it('is named after the mountpoint, as systemd-escape does it', { skip: !escaper && 'there is no systemd-escape' }, () => {
    for (const mountpoint of ODD) assert.equal(unitName(mountpoint), `cellsfs-${execFileSync('systemd-escape', ['--path', mountpoint], { encoding: 'utf8' }).trim()}.service`)
  })

  it('has a name of its own for each mountpoint, never too long', () => {
    assert.equal(unitName('/home/alice/Cells'), 'cellsfs-home-alice-Cells.service')
    assert.ok(unitName(`/${'long name/'.repeat(60)}`).length < 100)
    assert.notEqual(unitName('/a-b'), unitName('/a/b'))
  })

  it('mounts with the flags that were given', () => {
    const given = {
      place: 'common-files/x', mountpoint: '/mnt/a', 'read-only': true, 'allow-other': true, account: 'a@h', uid: 5, umask: '077', 'cache-size': '1K', log: 'debug', 'auto-unmount': true, driver: 'kernel', 'write-mode': 'through', notify: true, 'metrics-port': 0,
    }
    const words = mountWords(mountSettings(given))
    assert.deepEqual(words, ['--read-only', '--allow-other', '--auto-unmount', '--notify', '--log=debug', '--account=a@h', '--uid=5', '--umask=077', '--driver=kernel', '--write-mode=through', '--metrics-port=0', '--cache-size=1024', 'cells://common-files/x', '/mnt/a'])
    assert.deepEqual(mountWords(mountSettings({ place: '/mnt/a', 'write-mode': 'back' })), ['/mnt/a'])
  })
})
