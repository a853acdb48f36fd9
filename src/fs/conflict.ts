/** The name under which our version is kept beside a version of somebody else. */
import { hostname } from 'node:os'

/** `report.odt` -> `report (conflict 2026-11-22 laptop).odt`; `n` tells several of a day apart. NFC, at most 255 bytes. */
export function conflictName(name: string, host: string, when: Date, n: number): string {
  const dot = name.lastIndexOf('.')
  const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, '']
  // A host name is not ours to trust with a path or with what the server cannot hold.
  const clean = host.replace(/[^A-Za-z0-9.-]/g, '-').slice(0, 40)
  const tail = ` (conflict ${when.toISOString().slice(0, 10)} ${clean}${n > 1 ? ` ${n}` : ''})${extension}`
  let head = stem
  while (Buffer.byteLength(head + tail) > 255 && head !== '') head = [...head].slice(0, -1).join('')
  return head + tail
}

/** The first such name, of today and this computer, that is not taken. */
export function freeConflictName(name: string, isTaken: (name: string) => boolean): string {
  for (let n = 1; ; n++) {
    const free = conflictName(name, hostname(), new Date(), n)
    if (!isTaken(free)) return free
  }
}
