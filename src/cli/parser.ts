/** How command lines are read. */

/** cobra's rules, not yargs': `--no-cache` is a name, `a.b` is no path, `007` is a text, the last of two wins. */
export const PARSER = {
  'boolean-negation': false,
  'dot-notation': false,
  'camel-case-expansion': false,
  'parse-numbers': true,
  'parse-positional-numbers': false,
  'duplicate-arguments-array': false,
}

/** For commands with flags that are given several times; resolveOptions takes the last of every other flag. */
export const LIST_PARSER = { ...PARSER, 'duplicate-arguments-array': true, 'greedy-arrays': false }
