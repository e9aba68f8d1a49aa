//! The audit must show what changed, and nothing that did not.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { changes, deed } from './team/deeds.ts'

test('only what differs is told', () => {
  assert.deepEqual(changes({ name: 'a', tags: ['x'], interval_ms: 5000 }, { name: 'a', tags: ['x', 'y'], interval_ms: 5000 }), ['tags: ["x"] → ["x","y"]'])
})

test('what came and what went have one side only', () => {
  assert.deepEqual(changes(null, { role: 'viewer' }), ['role: viewer'])
  assert.deepEqual(changes({ role: 'viewer' }, null), ['role: viewer → –'])
  assert.deepEqual(changes(null, null), [])
})

test('an action that this page does not know is shown by its name', () => {
  assert.equal(deed('receiver_rename'), 'receiver rename')
})
