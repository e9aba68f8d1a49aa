//! A back-test as the page has it: the lines that stream in, and what they say in words and bars. Pure.

import type { components } from '../api.generated.ts'
import { clockTime, digits, since, span } from '../format.ts'

type Schemas = components['schemas']
export type BacktestResult = Schemas['BacktestResult']
export type Outcome = Schemas['TriedOutcome']
export type Episode = Schemas['TriedEpisode']
export type Progress = Schemas['BacktestProgress']
export type Line = Schemas['BacktestLine']

/** Longest line that is read: two rules with all the episodes that are listed. */
const LINE_CHARS_MAX = 8 << 20
/** Hosts that have a row. */
export const ROWS_MAX = 40
/** Width of a row of the timeline, in its own units. */
export const WIDTH = 1000
/** What is shorter would not be seen. */
const BAR_MIN = 3

export const RANGES = [
  { from: '-1h', word: '1 h' },
  { from: '-24h', word: '24 h' },
  { from: '-7d', word: '7 d' },
]

/** Splits the text of a stream into its lines. */
export class Lines {
  #rest = ''

  push(text: string): Line[] {
    const parts = (this.#rest + text).split('\n')
    this.#rest = parts.pop() ?? ''
    if (this.#rest.length > LINE_CHARS_MAX) throw new Error('a line of the back-test is too long')
    return parts.filter(Boolean).map((part) => JSON.parse(part) as Line)
  }
}

export interface Bar {
  x: number
  width: number
  critical: boolean
  /** Of an edit: the other rule has no episode then. */
  alone: boolean
  said: string
}

export interface Row {
  host: string
  now: Bar[]
  /** Of the rule as it is saved. */
  saved: Bar[]
}

/** One row a host that has an episode of either rule, in the order in which they came; and how many hosts have no row. */
export function rowsOf(result: BacktestResult): { rows: Row[]; more: number } {
  const [from, to] = [Date.parse(result.from), Date.parse(result.to)]
  const rows = new Map<string, Row>()
  const add = (side: 'now' | 'saved', outcome: Outcome | null): void => {
    for (const episode of outcome?.episodes ?? []) {
      const row = rows.get(episode.host) ?? { host: episode.host, now: [], saved: [] }
      rows.set(episode.host, row)
      row[side].push(bar(episode, from, to, result.before !== null))
    }
  }
  add('now', result.rule)
  add('saved', result.before)
  const all = [...rows.values()]
  return { rows: all.slice(0, ROWS_MAX), more: Math.max(0, all.length - ROWS_MAX) }
}

function bar(episode: Episode, from: number, to: number, compared: boolean): Bar {
  const place = (ms: number): number => (Math.min(Math.max(ms, from), to) - from) / Math.max(1, to - from) * WIDTH
  const [start, end] = [place(Date.parse(episode.fired)), place(episode.until ? Date.parse(episode.until) : to)]
  const width = Math.max(BAR_MIN, end - start)
  return { x: Math.min(start, WIDTH - width), width, critical: episode.level === 'critical', alone: compared && !episode.in_both, said: episodeWords(episode) }
}

/** `web-1 {mount="/"}: 12:00 – 12:10, worst 97.0, 2 notices`. */
export function episodeWords(episode: Episode): string {
  const begin = clockTime(Date.parse(episode.fired), true)
  const end = episode.until ? clockTime(Date.parse(episode.until), true) : 'still open'
  const worst = episode.peak === null ? '' : `, worst ${digits(episode.peak)}`
  return `${episode.host}${episode.series ? ` ${episode.series}` : ''}: ${begin} – ${end}${worst}, ${many(episode.notice_count, 'notice')}`
}

const many = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`

/** `3 episodes on 2 of 14 hosts, 6 notices.` */
export function summary(outcome: Outcome): string {
  if (!outcome.hosts) return 'No host is in its scope.'
  if (!outcome.episode_count) return `No episode on ${many(outcome.hosts, 'host')}.`
  return `${many(outcome.episode_count, 'episode')} on ${outcome.hosts_with_episodes} of ${many(outcome.hosts, 'host')}, ${many(outcome.notice_count, 'notice')}.`
}

/** `Nearest miss: web-2, 88.0 of 90.0 at 12:00, true for 40 s of 2 min`; empty where there is none. */
export function nearestWords(outcome: Outcome, now_ms: number): string {
  const [near] = outcome.nearest
  if (!near) return ''
  const value = near.value === null || near.threshold === null ? '' : `, ${digits(near.value)} of ${digits(near.threshold)}`
  const at = near.at ? ` at ${since(Date.parse(near.at), now_ms)}` : ''
  const held = near.held_ms ? `, true for ${span(near.held_ms / 1000)} of ${span(near.for_ms / 1000)}` : ''
  return `Nearest miss: ${near.host}${near.series ? ` ${near.series}` : ''}${value}${at}${held}.`
}

/** `The edit adds 1 episode and drops 2; 3 fewer notices.`; empty where nothing is compared. */
export function differenceWords(result: BacktestResult): string {
  const it = result.difference
  if (!it) return ''
  if (!it.added && !it.removed && !it.notices) return 'The edit changes nothing here.'
  const notices = it.notices === 0 ? 'as many notices' : `${many(Math.abs(it.notices), it.notices > 0 ? 'more notice' : 'fewer notice')}`
  return `The edit adds ${many(it.added, 'episode')} and drops ${it.removed}; ${notices}.`
}
