//! How alerts are put into words.

import type { Alert } from '../api.ts'
import { digits, span } from '../format.ts'

/** Where one goes from alerts to what is held back. */
export const ALERT_PARTS = [
  { href: '/alerts', word: 'Alerts' },
  { href: '/silences', word: 'Silences and maintenance' },
]

/** What it is about: the series behind the host, where there is one. */
export function about(alert: Alert): string {
  const host = alert.host === '_' ? 'the whole team' : alert.host
  return alert.series ? `${host} ${alert.series}` : host
}

/** What the rule was called then; a built-in one by its id. */
export function ruleWord(alert: Alert): string {
  return alert.rule_name ?? alert.rule.replaceAll('_', ' ')
}

const REASONS: Record<string, string> = {
  ok: 'well again',
  no_data: 'no numbers any more',
  series_gone: 'no longer reported',
  rule_changed: 'the rule was changed',
  deleted: 'removed',
  disabled: 'the rule was switched off',
  out_of_scope: 'the rule no longer watches it',
  manual: 'closed by hand',
}

export function reasonWord(reason: string | null | undefined): string {
  return reason ? (REASONS[reason] ?? reason) : ''
}

/** The value that decides, and the worst. */
export function valueWords(alert: Alert): string {
  if (alert.value === null || alert.value === undefined) return ''
  const worst = alert.peak !== null && alert.peak !== undefined && alert.peak !== alert.value
  return worst ? `${digits(alert.value)} (worst ${digits(alert.peak)})` : digits(alert.value)
}

/** How long it lasted, or lasts. */
export function lasted(alert: Alert, now_ms: number): string {
  const ms = alert.duration_ms ?? (alert.ended ? Date.parse(alert.ended) : now_ms) - Date.parse(alert.since)
  return span(Math.max(0, ms) / 1000)
}

export function alertPath(id: string): string {
  return `/alerts/${encodeURIComponent(id)}`
}
