/**
 * fsx: random reads, writes, truncates, syncs, closes and reopenings of one file, compared byte by byte with a
 * buffer, while uploads go on and the block cache is far too small.
 */
import { O_CREAT, O_RDWR, type OpenFile, type PathFs } from '../posix.testing.js'
import { randomFrom } from './trouble.testing.js'

export interface FsxOptions {
  readonly seed: number
  readonly operations: number
  readonly largest: number
  /** Everything is sent and shown, nothing but the server has the content: called now and then while the file is closed. */
  readonly settle: () => Promise<void>
}

export interface FsxReport {
  readonly operations: number
  readonly bytesRead: number
  readonly bytesWritten: number
  readonly reopened: number
}

/** One operation of 500, about, is a settling; one of 50 closes and opens. */
const SETTLE = 0.002
const REOPEN = 0.02

/** @throws with the last operations, when a byte differs */
export async function fsx(fs: PathFs, path: string, options: FsxOptions): Promise<FsxReport> {
  const random = randomFrom(options.seed)
  const below = (limit: number): number => Math.floor(random() * limit)
  const recent: string[] = []
  let content = Buffer.alloc(0)
  let file: OpenFile = await fs.open(path, O_RDWR | O_CREAT)
  let [bytesRead, bytesWritten, reopened] = [0, 0, 0]

  const note = (text: string): void => {
    recent.push(text)
    if (recent.length > 40) recent.shift()
  }
  const check = async (offset: number, length: number): Promise<void> => {
    const found = await fs.read(file, offset, length)
    const expected = content.subarray(offset, offset + length)
    bytesRead += found.length
    if (found.equals(expected)) return
    const at = found.findIndex((byte, index) => byte !== expected[index])
    throw new Error(`read ${offset}+${length}: ${found.length} bytes, expected ${expected.length}; byte ${offset + (at < 0 ? found.length : at)} is ${found[at]} instead of ${expected[at]} (seed ${options.seed})\n${recent.join('\n')}`)
  }

  for (let done = 0; done < options.operations; done++) {
    const kind = random()
    if (kind < SETTLE || kind > 1 - REOPEN) {
      note('close')
      await fs.close(file)
      if (kind < SETTLE) {
        note('settle')
        await options.settle()
      }
      file = await fs.open(path, O_RDWR)
      reopened++
    } else if (kind < 0.4) {
      const offset = below(content.length + 10)
      const length = 1 + below(random() < 0.1 ? 131_072 : 4_096)
      note(`read ${offset}+${length}`)
      await check(offset, length)
    } else if (kind < 0.85) {
      const offset = below(random() < 0.1 ? options.largest : content.length + 1)
      const data = Buffer.alloc(Math.min(options.largest - offset, 1 + below(random() < 0.1 ? 65_536 : 2_048)), `${done}.`)
      note(`write ${offset}+${data.length}`)
      await fs.write(file, offset, data)
      if (offset + data.length > content.length) content = Buffer.concat([content, Buffer.alloc(offset + data.length - content.length)])
      data.copy(content, offset)
      bytesWritten += data.length
    } else if (kind < 0.9) {
      const size = below(random() < 0.3 ? options.largest : content.length + 1)
      note(`truncate ${size}`)
      await fs.fs.setattr(file.ino, { size }, file.fh, { uid: 0, gid: 0, pid: 0 })
      content = size <= content.length ? Buffer.from(content.subarray(0, size)) : Buffer.concat([content, Buffer.alloc(size - content.length)])
    } else if (kind < 0.905) {
      note('fsync')
      await fs.fsync(file)
    } else {
      const { size } = await fs.stat(path)
      if (size !== content.length) throw new Error(`stat says ${size} bytes, expected ${content.length} (seed ${options.seed})\n${recent.join('\n')}`)
    }
  }
  await check(0, content.length + 1)
  await fs.close(file)
  await options.settle()
  file = await fs.open(path)
  for (let at = 0; at < content.length; at += 131_072) await check(at, 131_072)
  await fs.close(file)
  return { operations: options.operations, bytesRead, bytesWritten, reopened }
}
