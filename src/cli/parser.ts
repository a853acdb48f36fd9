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
