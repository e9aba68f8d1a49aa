//! What streams in is split at its lines, and what came of it is said and drawn.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BacktestResult, differenceWords, type Episode, Lines, nearestWords, rowsOf, summary, WIDTH } from './rules/backtest.ts'

const episode = (host: string, fired: string, until: string | null, in_both = false): Episode => ({
  host, series: '', level: 'warning', since: fired, fired, until, reason: null, peak: 97, notice_count: 2, notices: [], in_both,
})
const outcome = (episodes: Episode[]) => ({
  text: '', hosts: 3, hosts_with_episodes: new Set(episodes.map((it) => it.host)).size, episode_count: episodes.length, episodes,
  notice_count: episodes.length * 2, notices: [], nearest: [],
})
const result = (now: Episode[], saved: Episode[] | null = null): BacktestResult => ({
  from: '2026-01-01T00:00:00Z', to: '2026-01-01T01:00:00Z', parts: [], rule: outcome(now), before: saved && outcome(saved), difference: null, left_out: [],
})

test('lines come in pieces of any size', () => {
  const lines = new Lines()
  const text = '{"kind":"progress","waits":false,"samples":1,"done_pct":5}\n{"kind":"error","detail":"x"}\n'
  const read = [...text].flatMap((char) => lines.push(char))
  assert.deepEqual(read.map((line) => line.kind), ['progress', 'error'])
})

test('an episode is a bar where it was, an open one reaches the end, a short one is seen', () => {
  const { rows } = rowsOf(result([episode('a', '2026-01-01T00:15:00Z', '2026-01-01T00:30:00Z'), episode('b', '2026-01-01T00:45:00Z', null), episode('a', '2026-01-01T01:00:00Z', null)]))
  assert.deepEqual(rows.map((row) => row.host), ['a', 'b'])
  assert.deepEqual(rows.map((row) => row.now.map((it) => [it.x, it.x + it.width])), [[[250, 500], [WIDTH - 3, WIDTH]], [[750, WIDTH]]])
})

test('an edit shows both rules, and which episodes only one has', () => {
  const at = '2026-01-01T00:15:00Z'
  const { rows } = rowsOf(result([episode('a', at, null, true), episode('b', at, null)], [episode('a', at, null, true)]))
  assert.deepEqual(rows.map((row) => [row.now.map((it) => it.alone), row.saved.map((it) => it.alone)]), [[[false], [false]], [[true], []]])
})

test('the summary says how many, and what came closest', () => {
  const both = result([episode('a', '2026-01-01T00:15:00Z', null)])
  assert.equal(summary(both.rule), '1 episode on 1 of 3 hosts, 2 notices.')
  assert.equal(summary(outcome([])), 'No episode on 3 hosts.')
  const near = { host: 'b', series: '', value: 88, threshold: 90, at: null, held_ms: 40_000, for_ms: 120_000 }
  assert.equal(nearestWords({ ...both.rule, nearest: [near] }, 0), 'Nearest miss: b, 88.0 of 90.0, true for 40 s of 2 min.')
  assert.equal(nearestWords(both.rule, 0), '')
  assert.equal(differenceWords({ ...both, difference: { added: 1, removed: 2, kept: 0, notices: -3 } }), 'The edit adds 1 episode and drops 2; 3 fewer notices.')
  assert.equal(differenceWords({ ...both, difference: { added: 0, removed: 0, kept: 4, notices: 0 } }), 'The edit changes nothing here.')
  assert.equal(differenceWords(both), '')
})
