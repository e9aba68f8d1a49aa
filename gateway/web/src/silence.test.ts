//! A silence survives the editor, and says in words what it holds back.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Maintenance, Matcher, Silence } from './api.ts'
import { draftOfMaintenance, draftOfSilence, maintenanceBody, matchersOfAlert, matcherWords, newDraft, silenceBody, weeklyWords } from './silences/draft.ts'

const NOW = Date.parse('2026-06-01T12:00:00Z')
const MATCHERS: Matcher[] = [{ host: 'web-1' }, { tag: 'db' }, { rule: 'disk' }, { label: { name: 'mount', value: '/srv=x' } }, { severity: 'critical' }]

test('what nobody touched is sent as it was, to the minute', () => {
  const silence = { id: 's1', author: 'ann', reason: 'new disks', from: '2026-06-01T10:00:00.000Z', until: '2026-06-02T10:30:00.000Z', matchers: MATCHERS, revision: 1 } as unknown as Silence
  const { reason, from, until, matchers } = silence
  assert.deepEqual(silenceBody(draftOfSilence(silence, NOW, 'UTC')), { reason, from, until, matchers })
  const weekly = { reason: 'backup', zone: 'Europe/Berlin', days: [6, 7], begin: '22:00', end: '06:00', matchers: MATCHERS }
  assert.deepEqual(maintenanceBody(draftOfMaintenance(weekly as unknown as Maintenance, NOW)), weekly)
})

test('a new one begins now and has no condition that nobody gave', () => {
  const body = silenceBody({ ...newDraft(NOW, 'UTC'), reason: ' x ' })
  assert.deepEqual({ ...body, until: '' }, { reason: 'x', until: '', matchers: [] })
  assert.equal(Date.parse(body.until), NOW + 3_600_000)
})

test('an alert is held back with those that follow it', () => {
  assert.deepEqual(matchersOfAlert({ rule: 'disk', host: 'web-1', series: '{mount="/a\\"b"}no_data' }), [{ rule: 'disk' }, { host: 'web-1' }, { label: { name: 'mount', value: '/a"b' } }])
  assert.deepEqual(matchersOfAlert({ rule: 'ingest_outage', host: '_', series: '' }), [{ rule: 'ingest_outage' }])
})

test('it is said in words', () => {
  assert.equal(matcherWords(MATCHERS), 'on web-1, tagged db, rule disk, mount /srv=x, critical')
  assert.equal(weeklyWords({ days: [5, 6, 7], begin: '22:00', end: '06:00', zone: 'UTC' }), 'Fri, Sat and Sun 22:00 to 06:00, UTC')
  assert.equal(weeklyWords({ days: [1, 2, 3, 4, 5, 6, 7], begin: '01:00', end: '02:00', zone: 'UTC' }), 'Every day 01:00 to 02:00, UTC')
})
