//! What the gateway answers: the shapes of `/api/v1`, named as there, and the few calls the page makes.

export type Status = 'fine' | 'silent'

export interface HostSummary {
  host: string
  name: string
  status: Status
  sequence: number
  /** Event time, RFC 3339. */
  time: string
  /** When the broker took it, RFC 3339. */
  received: string
  interval_ms: number
  os: string | null
  cores: number | null
  uptime_s: number | null
  cpu_usage_pct: number | null
  memory_used_pct: number | null
  swap_used_pct: number | null
  /** The fullest file system; `disk_mount` names it. */
  disk_used_pct: number | null
  disk_mount: string | null
  net_rx_bytes_per_s: number | null
  net_tx_bytes_per_s: number | null
  load_1: number | null
  temp_max_celsius: number | null
}

export type Value = number | null | undefined

/** Read once, and again when it changed; empty words are unknown. */
export interface Inventory {
  hostname: string
  os: string
  kernel: string
  arch: string
  cpu_model: string
  cores: number
  memory_bytes: number
  virtualization: string
  agent_version: string
  boot_time: string
  disks: { mount: string; device: string; fs: string }[]
}

export interface Disk {
  mount: string
  /** Device and kind stand in the inventory; the page joins them. */
  device?: string
  fs?: string
  total_bytes?: Value
  used_bytes?: Value
  free_bytes?: Value
  used_pct?: Value
  inodes_used_pct?: Value
}

export interface DiskIo {
  device: string
  read_bytes_per_s?: Value
  write_bytes_per_s?: Value
  reads_per_s?: Value
  writes_per_s?: Value
  read_latency_us?: Value
  write_latency_us?: Value
  busy_pct?: Value
}

export interface Network {
  interface: string
  rx_bytes_per_s?: Value
  tx_bytes_per_s?: Value
  rx_packets_per_s?: Value
  tx_packets_per_s?: Value
  rx_errors?: Value
  tx_errors?: Value
  rx_drops?: Value
  tx_drops?: Value
}

type Scalars = Record<string, Value>

export interface HostView {
  v: number
  team: string
  host: string
  shard: string
  /** Of the stream, for the whole fleet; `seq` counts the samples of one boot. */
  sequence: number
  boot: string
  seq: number
  time: string
  received: string
  interval_ms: number
  status: Status
  inventory: Inventory | null
  dropped_values: number
  lost_samples: number
  unreadable_samples: number
  cpu?: Scalars | null
  load?: Scalars | null
  memory?: Scalars | null
  swap?: Scalars | null
  processes?: Scalars | null
  pressure?: Scalars | null
  system?: Scalars | null
  cores: { core: string; usage_pct?: Value }[]
  disks: Disk[]
  disk_io: DiskIo[]
  networks: Network[]
  temperatures: { sensor: string; celsius?: Value }[]
  custom: { name: string; value: Value }[]
}

export type Labels = Record<string, string>

export interface HistorySeries {
  labels: Labels
  avg: (number | null)[]
  min?: (number | null)[]
  max?: (number | null)[]
}

/** A regular grid: value i stands at `start + i * step_s`; null is a gap. */
export interface History {
  host: string
  metric: string
  unit: string
  tier: string
  from: string
  to: string
  start: string
  step_s: number
  series: HistorySeries[]
}

export interface FleetHistory {
  metric: string
  unit: string
  tier: string
  from: string
  to: string
  start: string
  step_s: number
  hosts: Record<string, (number | null)[]>
}

export interface Metric {
  name: string
  unit: string
  kind: string
  description: string
  labels: string[]
  min: number
  max: number
}

export type PartState = 'ok' | 'behind' | 'down'

export interface Lag {
  processors: { name: string; state: PartState; lag_events: number; lag_s: number }[]
  history: { state: PartState; detail: string }
}

export interface System {
  version: string
  started: string
  parts: { name: string; version: string | null; state: PartState; detail: string }[]
  processors: Lag['processors']
  streams: { name: string; messages: number; bytes: number }[]
  parked: { total: number }
}

/** An answer that is not the wanted one: what the gateway said, and when to try again. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
    readonly retryAfter_s: number,
  ) {
    super(detail)
  }
}

/** When the gateway does not say how long to wait. */
const RETRY_S = 5

/** The words of a refused answer: problem+json where there is one. */
export async function refusal(response: Response): Promise<Refusal> {
  const problem = (await response.json().catch(() => null)) as { title?: string; detail?: string } | null
  const detail = problem?.detail || problem?.title || `The gateway answered ${response.status}`
  return new Refusal(response.status, detail, Number(response.headers.get('Retry-After')) || RETRY_S)
}

async function get<T>(path: string, params: Record<string, string>, signal?: AbortSignal): Promise<T> {
  const query = new URLSearchParams(params).toString()
  const response = await fetch(`/api/v1${path}${query && `?${query}`}`, signal ? { signal } : {}).catch((error) => {
    if (signal?.aborted) throw error
    throw new Refusal(0, 'The gateway does not answer', RETRY_S)
  })
  if (!response.ok) throw await refusal(response)
  return (await response.json()) as T
}

/** Times are RFC 3339 or relative to now (`-1h`, `now`); without `step` the gateway picks one. */
export function history(
  host: string,
  query: { metric: string; from: string; to: string; step?: string },
  signal: AbortSignal,
): Promise<History> {
  return get(`/hosts/${encodeURIComponent(host)}/history`, query, signal)
}

export function fleetHistory(metric: string, from: string, step: string, signal: AbortSignal): Promise<FleetHistory> {
  return get('/history', { metric, from, step }, signal)
}

export async function metrics(): Promise<Metric[]> {
  return (await get<{ items: Metric[] }>('/metrics', {})).items
}

export function system(signal: AbortSignal): Promise<System> {
  return get('/system', {}, signal)
}
