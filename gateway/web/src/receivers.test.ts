//! A receiver survives the editor without its secret, and says in words how it does and what it was told.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Notice, NoticeAttempt, Receiver } from './api.ts'
import { channelOf, draftOf } from './receivers/draft.ts'
import { attemptWords, nameIn, namedWords, noticeWord, outcome, stateOf, took, whereWords } from './receivers/words.ts'

const receiver = (channel: Receiver['channel'], more: Partial<Receiver> = {}): Receiver => ({ id: 'ops', name: 'Ops', channel, secret_set: true, chat: null, failure: null, last: null, ...more }) as unknown as Receiver
const EMAIL = { type: 'email' as const, to: ['a@example.org', 'b@example.org'], from: 'w@example.org', server: 'mail.example.org', port: 465, security: 'tls' as const, user: 'watch' }

test('what nobody touched is sent as it was, and a secret that nobody typed is left out', () => {
  for (const channel of [EMAIL, { type: 'telegram' as const }, { type: 'ntfy' as const, server: 'https://ntfy.sh', topic: 'ops' }]) {
    assert.deepEqual(channelOf(draftOf(receiver(channel))), channel)
  }
  assert.deepEqual(channelOf(draftOf(receiver({ type: 'webhook', host: 'a.example' }))), { type: 'webhook' })
  assert.deepEqual(channelOf(draftOf(receiver({ type: 'chatroom', host: 'a.example', form: 'discord' }))), { type: 'chatroom', form: 'discord' })
})

test('a password without a user goes nowhere, and a token is forgotten only when asked', () => {
  const draft = { ...draftOf(receiver(EMAIL)), user: ' ', password: 'x' }
  const { user: _, ...without } = EMAIL
  assert.deepEqual(channelOf(draft), without)
  const ntfy = draftOf(receiver({ type: 'ntfy', server: 'https://ntfy.sh', topic: 'ops' }))
  assert.deepEqual(channelOf({ ...ntfy, server: '' }), { type: 'ntfy', server: 'https://ntfy.sh', topic: 'ops' })
  assert.deepEqual(channelOf({ ...ntfy, token: 'tk', forget: true }), { type: 'ntfy', server: 'https://ntfy.sh', topic: 'ops', token: '' })
})

test('how a receiver does is a word, and why', () => {
  const last = { state: 'failed', detail: '500' } as unknown as Notice
  const hook = { type: 'webhook' as const, host: 'a.example' }
  assert.equal(stateOf(receiver({ type: 'telegram' })).kind, 'unlinked')
  assert.equal(stateOf(receiver(hook)).kind, 'untried')
  assert.deepEqual(stateOf(receiver(hook, { last })), { kind: 'failed', word: 'the last one failed', why: '500' })
  assert.equal(stateOf(receiver(hook, { last: { ...last, state: 'merged' } })).kind, 'arrives')
  const failure = { answer: '403 blocked', since: '' }
  assert.deepEqual(stateOf(receiver(hook, { last, failure })), { kind: 'refused', word: 'refused', why: '403 blocked' })
  assert.equal(namedWords({ defaults: true, rule_count: 1, rules: [] }), 'the defaults and 1 rule')
  assert.equal(namedWords({ defaults: false, rule_count: 0, rules: [] }), '')
  assert.equal(whereWords(EMAIL), 'a@example.org, b@example.org by mail.example.org')
})

test('what it was told says what became of it and of each try', () => {
  const attempt: NoticeAttempt = { lead: 'a', k: 1, time: '', told: 1, possible_repeat: false, answer: null, detail: null, answered: null, retry_after_ms: null }
  assert.equal(attemptWords(attempt), 'no answer yet')
  assert.equal(attemptWords({ ...attempt, answer: 'not_now', detail: '429 Too Many Requests', retry_after_ms: 30_000 }), 'not now: 429 Too Many Requests, again in 30 s')
  assert.equal(attemptWords({ ...attempt, answer: 'delivered', told: 3, possible_repeat: true }), 'taken, one message for 3 notices, marked as a possible repeat')
  assert.equal(noticeWord({ test: false, notice: 'level_up', n: 2 }), 'worse 2')
  assert.equal(noticeWord({ test: true, notice: null, n: 1 }), 'test')
  assert.equal(outcome({ state: 'merged' }).word, 'told with another')
  assert.equal(took({ time: '2026-01-01T00:00:00Z', ended: '2026-01-01T00:00:02Z' }), 'after 2 s')
  assert.equal(nameIn([{ id: 'ops', name: 'Ops' }])('boss'), 'boss (removed)')
  assert.equal(nameIn(null)('boss'), 'boss')
})
