/**
 * Version numbers as cec reads them, leniently (cec-reference 11.2): an optional `v`, any number of numeric parts, a pre-release after
 * `-` or at once after the last number, metadata after `+`.
 */
export interface VersionNumber {
  readonly parts: readonly bigint[]
  /** '' for a release. */
  readonly prerelease: string
}

const PATTERN = /^v?(\d+(?:\.\d+)*)(?:-([0-9A-Za-z][0-9A-Za-z~-]*(?:\.[0-9A-Za-z~-]+)*)|([A-Za-z~][0-9A-Za-z~-]*(?:\.[0-9A-Za-z~-]+)*))?(?:\+[0-9A-Za-z~-]+(?:\.[0-9A-Za-z~-]+)*)?$/

/** undefined for what is no version. */
export function parseVersion(text: string): VersionNumber | undefined {
  // A longer text is no version, and would make the pattern slow.
  const match = text.length > 256 ? null : PATTERN.exec(text)
  if (match === null) return undefined
  return { parts: (match[1] ?? '').split('.').map(BigInt), prerelease: match[2] ?? match[3] ?? '' }
}

export const isRelease = (version: VersionNumber): boolean => version.prerelease === ''

/** Below, at or above 0, as for sort. Missing parts count as 0; a pre-release sorts before its release. */
export function compareVersions(a: VersionNumber, b: VersionNumber): number {
  for (let i = 0; i < Math.max(a.parts.length, b.parts.length); i++) {
    const [left, right] = [a.parts[i] ?? 0n, b.parts[i] ?? 0n]
    if (left !== right) return left < right ? -1 : 1
  }
  if (a.prerelease === b.prerelease) return 0
  if (a.prerelease === '' || b.prerelease === '') return a.prerelease === '' ? 1 : -1
  return comparePrereleases(a.prerelease.split('.'), b.prerelease.split('.'))
}

/** Part by part: numbers by value and before words, words by their letters; the shorter of two equal beginnings first. */
function comparePrereleases(a: readonly string[], b: readonly string[]): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const [left, right] = [a[i], b[i]]
    if (left === undefined || right === undefined) return left === undefined ? -1 : 1
    if (left === right) continue
    const numbers = [left, right].map((part) => /^\d+$/.test(part))
    if (numbers[0] !== numbers[1]) return numbers[0] === true ? -1 : 1
    const isLess = numbers[0] === true ? BigInt(left) < BigInt(right) : left < right
    if (numbers[0] === true && BigInt(left) === BigInt(right)) continue
    return isLess ? -1 : 1
  }
  return 0
}
