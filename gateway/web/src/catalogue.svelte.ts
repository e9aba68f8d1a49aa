//! The words for metrics, as the gateway's catalogue has them; asked once, again if that failed.

import type { Metric } from './api.ts'
import { metrics } from './calls.ts'

const RETRY_MS = 5000

class Catalogue {
  metrics = $state.raw(new Map<string, Metric>())
  #asked = false

  load(): void {
    if (this.#asked) return
    this.#asked = true
    metrics().then(
      (items) => (this.metrics = new Map(items.map((it) => [it.name, it]))),
      () => setTimeout(() => ((this.#asked = false), this.load()), RETRY_MS),
    )
  }

  /** A sentence for a tooltip; empty until known. */
  about(name: string | undefined): string {
    return this.metrics.get(name ?? '')?.description ?? ''
  }
}

export const catalogue = new Catalogue()
