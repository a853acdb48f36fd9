/** What a name does to a real server (traps 9, 10, 11 and the list in section 2 of the contract). */

/** `hang`: no answer ever. `refuse`: an error. `lost`: accepted, never indexed. */
export type NameFate = 'fine' | 'hang' | 'refuse' | 'lost' | 'astral'

const ASTRAL = /[\u{10000}-\u{10ffff}]/u

/** Trap 4: nothing is ever replaced. `x.ext` becomes `x-1.ext` if a name in the folder differs at most in case, itself included. */
export function freeName(names: readonly string[], wanted: string, isFolder: boolean): string {
  const taken = new Set(names.map(name => name.toLowerCase()))
  const dot = isFolder ? -1 : wanted.lastIndexOf('.')
  const [stem, extension] = dot < 0 ? [wanted, ''] : [wanted.slice(0, dot), wanted.slice(dot)]
  let name = wanted
  for (let i = 1; taken.has(name.toLowerCase()); i++) name = `${stem}-${i}${extension}`
  return name
}

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
