//! A rule survives the editor, and what it says is said in words.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Rule } from './api.ts'
import { bodyOf, draftOf, scopeWord } from './rules/draft.ts'

const rule = (scope: Rule['scope']): Rule => ({ name: 'Disk', text: 'disk.used_pct > 90', scope, receivers: ['ops', 'night'], policy: [{ receivers: ['boss'], wait_ms: 60_000 }], state: 'shadow' }) as unknown as Rule

test('what nobody touched is sent as it was', () => {
  for (const scope of ['all', { tags: ['web', 'eu'] }, { hosts: ['web-1'] }, { tags: [] }] as Rule['scope'][]) {
    const before = rule(scope)
    const { name, text, receivers, policy, state } = before
    assert.deepEqual(bodyOf(draftOf(before), before), { name, text, scope, receivers, policy, state })
  }
})

test('an empty choice of hosts is none, and says so', () => {
  const draft = { ...draftOf(null), name: ' x ', where: 'hosts' as const, words: ' , ' }
  assert.deepEqual(bodyOf(draft, null).scope, { hosts: [] })
  assert.equal(scopeWord({ hosts: [] }), 'no host')
  assert.equal(scopeWord('all'), 'every host')
  assert.equal(scopeWord({ tags: ['web', 'eu'] }), 'tagged web, eu')
})

test('words are split at commas and spaces, each once', () => {
  assert.deepEqual(bodyOf({ ...draftOf(null), receivers: 'ops, night ops' }, null).receivers, ['ops', 'night'])
})
