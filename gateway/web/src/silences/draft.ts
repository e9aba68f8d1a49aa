//! A silence or weekly maintenance as one edits it, and as the gateway takes it. Pure.

import type { Alert, Maintenance, Matcher, Severity, Silence } from '../api.ts'
import type { MaintenanceBody, SilenceBody } from '../calls.ts'

export type MatcherKind = 'host' | 'tag' | 'rule' | 'label' | 'severity'
/** One condition as one types it; of a label `name=value`. */
export interface MatcherDraft {
  kind: MatcherKind
  word: string
}
export interface Draft {
  weekly: boolean
  reason: string
  matchers: MatcherDraft[]
  /** Local wall time of the reader, as `datetime-local` has it; empty: now. */
  from: string
  until: string
  days: number[]
  begin: string
  end: string
  zone: string
}

export const KINDS: { value: MatcherKind; word: string }[] = [
  { value: 'host', word: 'Host' },
  { value: 'tag', word: 'Tag' },
  { value: 'rule', word: 'Rule' },
  { value: 'label', word: 'Label' },
  { value: 'severity', word: 'Severity' },
]
export const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun']
const HOUR_MS = 3_600_000

const pad = (value: number): string => value.toString().padStart(2, '0')

/** A moment as a field for wall time has it. */
export function wall(ms: number): string {
  const it = new Date(ms)
  return `${it.getFullYear()}-${pad(it.getMonth() + 1)}-${pad(it.getDate())}T${pad(it.getHours())}:${pad(it.getMinutes())}`
}
export const inHours = (hours: number, now_ms: number): string => new Date(now_ms + hours * HOUR_MS).toISOString()

export function matcherDraft(matcher: Matcher): MatcherDraft {
  if ('host' in matcher) return { kind: 'host', word: matcher.host }
  if ('tag' in matcher) return { kind: 'tag', word: matcher.tag }
  if ('rule' in matcher) return { kind: 'rule', word: matcher.rule }
  if ('severity' in matcher) return { kind: 'severity', word: matcher.severity }
  return { kind: 'label', word: `${matcher.label.name}=${matcher.label.value}` }
}

function matcherOf({ kind, word }: MatcherDraft): Matcher {
  const text = word.trim()
  if (kind === 'label') {
    const at = text.indexOf('=')
    return { label: at < 0 ? { name: text, value: '' } : { name: text.slice(0, at).trim(), value: text.slice(at + 1).trim() } }
  }
  if (kind === 'severity') return { severity: (text || 'warning') as Severity }
  return kind === 'host' ? { host: text } : kind === 'tag' ? { tag: text } : { rule: text }
}
export const matchersOf = (drafts: MatcherDraft[]): Matcher[] => drafts.filter((it) => it.word.trim()).map(matcherOf)

/** `on web-1, rule disk, mount /srv`. */
export function matcherWords(matchers: Matcher[]): string {
  const word = (matcher: Matcher): string => {
    if ('host' in matcher) return `on ${matcher.host}`
    if ('tag' in matcher) return `tagged ${matcher.tag}`
    if ('rule' in matcher) return `rule ${matcher.rule}`
    if ('severity' in matcher) return matcher.severity
    return `${matcher.label.name} ${matcher.label.value}`
  }
  return matchers.map(word).join(', ')
}

/** What is true of an alert and of those that follow it: its rule, its host, the label of its series. */
export function matchersOfAlert(alert: Pick<Alert, 'rule' | 'host' | 'series'>): Matcher[] {
  const [, name, value] = /^\{([a-z0-9_]+)=("(?:[^"\\]|\\.)*")\}/.exec(alert.series) ?? []
  return [
    { rule: alert.rule },
    ...(alert.host === '_' ? [] : [{ host: alert.host }]),
    ...(name && value ? [{ label: { name, value: JSON.parse(value) as string } }] : []),
  ]
}

const EMPTY: Omit<Draft, 'until' | 'zone'> = { weekly: false, reason: '', matchers: [{ kind: 'host', word: '' }], from: '', days: [7], begin: '22:00', end: '06:00' }

export function newDraft(now_ms: number, zone: string, matchers: Matcher[] = [], reason = ''): Draft {
  const rows = matchers.length ? matchers.map(matcherDraft) : EMPTY.matchers.map((it) => ({ ...it }))
  return { ...EMPTY, days: [...EMPTY.days], reason, matchers: rows, until: wall(now_ms + HOUR_MS), zone }
}
export function draftOfSilence(silence: Silence, now_ms: number, zone: string): Draft {
  return { ...newDraft(now_ms, zone, silence.matchers, silence.reason), from: wall(Date.parse(silence.from)), until: wall(Date.parse(silence.until)) }
}
export function draftOfMaintenance(it: Maintenance, now_ms: number): Draft {
  return { ...newDraft(now_ms, it.zone, it.matchers, it.reason), weekly: true, days: [...it.days], begin: it.begin, end: it.end }
}

export function silenceBody(draft: Draft): SilenceBody {
  const time = (text: string): string => new Date(text).toISOString()
  return { reason: draft.reason.trim(), until: time(draft.until), matchers: matchersOf(draft.matchers), ...(draft.from ? { from: time(draft.from) } : {}) }
}
export function maintenanceBody(draft: Draft): MaintenanceBody {
  return { reason: draft.reason.trim(), zone: draft.zone.trim(), days: [...draft.days].sort(), begin: draft.begin, end: draft.end, matchers: matchersOf(draft.matchers) }
}

/** `Sat and Sun 22:00 to 06:00, Europe/Berlin`. */
export function weeklyWords(it: Pick<Maintenance, 'days' | 'begin' | 'end' | 'zone'>): string {
  const words = it.days.map((day) => DAYS[day - 1] ?? '?')
  const days = words.length === 7 ? 'Every day' : words.length > 1 ? `${words.slice(0, -1).join(', ')} and ${words.at(-1)}` : words.join('')
  return `${days} ${it.begin} to ${it.end}, ${it.zone}`
}
