//! The live stream must survive any cut of its bytes, and never step back.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Changes, type Event, EventParser, fold, noChanges } from './sse.ts'

const STREAM =
  'retry: 2500\n\n: alive\n\nid: 7-41\nevent: snapshot\ndata: {"hosts":[]}\n\nid: 7-42\r\nevent: host\r\ndata: {"a":\r\ndata: 1}\r\n\r\nevent: lag\ndata:{}\n\n'

function parse(pieces: string[]): { events: Event[]; parser: EventParser } {
  const parser = new EventParser()
  return { events: pieces.flatMap((it) => parser.push(it)), parser }
}

test('cut anywhere, the same events come out', () => {
  const whole = parse([STREAM])
  assert.deepEqual(
    whole.events.map((it) => [it.name, it.data]),
    [['snapshot', '{"hosts":[]}'], ['host', '{"a":\n1}'], ['lag', '{}']],
  )
  assert.equal(whole.parser.lastId, '7-42')
  assert.equal(whole.parser.retry_ms, 2500)
  for (let cut = 1; cut < STREAM.length; cut += 1) {
    assert.deepEqual(parse([STREAM.slice(0, cut), STREAM.slice(cut)]).events, whole.events, `cut at ${cut}`)
  }
  assert.deepEqual(parse([...STREAM]).events, whole.events)
})

test('half an event before a reconnect is forgotten, the last id is not', () => {
  const { parser } = parse(['id: 7-1\nevent: host\ndata: {}\n\nid: 7-2\nevent: host\ndata: {"ha'])
  parser.restart()
  assert.equal(parser.push('event: lag\ndata: {}\n\n').length, 1)
  assert.equal(parser.lastId, '7-2')
})

interface Host {
  host: string
  sequence: number
}
const event = (name: string, data: unknown): Event => ({ name, data: JSON.stringify(data) })
const folded = (...events: Event[]): Changes<Host> => events.reduce((changes, it) => fold(changes, it), noChanges<Host>())
const host = (sequence: number): Event => event('host', { host: 'a', sequence })

test('of one frame only the newest of a host is left', () => {
  assert.equal(folded(host(3), host(5), host(4)).hosts.get('a')?.sequence, 5)
  assert.equal(folded(host(3), host(5), host(4)).hosts.size, 1)
})

test('a snapshot replaces everything, even by older sequences', () => {
  const changes = folded(host(9), event('snapshot', { hosts: [{ host: 'b', sequence: 1 }] }))
  assert.equal(changes.cleared, true)
  assert.deepEqual([...changes.hosts.keys()], ['b'])
})

test('a reset drops what waited and tells why', () => {
  const changes = folded(host(9), event('reset', { reason: 'too slow' }))
  assert.equal(changes.hosts.size, 0)
  assert.equal(changes.resetReason, 'too slow')
})

test('events of later versions are passed over', () => {
  assert.deepEqual(folded(event('alert', { anything: 1 })), noChanges())
})
