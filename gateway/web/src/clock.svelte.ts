//! One clock for every age on the page, ticking once a second, set by the gateway's own time.

const TICK_MS = 1000
/** The gateway's Date header counts whole seconds: smaller differences mean nothing. */
const SKEW_IGNORED_MS = 2000

class Clock {
  /** The gateway's time at the last tick, in milliseconds. */
  now_ms = $state(Date.now())
  #skew_ms = 0

  constructor() {
    setInterval(() => this.#tick(), TICK_MS)
  }

  #tick(): void {
    this.now_ms = this.read()
  }

  /** The gateway's time at this moment. */
  read(): number {
    return Date.now() + this.#skew_ms
  }

  /** Takes the gateway's time from an answer that has just come. */
  setBy(response: Response): void {
    const date = Date.parse(response.headers.get('Date') ?? '')
    if (Number.isNaN(date)) return
    const skew_ms = date + 500 - Date.now()
    this.#skew_ms = Math.abs(skew_ms) > SKEW_IGNORED_MS ? skew_ms : 0
    this.#tick()
  }
}

export const clock = new Clock()
