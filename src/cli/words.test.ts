/** What cec says and understands: sizes, dates, templates, durations, flags of scp. */
import { strict as assert } from 'node:assert'
import { describe, it } from 'node:test'
import { humanDate, humanSize } from './human.js'
import { resolveOptions } from './options.js'
import { clock, RateMeter } from './rate.js'
import { cleanPath } from './remote-path.js'
import { parseDuration, parseRate, parseSize, resolveScpSettings, SCP_OPTIONS } from './scp-options.js'
import { compileTemplate } from './template.js'
import { isRemote, withoutPrefix } from './transfer.js'

const KIB = 1024
const MIB = KIB * KIB

describe('sizes', () => {
  for (const [bytes, text] of [
    [0, '0 B'], [9, '9 B'], [10, '10 B'], [1023, '1023 B'], [KIB, '1.0 KiB'], [2 * KIB, '2.0 KiB'], [1.3 * MIB, '1.3 MiB'],
    [442 * KIB, '442 KiB'], [9.96 * KIB, '10 KiB'], [1024 ** 4 * 5, '5.0 TiB'], [NaN, '-'], [-1, '-'],
  ] as const) it(`${bytes} is ${text}`, () => assert.equal(humanSize(bytes), text))
})

describe('dates', () => {
  const now = Date.UTC(2026, 5, 1)
  const day = 86_400
  for (const [ago, text] of [
    [0, 'now'], [1, '1 second ago'], [59, '59 seconds ago'], [60, '1 minute ago'], [3599, '59 minutes ago'], [3600, '1 hour ago'],
    [23 * 3600, '23 hours ago'], [day, '1 day ago'], [6 * day, '6 days ago'], [7 * day, '1 week ago'], [29 * day, '4 weeks ago'],
    [30 * day, '1 month ago'], [359 * day, '11 months ago'], [360 * day, '1 year ago'], [540 * day, '2 years ago'], [1100 * day, '3 years ago'],
    [-120, '2 minutes from now'],
  ] as const) it(`${ago} s ago is ${text}`, () => assert.equal(humanDate(now / 1000 - ago, now), text))
  it('no date is -', () => assert.equal(humanDate(0), '-'))
})

describe('templates', () => {
  const render = (source: string): string => compileTemplate(source)({ Name: 'a b', Size: '5' })
  it('fields and text', () => assert.equal(render('{{.Name}};{{ .Size }};'), 'a b;5;'))
  it('unknown names', () => assert.equal(render('{{.Nope}}'), '<no value>'))
  it('names of objects are no fields', () => assert.equal(render('{{.constructor}}'), '<no value>'))
  it('strings, comments, trimming', () => assert.equal(render('x  {{- "\\t" -}}  {{/* no */}}{{`}}`}}y'), 'x\t}}y'))
  it('single braces are text', () => assert.equal(render('{"n":"{{.Name}}"}'), '{"n":"a b"}'))
  for (const source of ['{{', '{{.Name', '{{}}', '{{.Name | len}}', '{{range .}}', '{{nope}}', '{{"open}}']) {
    it(`refuses ${source}`, () => assert.throws(() => compileTemplate(source), /is not valid/))
  }
})

describe('durations', () => {
  for (const [text, ms] of [['3s', 3000], ['1m30s', 90_000], ['1.5h', 5_400_000], ['500ms', 500], ['0', 0]] as const) {
    it(text, () => assert.equal(parseDuration(text), ms))
  }
  for (const text of ['abc', '', '3', '3 s', 's', '-1s', '3s!']) it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => parseDuration(text), /not a duration/))
})

