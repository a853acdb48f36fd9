/**
 * Tests' own "kernel": path-based calls over a FileSystem, made of the same operations in the same order as a
 * real one (lookup by component, flush before release, forget), so that the engine can be tested without a mount.
 */
import type { Attr, Caller, Entry, FileSystem, Ino, RenameFlags, SpecialType } from './drivers/driver.js'
import { ROOT_INO } from './drivers/driver.js'

const CALLER: Caller = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, pid: process.pid }

export const O_WRONLY = 1
export const O_RDWR = 2
export const O_CREAT = 0o100
export const O_EXCL = 0o200
export const O_TRUNC = 0o1000
export const O_APPEND = 0o2000

export interface OpenFile {
  readonly ino: Ino
  readonly fh: number
}

export class PathFs {
  readonly fs: FileSystem
  private readonly held = new Map<Ino, number>()

  constructor(fs: FileSystem) {
    this.fs = fs
  }

  private hold(entry: Entry): Entry {
    this.held.set(entry.attr.ino, (this.held.get(entry.attr.ino) ?? 0) + 1)
    return entry
  }

  /** As the kernel under memory pressure: lets go of everything. */
  forgetAll(): void {
    for (const [ino, count] of this.held) this.fs.forget(ino, count)
    this.held.clear()
  }

  async ino(path: string): Promise<Ino> {
    let ino = ROOT_INO
    for (const name of path.split('/').filter((it) => it !== '')) ino = this.hold(await this.fs.lookup(ino, name, CALLER)).attr.ino
    return ino
  }

  private async at(path: string): Promise<[Ino, string]> {
    const slash = path.lastIndexOf('/')
    return [await this.ino(path.slice(0, Math.max(0, slash))), path.slice(slash + 1)]
  }

  async stat(path: string): Promise<Attr> {
    return (await this.fs.getattr(await this.ino(path), undefined, CALLER)).attr
  }

  async exists(path: string): Promise<boolean> {
    try {
      await this.stat(path)
      return true
    } catch (error) {
      if ((error as { code?: string }).code === 'ENOENT') return false
      throw error
    }
  }

  async open(path: string, flags = 0, mode = 0o644): Promise<OpenFile> {
    const [parent, name] = await this.at(path)
    if ((flags & O_CREAT) !== 0 && ((flags & O_EXCL) !== 0 || !await this.exists(path))) {
      const made = await this.fs.create(parent, name, mode, flags, CALLER)
      this.hold(made)
      return { ino: made.attr.ino, fh: made.fh }
    }
    const ino = await this.ino(path)
    const { fh } = await this.fs.open(ino, flags & ~O_TRUNC, CALLER)
    if ((flags & O_TRUNC) !== 0) await this.fs.setattr(ino, { size: 0 }, fh, CALLER)
    return { ino, fh }
  }

  write(file: OpenFile, offset: number, data: Buffer | string): Promise<number> {
    return this.fs.write(file.ino, file.fh, offset, Buffer.from(data), CALLER)
  }

  read(file: OpenFile, offset: number, size: number): Promise<Buffer> {
    return this.fs.read(file.ino, file.fh, offset, size, CALLER)
  }

  fsync(file: OpenFile): Promise<void> {
    return this.fs.fsync(file.ino, file.fh, false, CALLER)
  }

  async close(file: OpenFile): Promise<void> {
    try {
      await this.fs.flush(file.ino, file.fh, CALLER)
    } finally {
      await this.fs.release(file.ino, file.fh)
    }
  }

  async writeFile(path: string, data: Buffer | string): Promise<void> {
    const file = await this.open(path, O_WRONLY | O_CREAT | O_TRUNC)
    try {
      const bytes = Buffer.from(data)
      for (let at = 0; at < bytes.length; at += 131072) await this.write(file, at, bytes.subarray(at, at + 131072))
    } finally {
      await this.close(file)
    }
  }

  async readFile(path: string): Promise<Buffer> {
    const file = await this.open(path)
    const parts: Buffer[] = []
    try {
      for (let at = 0; ;) {
        const part = await this.read(file, at, 131072)
        if (part.length === 0) return Buffer.concat(parts)
        parts.push(Buffer.from(part))
        at += part.length
      }
    } finally {
      await this.close(file)
    }
  }

  async readdir(path: string): Promise<string[]> {
    const ino = await this.ino(path)
    const { fh } = await this.fs.opendir(ino, CALLER)
    const names: string[] = []
    for (let at = 0; ;) {
      const entries = await this.fs.readdir(ino, fh, at, 100, CALLER)
      if (entries.length === 0) break
      names.push(...entries.map((it) => it.name))
      at = entries.at(-1)!.next
    }
    this.fs.releasedir(ino, fh)
    return names.filter((it) => it !== '.' && it !== '..').sort()
  }

  async mkdir(path: string, mode = 0o755): Promise<void> {
    const [parent, name] = await this.at(path)
    this.hold(await this.fs.mkdir(parent, name, mode, CALLER))
  }

  async mknod(path: string, type: SpecialType, mode: number): Promise<void> {
    const [parent, name] = await this.at(path)
    this.hold(await this.fs.mknod(parent, name, type, mode, CALLER))
  }

  async unlink(path: string): Promise<void> {
    await this.fs.unlink(...await this.at(path), CALLER)
  }

  async rmdir(path: string): Promise<void> {
    await this.fs.rmdir(...await this.at(path), CALLER)
  }

  async rename(from: string, to: string, flags: RenameFlags = {}): Promise<void> {
    await this.fs.rename(...await this.at(from), ...await this.at(to), flags, CALLER)
  }

  async symlink(target: string, path: string): Promise<void> {
    const [parent, name] = await this.at(path)
    this.hold(await this.fs.symlink(parent, name, target, CALLER))
  }

  async readlink(path: string): Promise<string> {
    return this.fs.readlink(await this.ino(path), CALLER)
  }

  async utimes(path: string, mtime: bigint): Promise<void> {
    await this.fs.setattr(await this.ino(path), { mtime, atime: mtime }, undefined, CALLER)
  }

  async chmod(path: string, mode: number): Promise<void> {
    await this.fs.setattr(await this.ino(path), { mode }, undefined, CALLER)
  }

  async truncate(path: string, size: number): Promise<void> {
    await this.fs.setattr(await this.ino(path), { size }, undefined, CALLER)
  }

  async xattr(path: string, name: string): Promise<string> {
    return (await this.fs.getxattr(await this.ino(path), name, CALLER)).toString()
  }
}
