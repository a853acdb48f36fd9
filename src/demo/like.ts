/**
 * How the index of a 2.x server compares names: SQL LIKE with the wanted name as the pattern, unescaped. So in a name that
 * is looked for `_` stands for any character, `%` for any number of them, and `\` takes the meaning from what follows.
 */

/** Whether a name, looked for, may find another one. */
export const isPattern = (name: string): boolean => /[_%\\]/.test(name)

/** A test for names that `pattern` finds. Case matters (the column is compared byte by byte), trailing spaces too. */
export function liker(pattern: string): (name: string) => boolean {
  const source = pattern.replace(/\\(.)|([_%])|([\\^$.*+?()[\]{}|/-])/gsu, (_all, escaped: string | undefined, wildcard: string | undefined, special: string | undefined) => {
    if (escaped !== undefined) return literal(escaped)
    if (wildcard !== undefined) return wildcard === '_' ? '.' : '.*'
    return literal(special ?? '')
  })
  const compiled = new RegExp(`^${source}$`, 'su')
  return name => compiled.test(name)
}

const literal = (char: string): string => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`
