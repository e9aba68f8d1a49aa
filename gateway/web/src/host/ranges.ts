//! The windows of time that a host page can show. Pure.

export interface Range {
  id: 'live' | '5m' | '1h' | '24h'
  word: string
  span_s: number
  /** The window's right edge moves in such steps. */
  pace_s: number
}

export const RANGES: Range[] = [
  { id: 'live', word: 'Live', span_s: 300, pace_s: 1 },
  { id: '5m', word: '5 m', span_s: 300, pace_s: 5 },
  { id: '1h', word: '1 h', span_s: 3600, pace_s: 5 },
  { id: '24h', word: '24 h', span_s: 86_400, pace_s: 60 },
]

const DEFAULT = RANGES[2] as Range

export function rangeOf(id: string | null): Range {
  return RANGES.find((it) => it.id === id) ?? DEFAULT
}

/** More points than this are closer together than pixels of a chart; what lies between shows as the min–max band. */
const POINTS_MAX = 300

/** Seconds between points: whole intervals between samples, never less than one. */
export function stepOf(span_s: number, interval_s: number): number {
  return Math.max(1, Math.ceil(span_s / POINTS_MAX / interval_s)) * interval_s
}
