/** What cec's commands of administration understand: values, filters, versions, ends of links; and what commands declare. */
import { strict as assert } from 'node:assert'
import { describe, it } from 'node:test'
import type { JobInfo } from '../cells/jobs-list.js'
import type { Namespace } from '../cells/usermeta.js'
import { COMMANDS } from './commands.js'
import { describeCommand } from './describe.js'
import { compileFilter } from './jobs-filter.js'
import { choiceKeys, valueFor, withTag } from './meta-values.js'
import { expiryFrom, permissionsFrom } from './share-wishes.js'
import { compareVersions, isRelease, parseVersion } from './version-number.js'

const namespace = (type: string, data?: unknown): Namespace => ({ name: 'usermeta-x', label: 'X', indexable: false, definition: '', type, data })

describe('metadata values', () => {
  for (const [type, flags, stored] of [
    ['string', { 'string-value': 'a "b"\n' }, '"a \\"b\\"\\n"'], ['textarea', { 'string-value': '' }, '""'],
    ['integer', { 'numeric-value': -5 }, '"-5"'], ['stars_rate', { 'numeric-value': 5 }, '"5"'], ['boolean', { 'boolean-value': true }, '"true"'],
    ['boolean', { 'boolean-value': false }, '"false"'], ['json', { 'json-value': '{"a": [1]}' }, '{"a": [1]}'],
    ['date', { 'string-value': '2024-02-29 12:30:00' }, '"1709209800"'], ['choice', { 'string-value': 'free' }, '"free"'],
  ] as const) it(`${type} ${JSON.stringify(flags)}`, () => assert.equal(valueFor(namespace(type), flags), stored))
  for (const [type, flags, message] of [
    ['string', { 'numeric-value': 5 }, /--string-value/], ['stars_rate', { 'numeric-value': 6 }, /0 to 5/], ['stars_rate', { 'numeric-value': -1 }, /0 to 5/],
    ['integer', { 'numeric-value': 1.5 }, /whole/], ['integer', { 'numeric-value': NaN }, /whole/], ['date', { 'string-value': '2023-02-29 00:00:00' }, /no date/],
    ['date', { 'string-value': '2024-02-29' }, /no date/], ['json', { 'json-value': '{' }, /JSON/], ['nope', { 'string-value': 'x' }, /cannot be set/], ['toString', { 'string-value': 'x' }, /cannot be set/],
  ] as const) it(`refuses ${type} ${JSON.stringify(flags)}`, () => assert.throws(() => valueFor(namespace(type), flags), message))
  it('choices, in the form of now and of before', () => {
    assert.deepEqual(choiceKeys({ items: [{ key: 'a', value: 'A' }, { key: 'b' }, 'c'] }), ['a', 'b'])
    assert.deepEqual(choiceKeys('a|A, b|B,c'), ['a', 'b', 'c'])
    assert.deepEqual(choiceKeys(undefined), [])
    assert.throws(() => valueFor(namespace('choice', { items: [{ key: 'a' }] }), { 'string-value': 'b' }), /use one of a/)
  })
  it('tags are added once and taken away', () => {
    assert.equal(withTag(undefined, 'one', 'update'), '"one"')
    assert.equal(withTag('"one"', 'two', 'update'), '"one,two"')
    assert.equal(withTag('"one,two"', 'two', 'update'), undefined)
    assert.equal(withTag('"one,two"', 'one', 'delete'), '"two"')
    assert.equal(withTag('"one"', 'one', 'delete'), '""')
    assert.equal(withTag('"one"', 'nope', 'delete'), undefined)
    assert.throws(() => withTag('"one"', 'a,b', 'update'), /comma/)
  })
})

