//! Server-sent events out of a byte stream, and the fold of those events into what the page knows. Pure.

import type { Lag } from './api.ts'

export interface Event {
  name: string
  data: string
}

/** Longest event that is read; a snapshot of 10,000 hosts is some 6 MB. */
export const EVENT_CHARS_MAX = 64 << 20

/** Splits the text of a stream into events; keeps the last id and the server's wish for a pause. */
export class EventParser {
  lastId = ''
  retry_ms = 1000
  #rest = ''
  #name = ''
  #data: string[] = []
  #chars = 0

  /** What has arrived, in pieces of any size; gives the events that are complete. */
  push(text: string): Event[] {
    const events: Event[] = []
    let from = 0
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      const line = this.#rest + text.slice(from, end)
      this.#rest = ''
      from = end + 1
      const event = this.#line(line.endsWith('\r') ? line.slice(0, -1) : line)
      if (event) events.push(event)
    }
    this.#rest += text.slice(from)
    if (this.#rest.length + this.#chars > EVENT_CHARS_MAX) throw new Error('an event of the live stream is too long')
    return events
  }

  /** A new connection begins a new event, and remembers where the last one ended. */
  restart(): void {
    this.#rest = ''
    this.#clear()
  }

  #clear(): void {
    this.#name = ''
    this.#data = []
    this.#chars = 0
  }

  #line(line: string): Event | null {
    if (line === '') {
      const event = this.#data.length ? { name: this.#name || 'message', data: this.#data.join('\n') } : null
      this.#clear()
      return event
    }
    const colon = line.indexOf(':')
    if (colon === 0) return null
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'event') this.#name = value
    else if (field === 'id') this.lastId = value
    else if (field === 'retry' && /^\d+$/.test(value)) this.retry_ms = Number(value)
    else if (field === 'data') {
      this.#data.push(value)
      this.#chars += value.length
    }
    return null
  }
}

/** Changes since the last frame: at most one per host, however fast they come. */
export interface Changes<H> {
  /** A snapshot came: `hosts` is all there is. */
  cleared: boolean
  hosts: Map<string, H>
  lag: Lag | null
  /** The stream lost its place and says why; a snapshot follows. */
  resetReason: string | null
}

export function noChanges<H>(): Changes<H> {
  return { cleared: false, hosts: new Map(), lag: null, resetReason: null }
}

/** Folds one event; the newest of a host wins, and never an older one. */
export function fold<H extends { host: string; sequence: number }>(changes: Changes<H>, event: Event): Changes<H> {
  switch (event.name) {
    case 'snapshot': {
      const snapshot = JSON.parse(event.data) as { hosts: H[]; lag?: Lag }
      const hosts = new Map(snapshot.hosts.map((host) => [host.host, host]))
      return { cleared: true, hosts, lag: snapshot.lag ?? changes.lag, resetReason: null }
    }
    case 'host': {
      const host = JSON.parse(event.data) as H
      const before = changes.hosts.get(host.host)
      if (!before || before.sequence <= host.sequence) changes.hosts.set(host.host, host)
      return changes
    }
    case 'lag':
      changes.lag = JSON.parse(event.data) as Lag
      return changes
    case 'reset':
      return { ...noChanges<H>(), lag: changes.lag, resetReason: (JSON.parse(event.data) as { reason: string }).reason }
    default:
      return changes
  }
}
