//! Which charts a host has, in their order: what it reports decides. Pure.

import type { HostView, Labels } from '../api.ts'
import { bytesInWords } from '../format.ts'
import { seriesKey } from './readings.ts'

export interface Line {
  key: string
  metric: string
  name: string
}

export interface Chart {
  id: string
  title: string
  unit: string
  /** 0–100, from zero to what is needed, or around the values. */
  scale: 'percent' | 'zero' | 'fit'
  lines: Line[]
  /** What stands beside the newest value. */
  beside: string
  peak: boolean
  /** Names of lines stand in a list below, not in the heading. */
  listed?: boolean
}

/** So many lines can still be told apart in one chart. */
const LINES_MAX = 6

export const CORE_METRIC = 'core.usage_pct'

/** What the charts ask history for; cores only when somebody opens them. */
export const CHART_METRICS = [
  'cpu.usage_pct',
  'memory.used_pct',
  'disk.used_pct',
  'load.avg_1',
  'net.rx_bytes_per_s',
  'net.tx_bytes_per_s',
  'disk_io.read_bytes_per_s',
  'disk_io.write_bytes_per_s',
  'swap.used_pct',
  'temp.celsius',
]

const line = (metric: string, labels: Labels, name = ''): Line => ({ key: seriesKey(metric, labels), metric, name })

function scalar(id: string, title: string, metric: string, rest: Partial<Chart>): Chart {
  return { id, title, unit: 'percent', scale: 'percent', lines: [line(metric, {})], beside: '', peak: false, ...rest }
}

function disks(view: HostView): Chart[] {
  return view.disks.map((disk) => ({
    id: `disk ${disk.mount}`,
    title: `Disk ${disk.mount}`,
    unit: 'percent',
    scale: 'percent',
    lines: [line('disk.used_pct', { mount: disk.mount })],
    beside: typeof disk.free_bytes === 'number' ? `${bytesInWords(disk.free_bytes)} free` : '',
    peak: false,
  }))
}

function diskIo(view: HostView): Chart[] {
  return view.disk_io.map(({ device }) => ({
    id: `disk_io ${device}`,
    title: `I/O ${device}`,
    unit: 'bytes_per_second',
    scale: 'zero',
    lines: [line('disk_io.read_bytes_per_s', { device }, 'read'), line('disk_io.write_bytes_per_s', { device }, 'write')],
    beside: '',
    peak: false,
  }))
}

function networks(view: HostView): Chart[] {
  return view.networks.map(({ interface: name }) => ({
    id: `net ${name}`,
    title: `Network ${name}`,
    unit: 'bytes_per_second',
    scale: 'zero',
    lines: [line('net.rx_bytes_per_s', { interface: name }, '↓'), line('net.tx_bytes_per_s', { interface: name }, '↑')],
    beside: '',
    peak: false,
  }))
}

function temperatures(view: HostView): Chart[] {
  const sensors = view.temperatures.map((it) => it.sensor)
  const charts: Chart[] = []
  for (let from = 0; from < sensors.length; from += LINES_MAX) {
    charts.push({
      id: `temp ${from}`,
      title: from === 0 ? 'Temperature' : `Temperature ${from / LINES_MAX + 1}`,
      unit: 'celsius',
      scale: 'fit',
      lines: sensors.slice(from, from + LINES_MAX).map((sensor) => line('temp.celsius', { sensor }, sensor)),
      beside: '',
      peak: false,
      listed: true,
    })
  }
  return charts
}

/** Of an arranged view: the first of each kind come first, the rest after them; `rest` may stay folded. */
export function chartsOf(view: HostView): { first: Chart[]; rest: Chart[] } {
  const memory = view.memory?.total_bytes
  const cores = view.inventory?.cores ?? view.cores.length
  const swap = (view.swap?.total_bytes ?? 0) > 0
  const [disk, io, net, temp] = [disks(view), diskIo(view), networks(view), temperatures(view)]
  const first = [
    scalar('cpu', 'CPU', 'cpu.usage_pct', { peak: true }),
    scalar('memory', 'Memory', 'memory.used_pct', { beside: typeof memory === 'number' ? `of ${bytesInWords(memory)}` : '' }),
    ...disk.slice(0, 2),
    ...io.slice(0, 1),
    ...net.slice(0, 1),
    scalar('load', 'Load', 'load.avg_1', { unit: 'count', scale: 'zero', beside: cores ? `over ${cores} ${cores === 1 ? 'core' : 'cores'}` : '' }),
    ...temp.slice(0, 1),
    ...(swap ? [scalar('swap', 'Swap', 'swap.used_pct', {})] : []),
  ]
  return { first, rest: [...disk.slice(2), ...io.slice(1), ...net.slice(1), ...temp.slice(1)] }
}
