//! What the filter box understands: words over names, `status:silent`, `tag:db`, `cpu>80`, `down>10M`. Pure.

import type { HostSummary, Status } from './api.ts'

type Test = (host: HostSummary, now_ms: number) => boolean

export interface Filter {
  test: Test
  /** What could not be understood, in a sentence; empty when all was. */
  problem: string
}

type Number_ = number | null

const FIELDS: Record<string, (host: HostSummary, now_ms: number) => Number_> = {
  cpu: (host) => host.cpu_usage_pct,
  memory: (host) => host.memory_used_pct,
  mem: (host) => host.memory_used_pct,
  swap: (host) => host.swap_used_pct,
  disk: (host) => host.disk_used_pct,
  load: (host) => host.load_1,
  temp: (host) => host.temp_max_celsius,
  down: (host) => host.net_rx_bytes_per_s,
  up: (host) => host.net_tx_bytes_per_s,
  cores: (host) => host.cores,
  seen: (host, now_ms) => (host.received === null ? null : (now_ms - Date.parse(host.received)) / 1000),
}

/** Sizes are decimal, as network speeds are; `m` and `h` are spans of time, in seconds. */
const SUFFIXES: Record<string, number> = { '': 1, '%': 1, k: 1e3, K: 1e3, M: 1e6, G: 1e9, s: 1, m: 60, h: 3600, d: 86_400 }

const COMPARISONS: Record<string, (a: number, b: number) => boolean> = {
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
}

/** What a status may be asked as; a flagged host has one of the others, too. */
export const STATUSES: (Status | 'flagged')[] = ['flagged', 'silent', 'waiting', 'activating', 'active', 'paused']

export const has = (host: HostSummary, status: Status | 'flagged'): boolean => (status === 'flagged' ? host.flagged : host.status === status)

const COMPARISON = /^([a-z]+)(>=|<=|>|<)(.*)$/i
const AMOUNT = /^(-?\d+(?:\.\d+)?)([a-z%]?)B?$/i

/** An unknown value passes no comparison, whichever way it points. */
function comparison(field: string, operator: string, amount: string): Test | string {
  const known = field.toLowerCase()
  const read = Object.hasOwn(FIELDS, known) ? FIELDS[known] : undefined
  const compare = COMPARISONS[operator]
  if (!read || !compare) return `There is no “${field}” to compare: take ${Object.keys(FIELDS).filter((it) => it !== 'mem').join(', ')}.`
  const [, number, suffix = ''] = AMOUNT.exec(amount) ?? []
  const factor = SUFFIXES[suffix]
  if (number === undefined || factor === undefined) return `“${field}${operator}” wants a number after it, such as ${field}${operator}80.`
  const limit = Number(number) * factor
  return (host, now_ms) => {
    const value = host.status !== 'active' && field !== 'seen' ? null : read(host, now_ms)
    return value !== null && compare(value, limit)
  }
}

function term(word: string): Test | string {
  const [, field, operator, amount] = COMPARISON.exec(word) ?? []
  if (field && operator) return comparison(field, operator, amount ?? '')
  const [key, ...rest] = word.split(':')
  const value = rest.join(':').toLowerCase()
  if (rest.length && key === 'status') {
    if (value === '') return () => true
    const meant = STATUSES.filter((it) => it === value || (!STATUSES.some((one) => one === value) && it.startsWith(value)))
    if (meant.length === 0) return `A status is ${STATUSES.slice(0, -1).join(', ')} or ${STATUSES.at(-1)}.`
    return (host) => meant.some((it) => has(host, it))
  }
  if (rest.length && key === 'tag') return (host) => host.tags.some((it) => it.toLowerCase().startsWith(value))
  if (rest.length && key === 'os') return (host) => (host.os ?? '').toLowerCase().includes(value)
  const text = word.toLowerCase()
  return (host) => host.name.toLowerCase().includes(text) || host.host.toLowerCase().includes(text)
}

/** Every word must hold. A word that is not understood is told and left out. */
export function parseFilter(text: string): Filter {
  const terms = text.split(/\s+/).filter(Boolean).map(term)
  const tests = terms.filter((it): it is Test => typeof it === 'function')
  const problem = terms.find((it): it is string => typeof it === 'string') ?? ''
  return { test: (host, now_ms) => tests.every((it) => it(host, now_ms)), problem }
}
