//! In what order hosts stand: what is wrong first, or by a column; unknown always last. Pure.

import type { HostSummary } from './api.ts'

export const COLUMNS = ['host', 'cpu', 'memory', 'disk', 'network', 'load', 'seen'] as const
export type Column = (typeof COLUMNS)[number]

export interface Order {
  /** Null: silent and flagged hosts first, then by name, paused ones last. */
  column: Column | null
  descending: boolean
}

export const CALM_ORDER: Order = { column: null, descending: false }

const natural = new Intl.Collator('en', { numeric: true, sensitivity: 'base' })

type Measure = (host: HostSummary) => number | null

const total = (a: number | null, b: number | null): number | null => (a === null && b === null ? null : (a ?? 0) + (b ?? 0))

/** What calm order goes by: the wrong first, the paused last. */
const calm = (host: HostSummary): number => (host.flagged || host.status === 'silent' ? 0 : host.status === 'paused' ? 2 : 1)

/** The number a column sorts by; for `seen` the moment, so that the longest silence is the smallest. */
const MEASURES: Record<Exclude<Column, 'host'>, Measure> = {
  cpu: (host) => host.cpu_usage_pct,
  memory: (host) => host.memory_used_pct,
  disk: (host) => host.disk_used_pct,
  network: (host) => total(host.net_rx_bytes_per_s, host.net_tx_bytes_per_s),
  load: (host) => host.load_1,
  seen: (host) => (host.received === null ? null : Date.parse(host.received)),
}

/** The first click shows what people look for: the most loaded, the longest unseen, names from A. */
export function firstOrder(column: Column): Order {
  return { column, descending: column !== 'host' && column !== 'seen' }
}

/** Click by click: a column's first order, its reverse, then calm again. */
export function nextOrder(order: Order, column: Column): Order {
  const first = firstOrder(column)
  if (order.column !== column) return first
  return order.descending === first.descending ? { column, descending: !first.descending } : CALM_ORDER
}

/** Ranks by name, numbers inside names in their order: web-2 before web-10. Costly; once per set of hosts. */
export function nameRanks(hosts: HostSummary[]): Map<string, number> {
  const sorted = [...hosts].sort((a, b) => natural.compare(a.name, b.name) || (a.host < b.host ? -1 : 1))
  return new Map(sorted.map((host, rank) => [host.host, rank]))
}

/** The same hosts in order; values of hosts that are not active are old, so they count as unknown. */
export function ordered(hosts: HostSummary[], order: Order, ranks: Map<string, number>): HostSummary[] {
  const rank = (host: HostSummary): number => ranks.get(host.host) ?? Number.MAX_SAFE_INTEGER
  const sign = order.descending ? -1 : 1
  if (order.column === 'host') return [...hosts].sort((a, b) => sign * (rank(a) - rank(b)))
  if (order.column === null) return [...hosts].sort((a, b) => calm(a) - calm(b) || rank(a) - rank(b))
  const measure = MEASURES[order.column]
  const seen = order.column === 'seen'
  const keyed = hosts.map((host) => ({ host, rank: rank(host), key: host.status !== 'active' && !seen ? null : measure(host) }))
  keyed.sort((a, b) => {
    if (a.key === null || b.key === null) return (a.key === null ? 1 : 0) - (b.key === null ? 1 : 0) || a.rank - b.rank
    return sign * (a.key - b.key) || a.rank - b.rank
  })
  return keyed.map((entry) => entry.host)
}
