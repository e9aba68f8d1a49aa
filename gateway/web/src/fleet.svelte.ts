//! The fleet as the page knows it: live summaries, and the last hour of CPU for the sparklines.

import { Refusal } from './access.ts'
import type { HostSummary } from './api.ts'
import { fleetHistory } from './calls.ts'
import { clock } from './clock.svelte.ts'
import { LiveFeed } from './feed.svelte.ts'
import { add, emptyGrid, type Grid, gridOf, trim } from './grid.ts'

const SPARK_STEP_S = 60
const SETTLE_MS = 2000
/** After such a pause the sparklines have missed something that history knows. */
const MISSED_MS = 120_000
export const SPARK_SPAN_S = 3600

class Fleet {
  readonly feed = new LiveFeed<HostSummary>({ detail: 'summary' }, (hosts) => this.#append(hosts))
  /** By host; not reactive: read it beside a host's cell or `sparksLoaded`. */
  readonly sparks = new Map<string, Grid>()
  /** Grows when history came and every sparkline is another. */
  sparksLoaded = $state(0)
  #sparksAt_ms = 0
  #appended_ms = 0
  #abort = new AbortController()

  /** Changes every few seconds: often enough to count and to order by, and rows do not jump about. */
  get settled(): number {
    return Math.floor(clock.now_ms / SETTLE_MS)
  }

  /** Connects while somebody looks; the values stay for the next look. */
  open(): () => void {
    const close = this.feed.open()
    this.#abort = new AbortController()
    void this.#load(this.#abort.signal)
    return () => {
      close()
      this.#abort.abort()
    }
  }

  hosts(): HostSummary[] {
    return this.feed.ids.map((id) => this.feed.cells.get(id)?.value).filter((host) => host !== undefined)
  }

  /** History may be away: then it is asked again when it said so, and live values draw meanwhile. */
  async #load(signal: AbortSignal): Promise<void> {
    if (Date.now() - this.#sparksAt_ms < SPARK_STEP_S * 1000) return
    while (!signal.aborted) {
      try {
        const answer = await fleetHistory('cpu.usage_pct', '-1h', `${SPARK_STEP_S}s`, signal)
        for (const [host, avg] of Object.entries(answer.hosts)) {
          const interval_ms = this.feed.cells.get(host)?.value.interval_ms ?? 5000
          this.sparks.set(host, gridOf(answer, { avg }, interval_ms / 1000))
        }
        this.#sparksAt_ms = Date.now()
        this.sparksLoaded += 1
        return
      } catch (error) {
        if (signal.aborted) return
        const pause_s = error instanceof Refusal ? error.retryAfter_s : 5
        await new Promise((done) => setTimeout(done, pause_s * 1000))
      }
    }
  }

  #append(hosts: HostSummary[]): void {
    const now_ms = Date.now()
    if (this.#appended_ms && now_ms - this.#appended_ms > MISSED_MS) void this.#load(this.#abort.signal)
    this.#appended_ms = now_ms
    for (const host of hosts) {
      if (host.status !== 'active' || host.time === null) continue
      const time_s = Date.parse(host.time) / 1000
      let spark = this.sparks.get(host.host)
      if (!spark) {
        spark = emptyGrid(Math.floor(time_s / SPARK_STEP_S) * SPARK_STEP_S, SPARK_STEP_S)
        this.sparks.set(host.host, spark)
      }
      add(spark, time_s, host.cpu_usage_pct, host.interval_ms / 1000)
      trim(spark, clock.now_ms / 1000 - SPARK_SPAN_S - SPARK_STEP_S)
    }
  }
}

export const fleet = new Fleet()
