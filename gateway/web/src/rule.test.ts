//! A rule survives the editor, and what it says is said in words.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Rule } from './api.ts'
import { bodyOf, draftOf, scopeWord } from './rules/draft.ts'
import { differences, pieces } from './rules/history.ts'
import { policyOf, policyWords } from './rules/policy.ts'

const rule = (scope: Rule['scope']): Rule => ({ name: 'Disk', text: 'disk.used_pct > 90', scope, receivers: ['ops', 'night'], policy: [{ receivers: ['boss'], wait_ms: 60_000 }], state: 'shadow' }) as unknown as Rule

test('what nobody touched is sent as it was', () => {
  for (const scope of ['all', { tags: ['web', 'eu'] }, { hosts: ['web-1'] }, { tags: [] }] as Rule['scope'][]) {
    const before = rule(scope)
    const { name, text, receivers, policy, state } = before
    assert.deepEqual(bodyOf(draftOf(before)), { name, text, scope, receivers, policy, state })
  }
})

test('an empty choice of hosts is none, and says so', () => {
  const draft = { ...draftOf(null), name: ' x ', where: 'hosts' as const, words: ' , ' }
  assert.deepEqual(bodyOf(draft).scope, { hosts: [] })
  assert.equal(scopeWord({ hosts: [] }), 'no host')
  assert.equal(scopeWord('all'), 'every host')
  assert.equal(scopeWord({ tags: ['web', 'eu'] }), 'tagged web, eu')
})

test('words are split at commas and spaces, each once', () => {
  const draft = { ...draftOf(null), where: 'tags' as const, words: 'web, eu web' }
  assert.deepEqual(bodyOf(draft).scope, { tags: ['web', 'eu'] })
})

test('an escalation says who hears when', () => {
  const policy = policyOf([
    { receivers: ['ops'], wait_min: '10' },
    { receivers: [], wait_min: '5' },
    { receivers: ['boss', 'night'], wait_min: '1,5' },
  ])
  assert.deepEqual(policy, [
    { receivers: ['ops'], wait_ms: 600_000 },
    { receivers: ['boss', 'night'], wait_ms: 90_000 },
  ])
  assert.equal(policyWords(policy), 'ops at once; boss, night 10 min later, while nobody looks after it')
  assert.equal(policyWords(policy, (id) => id.toUpperCase()), 'OPS at once; BOSS, NIGHT 10 min later, while nobody looks after it')
  assert.equal(policyWords([]), '')
})

test('a change of a rule shows what differs, and within it the words', () => {
  const then = { name: 'Busy', text: 'cpu.usage_pct > 90 for 5m', scope: 'all' as const, receivers: [], policy: [], state: 'live' as const }
  const after = { ...then, text: 'cpu.usage_pct > 95 for 5m', state: 'disabled' as const }
  assert.deepEqual(differences(then, after), [
    { field: 'When', before: then.text, after: after.text },
    { field: 'State', before: 'live', after: 'off' },
  ])
  assert.deepEqual(pieces(after.text, then.text), [
    { text: 'cpu.usage_pct > ', changed: false },
    { text: '95 ', changed: true },
    { text: 'for 5m', changed: false },
  ])
  assert.equal(differences(null, then).length, 6)
})
