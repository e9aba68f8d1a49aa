//! What was last known of a host that fell silent, in words. Pure.

import type { HostSummary } from './api.ts'
import { percent } from './format.ts'
import { BUSY, FULL, level } from './thresholds.ts'

/** A name of any script, so that it does not turn the words after it. */
const isolated = (name: string): string => (name ? `\u2068${name}\u2069` : '')

/** `; last known: disk / 97 %`, or `; last known: fine` when nothing was near a threshold. */
export function lastKnown(host: HostSummary): string {
  const measures = [
    { word: 'CPU', value: host.cpu_usage_pct, limits: BUSY },
    { word: 'memory', value: host.memory_used_pct, limits: BUSY },
    { word: `disk ${isolated(host.disk_mount ?? '')}`.trim(), value: host.disk_used_pct, limits: FULL },
  ]
  if (measures.every((it) => it.value === null)) return ''
  const high = measures.filter((it) => level(it.value, it.limits) !== 'calm')
  return `; last known: ${high.length ? high.map((it) => `${it.word} ${percent(it.value)}`).join(', ') : 'fine'}`
}
