import assert from 'node:assert/strict'
import { test } from 'node:test'
import { COMMANDS } from './commands.js'
import { UsageError } from './errors.js'
import { createCliLogger, parseLevel } from './logger.js'
import { envName, resolveGlobals, resolveOptions, type OptionSpecs } from './options.js'

await test('flag, else variable, else default', () => {
  assert.equal(resolveGlobals({ url: 'f' }, { CEC_URL: 'e' }).url, 'f')
  assert.equal(resolveGlobals({}, { CEC_URL: 'e' }).url, 'e')
  assert.equal(resolveGlobals({}, {}).url, '')
  assert.equal(resolveGlobals({}, {}).log, 'info')
  assert.equal(resolveGlobals({ 'skip-verify': false }, { CEC_SKIP_VERIFY: 'true' }).skipVerify, false)
  assert.equal(envName('max-parts-number'), 'CEC_MAX_PARTS_NUMBER')
})

await test('booleans of the environment as Go reads them; old spellings are ORed', () => {
  for (const text of ['1', 't', 'T', 'true', 'TRUE', 'True']) assert.equal(resolveGlobals({}, { CEC_NO_CACHE: text }).noCache, true)
  for (const text of ['0', 'f', 'F', 'false', 'FALSE', 'False', '']) assert.equal(resolveGlobals({}, { CEC_NO_CACHE: text }).noCache, false)
  assert.throws(() => resolveGlobals({}, { CEC_NO_CACHE: 'on' }), UsageError)
  assert.equal(resolveGlobals({ skip_keyring: true }, {}).skipKeyring, true)
})

await test('numbers: a set old spelling wins; what is no whole number is refused', () => {
  const specs = { parts: { name: 'parts-number', type: 'number', default: 7, describe: '', deprecated: 'parts_number' } } as const satisfies OptionSpecs
  assert.equal(resolveOptions(specs, { 'parts-number': 3, parts_number: 4 }, {}).parts, 4)
  assert.equal(resolveOptions(specs, { 'parts-number': 3, parts_number: -1 }, {}).parts, 3)
  assert.equal(resolveOptions(specs, {}, { CEC_PARTS_NUMBER: '12' }).parts, 12)
  assert.throws(() => resolveOptions(specs, { 'parts-number': NaN }, {}), UsageError)
  assert.throws(() => resolveOptions(specs, {}, { CEC_PARTS_NUMBER: 'x' }), UsageError)
})

await test('the overview says what the modules say', async () => {
  for (const line of COMMANDS) {
    const { command } = await line.load()
    assert.equal(command.command, line.command)
    assert.equal(command.describe, line.describe)
  }
})

await test('G15 log levels: info bare, others labelled, filtered', () => {
  const at = (level: string): string => {
    let text = ''
    const logger = createCliLogger(level, (line) => { text += line })
    logger.debug('d')
    logger.info('i', { token: 'x' })
    logger.warn('w')
    logger.error('e')
    return text
  }
  assert.equal(at('info'), 'i\nWARN\tw\nERROR\te\n')
  assert.equal(at('WARN'), 'WARN\tw\nERROR\te\n')
  assert.equal(at('error'), 'ERROR\te\n')
  assert.match(at('debug'), /DEBUG d\n.*INFO i token=\*\*\*\n/)
  assert.equal(parseLevel('loud'), 'info')
})
