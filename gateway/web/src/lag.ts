//! What is behind, and why, in a sentence. Pure.

import type { Lag } from './api.ts'
import { span } from './format.ts'

/** Names of processors as people know them by what they bring. */
const BRINGS: Record<string, string> = { latest: 'live values', history: 'history' }

/** `history 40 s behind: database restarting`; empty while all is well. */
export function lagWords(lag: Lag | null): string {
  if (!lag) return ''
  const late = lag.processors.filter((it) => it.state !== 'ok')
  const words = late.map((it) => {
    const what = BRINGS[it.name] ?? it.name
    const why = it.name === 'history' && lag.history.state !== 'ok' && lag.history.detail ? `: ${lag.history.detail}` : ''
    if (it.state === 'down' || (it.lag_s < 1 && it.lag_events === 0)) return `${what} is away${why}`
    return it.lag_s >= 1 ? `${what} ${span(it.lag_s)} behind${why}` : `${what} ${it.lag_events} samples behind${why}`
  })
  if (lag.history.state !== 'ok' && !late.some((it) => it.name === 'history')) {
    words.push(lag.history.detail ? `history: ${lag.history.detail}` : 'history is away')
  }
  return words.join(' · ')
}
