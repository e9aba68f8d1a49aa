//! Being behind is said with what, how far, and why.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Lag } from './api.ts'
import { lagWords } from './lag.ts'
import { lastKnown } from './silence.ts'
import { hostSummary } from './summary.fixture.ts'

const lag = (history: Partial<Lag['processors'][0]>, detail = ''): Lag => ({
  processors: [
    { name: 'latest', state: 'ok', lag_events: 0, lag_s: 0 },
    { name: 'history', state: 'ok', lag_events: 0, lag_s: 0, ...history },
  ],
  history: detail ? { state: 'down', detail } : { state: 'ok', detail: '' },
})

test('lag in words', () => {
  assert.equal(lagWords(null), '')
  assert.equal(lagWords(lag({})), '')
  assert.equal(lagWords(lag({ state: 'behind', lag_s: 40, lag_events: 8000 }, 'database restarting')), 'history 40 s behind: database restarting')
  assert.equal(lagWords(lag({ state: 'down' })), 'history is away')
  assert.equal(lagWords(lag({}, 'database restarting')), 'history: database restarting')
})

test('what was last known of a silent host', () => {
  assert.equal(lastKnown(hostSummary('a')), '; last known: fine')
  assert.equal(lastKnown(hostSummary('a', { disk_used_pct: 96.4, disk_mount: '/עברית' })), '; last known: disk \u2068/עברית\u2069 96 %')
  assert.equal(lastKnown(hostSummary('a', { cpu_usage_pct: null, memory_used_pct: null, disk_used_pct: null })), '')
})
