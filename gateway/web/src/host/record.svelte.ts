//! The series of one host over one window: history's answer, with live values added as they come.

import { Refusal } from '../access.ts'
import type { HostView, Labels } from '../api.ts'
import { history } from '../calls.ts'
import { clock } from '../clock.svelte.ts'
import { add, emptyGrid, type Grid, gridOf, trim } from '../grid.ts'
import { readings, seriesKey } from './readings.ts'
import { stepOf } from './ranges.ts'

/** Views kept for what history does not know yet: ten minutes at 5 s. */
const RECENT_VIEWS_MAX = 120

/** The newest views of a host, oldest first; every record of it starts with them. */
export class Recent {
  views: HostView[] = []

  push(view: HostView): void {
    if (view.sequence === this.views.at(-1)?.sequence) return
    this.views.push(view)
    if (this.views.length > RECENT_VIEWS_MAX) this.views.shift()
  }
}

/** A window that moves with the clock, or one that stands. */
export type Window = { span_s: number } | { from_s: number; to_s: number }

export class HostRecord {
  /** Grows whenever a series changed. */
  version = $state(0)
  loaded = $state(false)
  tier = $state('')
  readonly step_s: number
  /** Why history does not answer; empty while it does. */
  away = $state('')
  retryAt_ms = $state(0)
  /** By series; not reactive: read it beside `version`. */
  readonly grids = new Map<string, Grid>()
  readonly #abort = new AbortController()
  readonly #metrics = new Set<string>()

  constructor(
    readonly host: string,
    readonly window: Window,
    readonly interval_s: number,
    readonly recent: Recent,
  ) {
    this.step_s = stepOf('span_s' in window ? window.span_s : window.to_s - window.from_s, interval_s)
  }

  close(): void {
    this.#abort.abort()
  }

  /** Asks history for more metrics, as often as it takes. */
  async load(metrics: string[]): Promise<void> {
    const asked = metrics.filter((it) => !this.#metrics.has(it))
    for (const metric of asked) this.#metrics.add(metric)
    const { signal } = this.#abort
    this.#replay(asked)
    let missing = asked
    while (missing.length > 0 && !signal.aborted) {
      const { from_s, to_s } = this.#bounds()
      const query = { from: new Date(from_s * 1000).toISOString(), to: new Date(to_s * 1000).toISOString() }
      const answers = await Promise.all(missing.map((metric) => this.#ask(metric, query)))
      if (signal.aborted) return
      const failed = answers.filter((it) => it !== null)
      const wait_s = Math.max(0, ...failed.map((it) => it.refusal.retryAfter_s))
      missing = failed.map((it) => it.metric)
      this.away = failed[0]?.refusal.detail ?? ''
      this.loaded = true
      this.version += 1
      if (missing.length === 0) return
      this.retryAt_ms = clock.read() + wait_s * 1000
      await new Promise((done) => setTimeout(done, wait_s * 1000))
    }
  }

  /** Adds what has just come; a standing window only takes what lies in it. */
  append(view: HostView): void {
    this.#add(view, [...this.#metrics])
    this.version += 1
  }

  /** All points of a series together: tells what moves from what does not. */
  sum(metric: string, labels: Labels): number {
    return this.grids.get(seriesKey(metric, labels))?.avg.reduce<number>((sum, it) => sum + (it ?? 0), 0) ?? 0
  }

  #bounds(): { from_s: number; to_s: number } {
    if ('from_s' in this.window) return this.window
    const to_s = clock.read() / 1000
    return { from_s: to_s - this.window.span_s, to_s }
  }

  /** Null when answered; a refusal that more patience cannot heal counts as an answer without series. */
  async #ask(metric: string, query: { from: string; to: string }): Promise<{ metric: string; refusal: Refusal } | null> {
    try {
      const answer = await history(this.host, { metric, ...query, step: `${this.step_s}s` }, this.#abort.signal)
      this.tier = answer.tier
      for (const series of answer.series) {
        this.grids.set(seriesKey(metric, series.labels), gridOf(answer, series, this.interval_s))
      }
      this.#replay([metric])
      return null
    } catch (error) {
      if (error instanceof Refusal && (error.status === 0 || error.status >= 500)) return { metric, refusal: error }
      if (!(error instanceof Refusal)) return { metric, refusal: new Refusal(0, 'History does not answer', 5) }
      return null
    }
  }

  #replay(metrics: string[]): void {
    for (const view of this.recent.views) this.#add(view, metrics)
  }

  #add(view: HostView, metrics: string[]): void {
    if (view.status !== 'active' || view.time === null) return
    const { from_s, to_s } = this.#bounds()
    const time_s = Date.parse(view.time) / 1000
    if (time_s < from_s || ('to_s' in this.window && time_s > to_s)) return
    for (const metric of metrics) {
      for (const { labels, value } of readings(view, metric)) {
        const grid = this.#grid(seriesKey(metric, labels), time_s)
        add(grid, time_s, value, this.interval_s)
        trim(grid, from_s - grid.step_s)
      }
    }
  }

  #grid(key: string, time_s: number): Grid {
    const known = this.grids.get(key)
    if (known) return known
    const grid = emptyGrid(Math.floor(time_s / this.step_s) * this.step_s, this.step_s)
    this.grids.set(key, grid)
    return grid
  }
}
