//! A host for tests, all values known.

import type { HostSummary } from './api.ts'

export function hostSummary(host: string, rest: Partial<HostSummary> = {}): HostSummary {
  return {
    host, name: `${host}.example`, status: 'active', tags: [], paused: false, flagged: false, revision: 1, sequence: 1, time: '2026-01-01T00:00:00.000Z', received: '2026-01-01T00:00:00.000Z',
    interval_ms: 5000, os: 'Debian GNU/Linux 12', cores: 4, uptime_s: 100, cpu_usage_pct: 10, memory_used_pct: 20, swap_used_pct: 0,
    disk_used_pct: 30, disk_mount: '/', net_rx_bytes_per_s: 1000, net_tx_bytes_per_s: 500, load_1: 0.5, temp_max_celsius: 40, ...rest,
  }
}
