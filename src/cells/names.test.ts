import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { CellsError } from './errors.js'
import { baseOf, checkExistingPath, checkPath, escapePath, isWithin, nameProblem, parentOf, pathFromServer } from './names.js'

const invalid = (error: unknown): boolean => error instanceof CellsError && error.kind === 'invalid'

describe('names for the server', () => {
  it('accepts what the recorded server keeps', () => {
    for (const name of ['a', ' lead', 'trail ', 'a%b', '#?+&"\';:*|<>,=@$[]{}()~', 'tab\there', 'dot.', '.git', '.env', 'é', '漢字', 'x'.repeat(255), 'pydio', '-']) {
      assert.equal(nameProblem(name), undefined, name)
    }
  })

  it('refuses what it loses or never answers about', () => {
    for (const name of ['', '.', '..', 'a/b', 'a\\b', 'a\nb', 'a\0b', '\u007f', '.pydio', 'notes.pydio', 'NOTES.PYDIO', '😀', 'x'.repeat(256), 'é'.repeat(128), '\ud800']) {
      assert.notEqual(nameProblem(name), undefined, JSON.stringify(name))
    }
  })

  it('lets emoji through where the server keeps them', () => {
    assert.equal(nameProblem('😀', { fourByte: true }), undefined)
    assert.equal(checkPath('ws/😀', { fourByte: true }), 'ws/😀')
  })

  it('normalises to NFC before measuring', () => {
    assert.equal(checkPath('/ws/e\u0301/'), 'ws/é')
    // 255 bytes composed, 383 decomposed.
    assert.equal(checkPath(`ws/${'e\u0301'.repeat(127)}`), `ws/${'é'.repeat(127)}`)
  })

  it('limits the path', () => {
    assert.throws(() => checkPath(Array.from({ length: 12 }, () => 'x'.repeat(100)).join('/')), invalid)
  })

  it('gives a path without empty, dot or forbidden segments, or throws `invalid`', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
      let path: string
      try {
        path = checkPath(text)
      } catch (error) {
        return invalid(error)
      }
      return path === '' || path.split('/').every((name) => nameProblem(name) === undefined && name.normalize('NFC') === name)
    }))
  })
})

describe('names from the server', () => {
  it('drops what would change the meaning of a path', () => {
    for (const path of [undefined, 7, '', '/', 'ws//x', 'ws/../x', 'ws/./x', 'ws/a\0b', '../x', 'ws/\ud800', `ws/${'x'.repeat(2000)}`]) assert.equal(pathFromServer(path), undefined)
    assert.equal(pathFromServer('/ws/a/'), 'ws/a')
    assert.equal(pathFromServer('ws/back\\slash'), 'ws/back\\slash')
  })

  it('never lets a dangerous path through', () => {
    const segment = fc.oneof(fc.constantFrom('', '.', '..', 'a', '\0', 'b\\c', 'x\n'), fc.string({ unit: 'binary', maxLength: 5 }))
    fc.assert(fc.property(fc.array(segment, { maxLength: 6 }), (segments) => {
      const path = pathFromServer(segments.join('/'))
      return path === undefined || path.split('/').every((name) => name !== '' && name !== '.' && name !== '..' && !name.includes('\0'))
    }))
  })

  it('keeps odd names of the server reachable, but not those it hangs on', () => {
    assert.equal(checkExistingPath('ws/😀'), 'ws/😀')
    assert.equal(checkExistingPath('ws/.pydio'), 'ws/.pydio')
    assert.throws(() => checkExistingPath('ws/a\\b'), invalid)
    assert.throws(() => checkExistingPath('ws/../x'), invalid)
  })
})

describe('path helpers', () => {
  it('split and compare', () => {
    assert.equal(parentOf('a/b/c'), 'a/b')
    assert.equal(parentOf('a'), '')
    assert.equal(baseOf('a/b'), 'b')
    assert.equal(isWithin('a/b', 'a'), true)
    assert.equal(isWithin('ab', 'a'), false)
    assert.equal(isWithin('a', 'a'), true)
    assert.equal(isWithin('a', ''), true)
  })

  it('escape so that decoding gives the name back', () => {
    assert.equal(escapePath("ws/a b/(c)!'*"), 'ws/a%20b/%28c%29%21%27%2A')
    fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 20 }), (name) => decodeURIComponent(escapePath(name)) === name && !/[^\w.~%/-]/.test(escapePath(name))))
  })
})
