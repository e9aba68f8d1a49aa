//! Charts must show what was measured: gaps as gaps, no value twice, none before its time.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { add, aligned, emptyGrid, gridOf, linePath, trim } from './grid.ts'

const answer = { start: '1970-01-01T00:16:40.000Z', step_s: 10, to: '1970-01-01T00:17:05.000Z' }

test('trailing unknowns of history are room for live values', () => {
  const grid = gridOf(answer, { avg: [1, null, 3, null, null] }, 5)
  assert.deepEqual(grid.avg, [1, null, 3])
  add(grid, 1034, 7, 5)
  assert.deepEqual(grid.avg, [1, null, 3, 7])
})

test('a live value joins the average of its point and widens its band', () => {
  const grid = emptyGrid(1000, 10)
  add(grid, 1001, 10, 5)
  add(grid, 1006, 20, 5)
  assert.deepEqual([grid.avg, grid.min, grid.max], [[15], [10], [20]])
})

test('what history already has is not taken again', () => {
  const grid = gridOf(answer, { avg: [1, 2, 3] }, 5)
  add(grid, 1005, 99, 5)
  assert.deepEqual(grid.avg, [1, 2, 3])
})

test('a missed sample leaves a gap, a tick at the edge of its point does not', () => {
  const grid = emptyGrid(1000, 5)
  add(grid, 1004.9, 10, 5)
  add(grid, 1010.1, 20, 5)
  assert.deepEqual(grid.avg, [10, 15, 20])
  add(grid, 1030.1, 30, 5)
  assert.deepEqual(grid.avg, [10, 15, 20, null, null, null, 30])
})

test('unknown live values are not drawn as zero', () => {
  const grid = emptyGrid(1000, 5)
  add(grid, 1001, null, 5)
  add(grid, 1002, undefined, 5)
  add(grid, 1003, Number.NaN, 5)
  assert.deepEqual(grid.avg, [])
})

test('trimming moves the start with the values', () => {
  const grid = gridOf(answer, { avg: [1, 2, 3] }, 5)
  trim(grid, 1015)
  assert.deepEqual([grid.start_s, grid.avg], [1010, [2, 3]])
})

test('lines of one chart stand on one axis', () => {
  const first = gridOf(answer, { avg: [1, 2] }, 5)
  const second = emptyGrid(1010, 10)
  add(second, 1012, 5, 5)
  add(second, 1022, 6, 5)
  const { times, columns } = aligned([first, undefined, second])
  assert.deepEqual(times, [1000, 1010, 1020])
  assert.deepEqual(columns.map((it) => it.avg), [[1, 2, null], [null, null, null], [null, 5, 6]])
})

test('a small picture breaks where values are unknown', () => {
  const grid = gridOf(answer, { avg: [0, 50, null, 100, null] }, 5)
  assert.equal(linePath(grid, 1000, 1040, { width: 40, height: 10, top: 100 }), 'M0.0 10.0L10.0 5.0M30.0 0.0h.1')
})
