//! What somebody typed must reach the gateway as meant, and never silently replace what another has saved.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { differences, draftOf, EMPTY, sent } from './hosts/draft.ts'

test('a draft of saved settings says the same again', () => {
  const saved = { name: 'web-1', tags: ['db', 'oslo'], interval_ms: 2500, mounts: ['/', '/my data'], without: ['cores' as const], paused: true }
  assert.deepEqual(sent(draftOf(saved)), { value: saved, mistakes: {} })
})

test('tags and file systems are taken as people write them, each once', () => {
  const { value } = sent({ ...EMPTY, name: ' web-1 ', tags: 'db, oslo  db', mounts: ' / \n\n/my data\n/', interval_s: '2,5' })
  assert.deepEqual([value.name, value.tags, value.mounts, value.interval_ms], ['web-1', ['db', 'oslo'], ['/', '/my data'], 2500])
})

test('what cannot be sent is told at its field', () => {
  assert.deepEqual(Object.keys(sent({ ...EMPTY, interval_s: 'soon' }).mistakes), ['name', 'interval_ms'])
  assert.deepEqual(Object.keys(sent({ ...EMPTY, name: 'a', interval_s: '' }).mistakes), ['interval_ms'])
})

test('a conflict names what differs, and nothing else', () => {
  const mine = { ...EMPTY, name: 'web-1', tags: 'a b', interval_s: '5' }
  const newest = { ...mine, tags: 'b a', interval_s: '10', paused: true }
  assert.deepEqual(differences(mine, newest), [
    { label: 'Interval', mine: '5 s', newest: '10 s' },
    { label: 'Watching', mine: 'on', newest: 'paused' },
  ])
})
