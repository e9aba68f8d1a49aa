//! The live stream: connects, resumes by the last event id, folds events once a frame into one cell per host.

import { access, type Query, sentence } from './access.ts'
import type { Lag } from './api.ts'
import { clock } from './clock.svelte.ts'
import { session } from './session.svelte.ts'
import { EventParser, fold, noChanges } from './sse.ts'

/** The gateway sends a sign of life every 10 s. */
const STALL_MS = 25_000
const RETRY_MS_MAX = 10_000
/** A page that nobody sees gives its connection back after this. */
const HIDDEN_MS_MAX = 60_000

export type Phase = 'connecting' | 'live' | 'catching-up' | 'reconnecting' | 'paused'

/** What is known of one host; reading `value` in a component follows that host only. */
export class Cell<H> {
  value = $state.raw() as H
  constructor(value: H) {
    this.value = value
  }
}

export class LiveFeed<H extends { host: string; sequence: number }> {
  phase = $state<Phase>('connecting')
  /** Why there is no connection, in a sentence; empty while there is one. */
  problem = $state('')
  lag = $state.raw<Lag | null>(null)
  /** Every known host; a new array only when hosts come or go. */
  ids = $state.raw<string[]>([])
  /** Whether a snapshot has ever come. */
  known = $state(false)
  /** Grows when an alert changed, or may have. */
  alertNews = $state(0)
  /** Grows when a notice was decided, tried or settled, or may have been. */
  noticeNews = $state(0)
  /** Grows when something about who receives was changed, or may have been. */
  receiverNews = $state(0)
  /** Grows with every frame that changed something. */
  frame = $state(0)
  /** The gateway's time when values last came. */
  last_ms = $state(0)
  readonly cells = new Map<string, Cell<H>>()

  #parser = new EventParser()
  #changes = noChanges<H>()
  #frameAsked = false
  #abort: AbortController | null = null
  #wake: (() => void) | null = null
  #open = false
  #bytes_ms = 0
  #attempts = 0
  /** Why the gateway ended this stream; empty while it goes on. */
  #ended = ''

  constructor(
    readonly query: Query,
    readonly onchange: (hosts: H[]) => void = () => {},
  ) {}

  /** Connects, and stays connected until the returned function is called. */
  open(): () => void {
    this.#open = true
    const visit = new AbortController()
    const { signal } = visit
    let hidden: ReturnType<typeof setTimeout> | undefined
    document.addEventListener(
      'visibilitychange',
      () => {
        clearTimeout(hidden)
        if (document.hidden) hidden = setTimeout(() => this.#pause(), HIDDEN_MS_MAX)
        else this.#resume()
      },
      { signal },
    )
    addEventListener('online', () => this.#wake?.(), { signal })
    const watchdog = setInterval(() => this.#watch(), 1000)
    if (this.phase === 'live' || this.phase === 'paused') this.phase = this.known ? 'catching-up' : 'connecting'
    void this.#run(signal)
    return () => {
      clearTimeout(hidden)
      clearInterval(watchdog)
      visit.abort()
      this.#open = false
      this.#abort?.abort()
      this.#wake?.()
    }
  }

  #pause(): void {
    this.phase = 'paused'
    this.#abort?.abort()
  }

  #resume(): void {
    if (this.phase === 'paused') this.phase = 'catching-up'
    this.#wake?.()
  }

  #watch(): void {
    if (this.#abort && Date.now() - this.#bytes_ms > STALL_MS) this.#abort.abort()
  }

  async #run(visit: AbortSignal): Promise<void> {
    while (!visit.aborted) {
      this.#ended = ''
      const error = await this.#connection().then(() => 'The gateway ended the connection', sentence)
      if (this.#ended && !visit.aborted) await session.check(this.#ended)
      if (visit.aborted) return
      if (this.phase !== 'paused' && !this.#ended) {
        this.phase = this.known ? 'reconnecting' : 'connecting'
        this.problem = error
      }
      await this.#wait()
    }
  }

  /** Pauses before the next attempt: longer each time, never the same for two pages; for good while unseen. */
  #wait(): Promise<void> {
    const most_ms = Math.min(RETRY_MS_MAX, this.#parser.retry_ms * 2 ** this.#attempts)
    this.#attempts += 1
    return new Promise((done) => {
      const timer = this.phase === 'paused' ? undefined : setTimeout(done, most_ms * (0.5 + Math.random() / 2))
      this.#wake = () => {
        clearTimeout(timer)
        done()
      }
    })
  }

  async #connection(): Promise<void> {
    const abort = new AbortController()
    this.#abort = abort
    this.#bytes_ms = Date.now()
    this.#parser.restart()
    try {
      const headers: Record<string, string> = { Accept: 'text/event-stream' }
      if (this.known && this.#parser.lastId) headers['Last-Event-ID'] = this.#parser.lastId
      const response = await access.answer('GET', '/live', { query: this.query, headers, signal: abort.signal })
      if (!response.body) return
      clock.setBy(response)
      this.#connected()
      const reader = response.body.getReader()
      const decoder = new TextDecoder()
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        this.#take(decoder.decode(part.value, { stream: true }))
      }
    } finally {
      this.#abort = null
    }
  }

  #connected(): void {
    this.#attempts = 0
    this.problem = ''
    if (!this.known) return
    this.phase = 'live'
    // What one may do can have changed while nobody could tell.
    void session.check('')
  }

  #take(text: string): void {
    this.#bytes_ms = Date.now()
    for (const event of this.#parser.push(text)) {
      if (event.name === 'end') this.#ended = reasonOf(event.data)
      else if (event.name === 'alert' || event.name === 'alerts') this.alertNews += 1
      else if (event.name === 'notice') this.noticeNews += 1
      else if (event.name === 'receivers') this.receiverNews += 1
      else if (event.name === 'notices') {
        // The first of a connection: whatever happened before it was not told.
        this.noticeNews += 1
        this.receiverNews += 1
      } else this.#changes = fold(this.#changes, event)
    }
    if (this.#frameAsked) return
    this.#frameAsked = true
    requestAnimationFrame(() => this.#apply())
  }

  /** Once a frame: everything that changed, at once. */
  #apply(): void {
    this.#frameAsked = false
    const changes = this.#changes
    this.#changes = noChanges()
    if (!this.#open) return
    if (changes.lag) this.lag = changes.lag
    if (changes.resetReason !== null) this.phase = 'catching-up'
    if (!changes.cleared && changes.hosts.size === 0) return
    const taken = this.#store(changes.hosts, changes.cleared)
    if (changes.cleared) {
      this.known = true
      this.phase = 'live'
    }
    if (taken.length) this.last_ms = clock.read()
    this.frame += 1
    this.onchange(taken)
  }

  #store(hosts: Map<string, H>, all: boolean): H[] {
    let membership = false
    const taken: H[] = []
    if (all) {
      for (const id of [...this.cells.keys()]) {
        if (!hosts.has(id)) membership = this.cells.delete(id) || membership
      }
    }
    for (const [id, host] of hosts) {
      const cell = this.cells.get(id)
      if (!cell) {
        this.cells.set(id, new Cell(host))
        membership = true
      } else if (all || cell.value.sequence <= host.sequence) cell.value = host
      else continue
      taken.push(host)
    }
    if (membership) this.ids = [...this.cells.keys()]
    return taken
  }
}

function reasonOf(data: string): string {
  return (JSON.parse(data) as { reason?: string }).reason ?? 'ended'
}
