//! A wrong digit or unit here is a wrong belief about a server.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytes, bytesInWords, bytesPerSecond, count, digits, percent, quantity, shortSystem, span, UNKNOWN } from './format.ts'

const UNITS = ['percent', 'bytes', 'bytes_per_second', 'celsius', 'megahertz', 'seconds', 'per_second', 'microseconds', 'count']

test('unknown is a dash in every unit, never zero', () => {
  for (const unit of UNITS) {
    for (const value of [null, undefined, Number.NaN, Number.POSITIVE_INFINITY]) assert.equal(quantity(value, unit), UNKNOWN, unit)
    assert.notEqual(quantity(0, unit), UNKNOWN, unit)
  }
})

test('percent keeps a decimal only where it says something', () => {
  assert.equal(percent(0), '0 %')
  assert.equal(percent(0.42), '0.4 %')
  assert.equal(percent(9.94), '9.9 %')
  assert.equal(percent(9.96), '10 %')
  assert.equal(percent(99.6), '100 %')
})

test('amounts are binary, speeds decimal, and nothing reads 1000 kB', () => {
  assert.equal(bytes(0), '0 B')
  assert.equal(bytes(1023), '1023 B')
  assert.equal(bytes(1023.9), '1.0 KiB')
  assert.equal(bytes(64 * 1024 ** 3), '64.0 GiB')
  assert.equal(bytesInWords(64 * 1024 ** 3), '64 GiB')
  assert.equal(bytes(400 * 1024 ** 3), '400 GiB')
  assert.equal(bytesPerSecond(999), '999 B/s')
  assert.equal(bytesPerSecond(999_700), '1.0 MB/s')
  assert.equal(bytesPerSecond(24_630_000), '24.6 MB/s')
})

test('two or three significant digits', () => {
  assert.deepEqual([0, 0.126, 0.57, 3.1, 9.999, 41.25, 230.4].map(digits), ['0', '0.13', '0.57', '3.10', '10.0', '41.3', '230'])
  assert.deepEqual([0, 3, 2.5, 1204, 3_100_000].map(count), ['0', '3', '2.5', '1\u202f204', '3.1 M'])
})

test('spans are coarse and never negative', () => {
  assert.deepEqual([-3, 3.4, 89, 90, 20 * 60, 5 * 3600, 41 * 86_400].map(span), ['0 s', '3 s', '89 s', '2 min', '20 min', '5 h', '41 days'])
})

test('a system in two words', () => {
  assert.equal(shortSystem('Debian GNU/Linux 12 (bookworm)'), 'Debian 12')
  assert.equal(shortSystem('Ubuntu 24.04.1 LTS'), 'Ubuntu 24.04')
  assert.equal(shortSystem('Arch Linux'), 'Arch')
})