describe('scp settings', () => {
  it('has the defaults of cec', () => {
    const settings = resolveScpSettings({}, {})
    assert.deepEqual(settings.transfer, { force: false, skipDigest: false, parts: { threshold: 100 * MIB, partSize: 50 * MIB, maxParts: 5000, concurrency: 3 }, limiter: undefined, select: undefined })
    assert.deepEqual([settings.bars, settings.redrawMs, settings.log], [true, 100, undefined])
  })
  it('-v and -w mean lines and a log level, -q slow bars', () => {
    assert.deepEqual([resolveScpSettings({ verbose: true }, {}).bars, resolveScpSettings({ verbose: true }, {}).log], [false, 'verbose'])
    assert.deepEqual([resolveScpSettings({ 'very-verbose': true }, {}).bars, resolveScpSettings({ 'very-verbose': true }, {}).log], [false, 'debug'])
    assert.equal(resolveScpSettings({ quiet: true }, {}).redrawMs, 3000)
  })
  it('takes old spellings and CEC_ variables', () => {
    assert.equal(resolveScpSettings({ part_size: 20 }, {}).transfer.parts?.partSize, 20 * MIB)
    assert.equal(resolveScpSettings({}, { CEC_PART_SIZE: '30', CEC_FORCE: 'true' }).transfer.parts?.partSize, 30 * MIB)
    assert.equal(resolveScpSettings({}, { CEC_FORCE: 'true' }).force, true)
  })
  it('knows the debug flags', () => {
    assert.equal(resolveScpSettings({ 'multipart-debug-flags': 'retries |signing' }, {}).log, 'debug')
    assert.throws(() => resolveScpSettings({ 'multipart-debug-flags': 'x' }, {}), /unknown debug flag/)
  })
})

describe('sizes and rates that are given', () => {
  for (const [text, bytes] of [['500', 500], ['10K', 10 * KIB], ['1.5M', 1.5 * MIB], ['2GiB', 2 * KIB * MIB], ['3mb', 3 * MIB]] as const) {
    it(text, () => assert.equal(parseSize(text), bytes))
  }
  for (const text of ['', 'K', '-1', '1.', '10 K', '10X', '0x10']) it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => parseSize(text), /not a size/))
  it('a limit below 1K is none', () => assert.throws(() => parseRate('100'), /at least 1K/))
  it('K/s is a rate too', () => assert.equal(parseRate('100K/s')?.bytesPerSecond, 100 * KIB))
  it('a list flag takes all, another its last; the variable has lines', () => {
    assert.deepEqual(resolveOptions(SCP_OPTIONS, { exclude: ['a', 'b'], 'part-size': [10, 20] }, {}).exclude, ['a', 'b'])
    assert.equal(resolveOptions(SCP_OPTIONS, { 'part-size': [10, 20] }, {}).partSize, 20)
    assert.deepEqual(resolveOptions(SCP_OPTIONS, {}, { CEC_EXCLUDE: 'a b\n*.o' }).exclude, ['a b', '*.o'])
  })
})

describe('rates that are shown', () => {
  it('nothing at first, then a rate and the time left', () => {
    const meter = new RateMeter(0)
    assert.equal(meter.reach(MIB, 500), MIB)
    assert.equal(meter.text(10 * MIB, 500), '')
    meter.reach(4 * MIB, 2000)
    assert.equal(meter.text(10 * MIB, 2000), ' 2.0 MiB/s 0:03 left')
    assert.equal(meter.reach(0, 2100), -4 * MIB)
  })
  for (const [seconds, text] of [[0, '0:00'], [59.2, '1:00'], [754, '12:34'], [3723, '1:02:03']] as const) it(text, () => assert.equal(clock(seconds), text))
})

describe('sides', () => {
  it('S5 both prefixes are remote', () => {
    assert.ok(isRemote('cells://ws/a') && isRemote('cells//ws/a'))
    assert.ok(!isRemote('cells/ws') && !isRemote('./cells://ws') && !isRemote('/cells//ws'))
    assert.equal(withoutPrefix('cells://ws/a'), 'ws/a')
    assert.equal(withoutPrefix('cells//ws/a'), 'ws/a')
  })
  it('L3 slashes at the ends mean nothing', () => assert.equal(cleanPath('/ws/dir/'), 'ws/dir'))
})
