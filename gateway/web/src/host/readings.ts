//! Where a view holds a metric: the catalogue's names on one side, `HostView` on the other. Pure.

import type { HostView, Labels } from '../api.ts'

export interface Reading {
  labels: Labels
  value: number | null
}

/** Group of a labelled metric → its list in the view, and the label that tells rows apart. */
const LISTS: Record<string, { list: 'cores' | 'disks' | 'disk_io' | 'networks' | 'temperatures'; label: string }> = {
  core: { list: 'cores', label: 'core' },
  disk: { list: 'disks', label: 'mount' },
  disk_io: { list: 'disk_io', label: 'device' },
  net: { list: 'networks', label: 'interface' },
  temp: { list: 'temperatures', label: 'sensor' },
}

const number = (value: unknown): number | null => (typeof value === 'number' && Number.isFinite(value) ? value : null)

/** Every series of a metric in a view; a host without it gives none. */
export function readings(view: HostView, metric: string): Reading[] {
  const [group = '', field = ''] = metric.split('.')
  const place = LISTS[group]
  if (!place) {
    const section = (view as unknown as Record<string, unknown>)[group]
    if (typeof section !== 'object' || section === null) return []
    return [{ labels: {}, value: number((section as Record<string, unknown>)[field]) }]
  }
  const rows = view[place.list] as unknown as Record<string, unknown>[]
  return rows.map((row) => ({ labels: { [place.label]: String(row[place.label]) }, value: number(row[field]) }))
}

/** One name for a series: `disk.used_pct mount=/`. */
export function seriesKey(metric: string, labels: Labels): string {
  return [metric, ...Object.entries(labels).map(([label, value]) => `${label}=${value}`)].join(' ')
}
