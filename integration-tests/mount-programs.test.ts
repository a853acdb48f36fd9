/** Programs that do much with files, on a drive: git, tar, rsync, sqlite, build tools. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { driver, missing, useSuite } from './helpers/suite.js'

describe('programs in a mount', { concurrency: 3, timeout: 230_000 }, () => {
  const suite = useSuite()

  it('git clones, commits, and finds everything in order', async (t) => {
    const absent = await missing('git')
    if (absent !== false) return t.skip(absent)
    const at = await suite.corner('git')
    await at.sh(`
      git init -q -b main "$HOME/origin"; cd "$HOME/origin"
      mkdir -p src/deep docs
      for i in $(seq 40); do echo "file $i" > "src/f$i.txt"; done
      echo text > docs/readme.md; head -c 300000 /dev/urandom > src/deep/blob; printf '*.o\\n' > .gitignore
      git add .; git commit -qm first; echo more >> docs/readme.md; git commit -qam second; git gc -q`)
    await at.sh('git clone -q "$HOME/origin" work; git -C work fsck --strict --no-progress; [ -z "$(git -C work status --porcelain)" ]')
    await at.sh(`
      cd work; echo changed > src/f1.txt; git mv src/f2.txt src/renamed.txt; git rm -q src/f3.txt; echo new > new.txt; git add .
      git commit -qm third; git branch side HEAD~1; git checkout -q side; [ -e src/f3.txt ]; git checkout -q main; git tag v1
      [ -z "$(git status --porcelain)" ]; git fsck --strict --no-progress; git push -q origin HEAD:refs/heads/pushed; git log --oneline | wc -l | grep -qx 3`)
    assert.equal(await at.sh('git -C "$HOME/origin" log --oneline pushed | wc -l'), '3\n')
    // Another mount, which sees only what the server has, finds it in order, too.
    await suite.sync()
    const second = await suite.mount({ name: 'git-second' })
    assert.equal(await second.sh('cd git/work; git fsck --strict --no-progress; git log --oneline | wc -l; git status --porcelain; cat new.txt'), '3\nnew\n')
  })

  it('tar unpacks and packs 500 files', async () => {
    const at = await suite.corner('tar')
    await at.sh(`
      mkdir "$HOME/tree"; cd "$HOME/tree"
      for d in a b c/d c/.e f; do mkdir -p $d; for i in $(seq 100); do head -c $((i * i)) /dev/urandom > $d/$i; done; done
      ln -s a/1 link; chmod 640 a/2; touch -d '2001-02-03 04:05:06 UTC' a/3; tar cf "$HOME/in.tar" .`)
    await at.sh('tar xf "$HOME/in.tar"')
    // libfuse 2 drops a call that sets one of two times, as tar makes it.
    const facts = driver === 'fuse-native' ? '%a' : '%a %Y'
    const sums = `find . -type f | sort | xargs -d "\\n" md5sum; readlink link; stat -c "${facts} %n" a/2 a/3`
    const wanted = await at.sh(`cd "$HOME/tree"; ${sums}`)
    assert.equal(await at.sh(sums), wanted)
    await at.sh('tar cf - . | tar xf - -C "$(mkdir -p "$HOME/out"; echo "$HOME/out")"')
    assert.equal(await at.sh(`cd "$HOME/out"; ${sums}`), wanted)
    await suite.sync()
    const second = await suite.mount({ name: 'tar-second' })
    const plain = 'find . -type f | sort | xargs -d "\\n" md5sum | md5sum'
    assert.equal(await second.sh(`cd tar; find . -type f ! -name link | sort | xargs -d "\\n" md5sum | md5sum`), await at.sh(`cd "$HOME/tree"; ${plain}`))
  })

  it('rsync copies once and finds nothing to do the second time', async (t) => {
    const absent = await missing('rsync')
    if (absent !== false) return t.skip(absent)
    const at = await suite.corner('rsync')
    await at.sh(`
      mkdir "$HOME/rs"; cd "$HOME/rs"
      for d in a b/c .hidden; do mkdir -p $d; for i in $(seq 30); do head -c $((i * 100)) /dev/urandom > $d/f$i; done; done
      chmod 600 a/f1; touch -d '2011-12-13 14:15:16' a/f2; ln -s a/f3 link`)
    assert.match(await at.sh('rsync -a --stats "$HOME/rs/" .'), /Number of regular files transferred: 90/)
    const second = await at.sh('rsync -a --stats --itemize-changes "$HOME/rs/" .')
    assert.match(second, /Number of regular files transferred: 0/)
    assert.doesNotMatch(second, /^[<>ch.][fdL][^ ]* /m)
    // And after the server has shown everything.
    await suite.sync()
    assert.doesNotMatch(await at.sh('rsync -a --itemize-changes "$HOME/rs/" .'), /./)
    assert.equal(await at.sh('rsync -a --checksum --itemize-changes "$HOME/rs/" .'), '')
    assert.match(await at.sh('echo changed >> "$HOME/rs/b/c/f5"; rsync -a --itemize-changes --delete --exclude=.hidden "$HOME/rs/" .'), /^>f.*b\/c\/f5\n$/)
  })

  it('sqlite keeps a database', async (t) => {
    const at = await suite.corner('sqlite')
    if (await missing('sqlite3') === false) {
      assert.equal(await at.sh(`
        sqlite3 db "create table t(id integer primary key, text text); begin; $(for i in $(seq 500); do echo "insert into t(text) values('row $i');"; done) commit;"
        sqlite3 db "insert into t(text) values('alone'); update t set text = 'changed' where id = 7; delete from t where id = 8;"
        sqlite3 db "pragma integrity_check; select count(*), max(id) from t; vacuum; pragma integrity_check;"`), 'ok\n500|501\nok\n')
    } else if (await missing('python3') === false) {
      assert.equal(await at.python(`
import sqlite3
db = sqlite3.connect('db')
db.execute('create table t(id integer primary key, text text)')
db.executemany('insert into t(text) values(?)', [('row %d' % i,) for i in range(500)])
db.commit()
db.execute("insert into t(text) values('alone')")
db.commit()
db.execute("delete from t where id = 8")
db.commit()
print(db.execute('pragma integrity_check').fetchone()[0], db.execute('select count(*), max(id) from t').fetchone())
`), 'ok (500, 501)\n')
    } else {
      return t.skip('not installed: sqlite3 or python3')
    }
    await at.serverHas('db', Buffer.from(await at.sh('base64 -w0 db'), 'base64'))
    await at.serverLacks('db-journal')
  })

  it('make builds, and only what is out of date', async (t) => {
    const absent = await missing('make')
    if (absent !== false) return t.skip(absent)
    const at = await suite.corner('make')
    await at.sh(`printf 'all: out\\nout: a b\\n\\tcat a b > out\\na: a.src\\n\\tcp a.src a\\nb: b.src\\n\\tcp b.src b\\n' > Makefile; echo a > a.src; echo b > b.src`)
    assert.equal(await at.sh('make -s; cat out; make'), 'a\nb\nmake: Nothing to be done for \'all\'.\n')
    await at.serverHas('out', 'a\nb\n')
    assert.equal(await at.sh('make; touch b.src; make'), 'make: Nothing to be done for \'all\'.\ncp b.src b\ncat a b > out\n')
  })

  it('zip archives are made and unpacked in place', async (t) => {
    const absent = await missing('python3')
    if (absent !== false) return t.skip(absent)
    const at = await suite.corner('zip')
    await at.sh('mkdir d; for i in 1 2 3; do head -c 100000 /dev/urandom > d/$i; done; python3 -m zipfile -c z.zip d; python3 -m zipfile -t z.zip; python3 -m zipfile -e z.zip out; cmp d/1 out/d/1; cmp d/3 out/d/3')
    await at.serverHas('z.zip', Buffer.from(await at.sh('base64 -w0 z.zip'), 'base64'))
  })

  it('find, grep, du and cp -a agree with what was written', async () => {
    const at = await suite.corner('walk')
    await at.sh('mkdir -p s/a/b s/c; for d in s s/a s/a/b s/c; do for i in 1 2 3 4 5; do printf "needle in %s %s\\n" $d $i > $d/f$i; done; done; cp -a s copy; diff -r s copy')
    assert.equal(await at.sh('find copy -type f | wc -l; grep -rl needle copy | wc -l; ls -R copy | wc -l; wc -c < copy/a/b/f1'), '20\n20\n30\n18\n')
    await at.serverHas('copy/a/b/f5', 'needle in s/a/b 5\n')
  })
})
