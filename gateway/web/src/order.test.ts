//! The host that needs somebody must not stand on page three.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CALM_ORDER, firstOrder, nameRanks, nextOrder, type Order, ordered } from './order.ts'
import { hostSummary } from './summary.fixture.ts'

const hosts = [
  hostSummary('web-10', { cpu_usage_pct: 50 }),
  hostSummary('web-2', { cpu_usage_pct: null }),
  hostSummary('db-1', { cpu_usage_pct: 90 }),
  hostSummary('api-1', { cpu_usage_pct: 99, status: 'silent', received: '2025-12-31T23:00:00.000Z' }),
]
const by = (order: Order): string => ordered(hosts, order, nameRanks(hosts)).map((it) => it.host).join(' ')

test('silent hosts come first, then names as people count them', () => {
  assert.equal(by(CALM_ORDER), 'api-1 db-1 web-2 web-10')
})

test('unknown and silent values stand last in both directions', () => {
  assert.equal(by({ column: 'cpu', descending: true }), 'db-1 web-10 api-1 web-2')
  assert.equal(by({ column: 'cpu', descending: false }), 'web-10 db-1 api-1 web-2')
})

test('the longest unseen is first under Seen', () => {
  assert.equal(by(firstOrder('seen')), 'api-1 db-1 web-2 web-10')
})

test('three clicks lead back to calm', () => {
  const once = nextOrder(CALM_ORDER, 'cpu')
  const twice = nextOrder(once, 'cpu')
  assert.deepEqual([once, twice, nextOrder(twice, 'cpu')], [{ column: 'cpu', descending: true }, { column: 'cpu', descending: false }, CALM_ORDER])
})
