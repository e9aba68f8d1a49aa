//! A filter that hides a host wrongly is worse than none.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseFilter } from './filter.ts'
import { hostSummary } from './summary.fixture.ts'

const now_ms = Date.parse('2026-01-01T00:10:00.000Z')
const hosts = [
  hostSummary('web-1', { cpu_usage_pct: 85, net_rx_bytes_per_s: 12_000_000 }),
  hostSummary('web-2', { cpu_usage_pct: null, tags: ['oslo'], flagged: true }),
  hostSummary('db-1', { cpu_usage_pct: 95, status: 'silent', os: 'Rocky Linux 9' }),
]
const matching = (text: string): string => hosts.filter((it) => parseFilter(text).test(it, now_ms)).map((it) => it.host).join(' ')

test('every word must hold', () => {
  assert.equal(matching(''), 'web-1 web-2 db-1')
  assert.equal(matching('WEB'), 'web-1 web-2')
  assert.equal(matching('web cpu>80'), 'web-1')
  assert.equal(matching('status:silent'), 'db-1')
  assert.equal(matching('os:rocky'), 'db-1')
  assert.equal(matching('status:active web-2'), 'web-2')
  assert.equal(matching('status:flagged'), 'web-2')
  assert.equal(matching('tag:os'), 'web-2')
})

test('an unknown or old value passes no comparison', () => {
  assert.equal(matching('cpu<=100'), 'web-1')
  assert.equal(matching('cpu>=0'), 'web-1')
})

test('numbers carry their units', () => {
  assert.equal(matching('down>10M'), 'web-1')
  assert.equal(matching('down>10MB'), 'web-1')
  assert.equal(matching('cpu>=85%'), 'web-1')
  assert.equal(matching('seen>5m'), 'web-1 web-2 db-1')
  assert.equal(matching('seen>1h'), '')
})

test('what is not understood is told, and hides nothing', () => {
  for (const text of ['colour>3', 'cpu>', 'cpu>lots', 'status:purple', 'constructor>1']) {
    assert.notEqual(parseFilter(text).problem, '', text)
    assert.equal(matching(text), 'web-1 web-2 db-1', text)
  }
  assert.equal(parseFilter('cpu>80 web').problem, '')
})
