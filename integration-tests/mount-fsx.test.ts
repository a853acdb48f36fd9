/**
 * fsx through the kernel: random reads, writes, truncates, shared mappings, syncs, closes and reopenings of one file, compared
 * byte by byte with a buffer, while uploads go on. FSX_OPS=1000000 for a long run, FSX_SEED for another one. (The same
 * without a kernel, with a block cache that is too small: src/fs/model/fsx.test.ts.)
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { missing, useSuite } from './helpers/suite.js'

const operations = Number(process.env['FSX_OPS'] ?? 400)
const seed = Number(process.env['FSX_SEED'] ?? Date.now() % 1_000_000)

const PROGRAM = `
import hashlib, mmap, os, random, sys
operations, largest = ${operations}, 262144
chance = random.Random(${seed})
good = bytearray()
recent = []
path = "file"
fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)

def wrong(what):
    sys.exit(what + " (seed ${seed})\\n" + "\\n".join(recent[-40:]))

def compare(what, at, found):
    expected = bytes(good[at:at + max(len(found), 1)])
    if found == expected:
        return
    for index in range(max(len(found), len(expected))):
        if found[index:index + 1] != expected[index:index + 1]:
            wrong("%s: byte %d is %r instead of %r" % (what, at + index, found[index:index + 1], expected[index:index + 1]))

def piece(number, length):
    return (b"%d." % number * (length // 2 + 1))[:length]

for number in range(operations):
    kind = chance.random()
    at = chance.randrange(len(good) + 1)
    length = 1 + chance.randrange(65536 if chance.random() < 0.1 else 4096)
    if kind < 0.3:
        recent.append("read %d+%d" % (at, length))
        found = os.pread(fd, length, at)
        if len(found) != max(0, min(length, len(good) - at)):
            wrong("read %d+%d: %d bytes" % (at, length, len(found)))
        if found:
            compare("read", at, found)
    elif kind < 0.55:
        if chance.random() < 0.1:
            at = chance.randrange(largest)
        data = piece(number, min(length, largest - at))
        recent.append("write %d+%d" % (at, len(data)))
        if os.pwrite(fd, data, at) != len(data):
            wrong("short write")
        if at > len(good):
            good.extend(bytes(at - len(good)))
        good[at:at + len(data)] = data
    elif kind < 0.8:
        if len(good) == 0:
            continue
        at = min(at, len(good) - 1)
        length = min(length, len(good) - at)
        with mmap.mmap(fd, len(good)) as pages:
            if kind < 0.65:
                recent.append("mapped read %d+%d" % (at, length))
                compare("mapped read", at, pages[at:at + length])
            else:
                data = piece(number, length)
                recent.append("mapped write %d+%d" % (at, length))
                pages[at:at + length] = data
                good[at:at + length] = data
                if chance.random() < 0.3:
                    pages.flush()
    elif kind < 0.9:
        size = chance.randrange(largest) if chance.random() < 0.3 else at
        recent.append("truncate %d" % size)
        os.ftruncate(fd, size)
        del good[size:]
        good.extend(bytes(size - len(good)))
    elif kind < 0.92:
        recent.append("fsync")
        os.fsync(fd)
    elif kind < 0.95:
        recent.append("close")
        os.close(fd)
        fd = os.open(path, os.O_RDWR)
    elif os.stat(path).st_size != len(good):
        wrong("stat says %d bytes, expected %d" % (os.stat(path).st_size, len(good)))
os.close(fd)
with open(path, "rb") as again:
    compare("after close", 0, again.read())
print(hashlib.md5(good).hexdigest(), len(good))
`

describe('fsx through a mount', { timeout: 24 * 3_600_000 }, () => {
  const suite = useSuite()

  it(`${operations} operations with shared mappings on one file`, async (t) => {
    const absent = await missing('python3')
    if (absent !== false) return t.skip(absent)
    const at = await suite.corner('fsx')
    const [md5, size] = (await at.sh('python3 -', { input: PROGRAM, timeoutMs: 24 * 3_600_000 })).trim().split(' ')
    await suite.sync()
    const node = await at.node('file')
    assert.deepEqual([node.etag, String(node.size)], [md5, size])
    // What the server has, not what this mount remembers.
    const second = await suite.mount({ name: 'fsx-second' })
    assert.equal((await second.sh('md5sum < fsx/file')).slice(0, 32), md5)
    await second.stop()
    t.diagnostic(`seed ${seed}, ${size} bytes at the end`)
  })
})