describe('filters of jobs', () => {
  const job = (owner: string, taskCount: number, status?: 'Error' | 'Finished'): JobInfo => ({
    id: owner, label: '', owner, taskCount, raw: {}, ...(status === undefined ? {} : { lastTask: { status, message: '', started: 0, ended: 0 } }),
  })
  const jobs = [job('alice', 1, 'Error'), job('bob', 12, 'Finished'), job('system', 0)]
  const matching = (filter: string): string[] => jobs.filter(compileFilter(filter)).map(({ id }) => id)
  for (const [filter, owners] of [
    ['', ['alice', 'bob', 'system']], ['{}', ['alice', 'bob', 'system']], ['{"owner":{"op":"eq","value":"bob"}}', ['bob']], ['{"owner":{"op":"!=","value":"bob"}}', ['alice', 'system']],
    ['{"numtasks":{"op":"gt","value":"1"}}', ['bob']], ['{"numtasks":{"op":"<","value":12}}', ['alice', 'system']], ['{"numtasks":{"op":"==","value":0}}', ['system']],
    ['{"task_status":{"op":"eq","value":"Error"}}', ['alice']], ['{"task_status":{"op":"eq","value":"error"}}', []],
    ['{"task_status":{"op":"ne","value":"Error"},"owner":{"op":"eq","value":"bob"}}', ['bob']], ['{"nope":{"op":"eq","value":"x"}}', []], ['{"owner":{"op":"gt","value":"a"}}', []],
    ['{"constructor":{"op":"ne","value":"x"}}', []],
  ] as const) it(filter, () => assert.deepEqual(matching(filter), owners))
  for (const filter of ['{', '[]', '"x"', '{"owner":"alice"}']) it(`refuses ${filter}`, () => assert.throws(() => compileFilter(filter), /filter/))
})

describe('versions', () => {
  const sorted = ['0.9', '1.0.0-alpha', '1.0.0-alpha.1', '1.0.0-alpha.beta', '1.0.0-beta.2', '1.0.0-beta.11', '1.0.0-rc1', '1.0.0', '1.0.1', '1.0.10', '1.2', '2', '4.3.1', '10']
  it('sort as they should', () => assert.deepEqual([...sorted].reverse().sort((a, b) => compareVersions(parseVersion(a)!, parseVersion(b)!)), sorted))
  it('equal ones', () => {
    for (const [a, b] of [['1', '1.0.0'], ['v1.2', '1.2.0'], ['1.0+a', '1.0+b'], ['1.0-rc.01', '1.0-rc.1']] as const) assert.equal(compareVersions(parseVersion(a)!, parseVersion(b)!), 0, `${a} ${b}`)
  })
  it('releases', () => {
    assert.deepEqual(['1.2', 'v1.2.3+build', '1.2-rc1', '1.2beta'].map((text) => isRelease(parseVersion(text)!)), [true, true, false, false])
  })
  it('what is none', () => {
    for (const text of ['', 'v', 'x', '1.', '1..2', '1.2-', '1.2 ', '-1', '1_2', 'latest', `1${'.1'.repeat(200)}`]) assert.equal(parseVersion(text), undefined, text)
  })
})

describe('links', () => {
  const now = Date.UTC(2026, 0, 1)
  it('ends', () => {
    assert.equal(expiryFrom('12h', now), now / 1000 + 12 * 3600)
    assert.equal(expiryFrom('2w', now), now / 1000 + 14 * 86_400)
    assert.equal(expiryFrom('2026-12-31T12:00:00Z', now), Date.UTC(2026, 11, 31, 12) / 1000)
    assert.equal(expiryFrom('2026-12-31', now), new Date(2026, 11, 31, 23, 59, 59).getTime() / 1000)
    for (const text of ['', 'soon', '5', '2026-13-01', '7d ']) assert.throws(() => expiryFrom(text, now), /no expiry/, text)
    for (const text of ['0d', '2025-12-31T00:00:00Z']) assert.throws(() => expiryFrom(text, now), /over already/, text)
  })
  it('permissions', () => {
    assert.deepEqual(permissionsFrom(''), ['Download', 'Preview'])
    assert.deepEqual(permissionsFrom('Upload, preview,upload'), ['Upload', 'Preview'])
    for (const text of ['read', ',', 'constructor']) assert.throws(() => permissionsFrom(text), /permission|at least one/, text)
  })
})

describe('what commands declare', () => {
  it('agrees with the overview, all the way down', async () => {
    for (const line of COMMANDS) {
      const info = await describeCommand(line)
      assert.equal(info.synopsis, line.command)
      assert.equal(info.hidden, line.describe === false)
      for (const flag of [...info.flags, ...info.commands.flatMap((each) => each.flags)]) assert.notEqual(flag.describe, '', `${info.name} --${flag.name}`)
    }
    const idm = await describeCommand(COMMANDS.find((line) => line.command === 'idm')!)
    const acls = idm.commands.find((each) => each.name === 'idm list-acls')
    assert.deepEqual(acls?.flags.map((flag) => [flag.name, ...flag.aliases]), [['json'], ['uuid', 'n'], ['delete'], ['force', 'f']])
  })
})
