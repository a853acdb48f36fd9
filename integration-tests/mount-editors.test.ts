/**
 * How programs save: each in its own way, and most of them never write into the file itself. Whatever the way, the
 * file keeps its Uuid, because shares, versions, comments and links hang on it.
 */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { missing, useSuite, type Corner } from './helpers/suite.js'

describe('saving in a mount', { concurrency: 8, timeout: 200_000 }, () => {
  const suite = useSuite()

  /**
   * Saves twice with a script that gets the new text in $TEXT and writes it into `doc.txt`: once over a file that somebody else
   * made, and at once again over our own. The Uuid stays, and nothing else is left on the server but `others`.
   */
  async function keepsUuid(t: TestContext, script: string, { others = [], programs = [] }: { others?: string[]; programs?: string[] } = {}): Promise<Corner | undefined> {
    const absent = await missing(...programs)
    if (absent !== false) {
      t.skip(absent)
      return undefined
    }
    const at = await suite.corner(t.name.replace(/[^a-z]+/gi, '-'))
    const { uuid } = await at.putByOther('doc.txt', 'the first text\n')
    await at.sh(script, { env: { TEXT: 'second text, a longer one\n' } })
    assert.equal(await at.sh('cat doc.txt'), 'second text, a longer one\n')
    assert.equal((await at.serverHas('doc.txt', 'second text, a longer one\n')).uuid, uuid, 'Uuid after the first save')
    await at.sh(script, { env: { TEXT: 'third\n' } })
    await at.sh(script, { env: { TEXT: 'fourth\n' } })
    assert.equal(await at.sh('cat doc.txt'), 'fourth\n')
    assert.equal((await at.serverHas('doc.txt', 'fourth\n')).uuid, uuid, 'Uuid after two saves in a row')
    for (const name of await at.serverNames()) if (name !== 'doc.txt' && !others.includes(name)) await at.serverLacks(name)
    assert.deepEqual((await at.sh('ls -A1')).trim().split('\n').sort(), ['doc.txt', ...others].sort())
    return at
  }

  it('in place, as nano and cat do', async (t) => {
    await keepsUuid(t, 'printf %s "$TEXT" > doc.txt')
  })

  it('S17: vim with a probe file, backup, write and unlink', async (t) => {
    await keepsUuid(t, `
      printf swap > .doc.txt.swp
      : > 4913; rm 4913
      mv doc.txt doc.txt~
      printf %s "$TEXT" > doc.txt; sync doc.txt
      rm doc.txt~ .doc.txt.swp`)
  })

  it('vim itself', async (t) => {
    await keepsUuid(t, 'TERM=dumb vim -N -u NONE -i NONE -es -c "set backupskip= swapfile writebackup nobackup backupcopy=auto" -c "%d" -c "call setline(1, trim(\\$TEXT))" -c wq doc.txt', { programs: ['vim'] })
  })

  it('vim that renames, itself', async (t) => {
    await keepsUuid(t, 'TERM=dumb vim -N -u NONE -i NONE -es -c "set backupskip= swapfile writebackup nobackup backupcopy=no" -c "%d" -c "call setline(1, trim(\\$TEXT))" -c wq doc.txt', { programs: ['vim'] })
  })

  it('vim that keeps backups, itself', async (t) => {
    const at = await keepsUuid(t, 'TERM=dumb vim -N -u NONE -i NONE -es -c "set backupskip= swapfile backup backupcopy=no" -c "%d" -c "call setline(1, trim(\\$TEXT))" -c wq doc.txt', { programs: ['vim'], others: ['doc.txt~'] })
    if (at !== undefined) await at.serverHas('doc.txt~', 'third\n')
  })

  it('emacs with a backup that stays', async (t) => {
    const at = await keepsUuid(t, `
      ln -s me@host.1 .#doc.txt
      mv -f doc.txt doc.txt~
      printf %s "$TEXT" > doc.txt; sync doc.txt
      rm .#doc.txt`, { others: ['doc.txt~'] })
    await at!.serverHas('doc.txt~', 'third\n')
  })

  it('LibreOffice with a lock file and a new file renamed over', async (t) => {
    await keepsUuid(t, `
      printf 'me,host' > ".~lock.doc.txt#"
      printf %s "$TEXT" > lu1234abcd.tmp; sync lu1234abcd.tmp
      mv -f lu1234abcd.tmp doc.txt
      rm ".~lock.doc.txt#"`)
  })

  it('S17: LibreOffice with the old file set aside', async (t) => {
    await keepsUuid(t, `
      printf 'me,host' > ".~lock.doc.txt#"
      printf %s "$TEXT" > lu5678.tmp
      mv doc.txt doc.txt.bak
      mv lu5678.tmp doc.txt
      rm doc.txt.bak ".~lock.doc.txt#"`)
  })

  it('office suites with nameless temporary files', async (t) => {
    await keepsUuid(t, `
      printf %s "$TEXT" > 3F2A1B00
      mv doc.txt 5C4D.tmp
      mv 3F2A1B00 doc.txt
      rm 5C4D.tmp`)
  })

  it('gedit and GLib', async (t) => {
    await keepsUuid(t, `
      printf %s "$TEXT" > .goutputstream-A1B2C3; sync .goutputstream-A1B2C3
      mv -f .goutputstream-A1B2C3 doc.txt`)
  })

  it('a new file renamed over, as most programs do', async (t) => {
    await keepsUuid(t, 'printf %s "$TEXT" > .doc.txt.XXyy12; mv -f .doc.txt.XXyy12 doc.txt')
  })

  it('sed in place', async (t) => {
    await keepsUuid(t, 'sed -i "1s/.*/$(printf %s "$TEXT")/" doc.txt', { programs: ['sed'] })
  })

  it('Python with os.replace', async (t) => {
    await keepsUuid(t, `python3 -c '
import os, tempfile
f, name = tempfile.mkstemp(dir=".")
os.write(f, os.environ["TEXT"].encode())
os.fsync(f)
os.close(f)
os.replace(name, "doc.txt")'`, { programs: ['python3'] })
  })

  it('Node with writeFile and rename', async (t) => {
    await keepsUuid(t, `${process.execPath} -e '
const fs = require("fs")
fs.writeFileSync("doc.txt.123456", process.env.TEXT)
fs.renameSync("doc.txt.123456", "doc.txt")'`)
  })

  it('copy over the file, as cp and install do', async (t) => {
    await keepsUuid(t, 'printf %s "$TEXT" > "$HOME/new-$$"; cp "$HOME/new-$$" doc.txt; rm "$HOME/new-$$"')
  })

  it('S22: never shows a scratch name to the server', async () => {
    const at = await suite.corner('scratch')
    await at.sh(`for name in ".~lock.x.odt#" 4913 .x.swp .goutputstream-1 .DS_Store ".#x" "~\\$x.docx"; do printf text > "./$name"; [ "$(cat "./$name")" = text ]; done; printf real > real`)
    assert.equal((await at.sh('ls -A1')).trim().split('\n').length, 8)
    await at.serverHas('real', 'real')
    assert.deepEqual(await at.serverNames(), ['real'])
    await at.sh('rm -f ./.??* ./4913 "./~\\$x.docx"')
    assert.equal(await at.sh('ls -A'), 'real\n')
  })
})
