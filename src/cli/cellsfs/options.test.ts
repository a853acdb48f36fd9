import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { UsageError } from '../errors.js'
import { mountSettings, parseSize } from './options.js'

describe('cellsfs mount', () => {
  it('takes a remote folder and a mountpoint, or a mountpoint alone', () => {
    const pair = (place: string, mountpoint?: string): string[] => {
      const settings = mountSettings({ place, mountpoint })
      return [settings.remote, settings.mountpoint]
    }
    assert.deepEqual(pair('/mnt/a'), ['', '/mnt/a'])
    assert.deepEqual(pair('common-files/x', '/mnt/a/'), ['common-files/x', '/mnt/a'])
    assert.deepEqual(pair('cells://common-files//x/', '/mnt'), ['common-files/x', '/mnt'])
    assert.deepEqual(pair('/', '/mnt'), ['', '/mnt'])
    assert.throws(() => pair('a/../b', '/mnt'), UsageError)
  })

  it('reads how a change is answered, and the port of metrics', () => {
    const settings = (given: object): [boolean | undefined, number | undefined] => {
      const { writeThrough, metricsPort } = mountSettings({ place: '/mnt', ...given })
      return [writeThrough, metricsPort]
    }
    assert.deepEqual(settings({}), [false, undefined])
    assert.deepEqual(settings({ 'write-mode': 'through', 'metrics-port': 9101 }), [true, 9101])
    for (const port of [-1, 1.5, 65_536, NaN]) assert.throws(() => settings({ 'metrics-port': port }), UsageError)
  })

  it('reads sizes', () => {
    assert.equal(parseSize('500M'), 500 * 1024 ** 2)
    assert.equal(parseSize('1.5 GiB'), 1.5 * 1024 ** 3)
    assert.equal(parseSize('12'), 12)
    for (const text of ['', 'x', '0', '-1G', '1X', 'G', '1 0']) assert.throws(() => parseSize(text), UsageError, text)
  })
})
