/** What a name does to a real server (traps 9, 10, 11 and the list in section 2 of the contract). */

/** `hang`: no answer ever. `refuse`: an error. `lost`: accepted, never indexed. */
export type NameFate = 'fine' | 'hang' | 'refuse' | 'lost' | 'astral'

const ASTRAL = /[\u{10000}-\u{10ffff}]/u

/** @param via S3 PUT and REST mkdir fail differently */
export function nameFate(name: string, flat: boolean, via: 's3' | 'mkdir'): NameFate {
  if (name === '.' || name === '..' || name.includes('\0')) return 'refuse'
  if (Buffer.byteLength(name) > 255) return 'refuse'
  if (flat) return name === '.pydio' || name.endsWith('.pydio') ? 'refuse' : 'fine'
  if (ASTRAL.test(name)) return 'astral'
  if (via === 's3') {
    if (name.includes('\\')) return 'hang'
    if (name.includes('\n') || name === '.pydio') return 'refuse'
  } else if (name.includes('\\') || name.includes('\n') || name === '.pydio') return 'hang'
  return name === '.DS_Store' || name === '.minio.sys' ? 'lost' : 'fine'
}
