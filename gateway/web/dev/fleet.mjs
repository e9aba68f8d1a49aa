//! Invented hosts for work on the page: every value is a function of (host, second), no truth in it.

const ROLES = ['db-primary', 'api', 'cache', 'edge-tromso', 'build', 'mail', 'queue', 'web', 'metrics', 'db-replica']
const SYSTEMS = ['Debian GNU/Linux 12', 'Ubuntu 24.04.1 LTS', 'Rocky Linux 9.4', 'Alpine Linux 3.20']
const GIB = 1024 ** 3

/** 0..1, always the same for the same two numbers. */
export function noise(a, b) {
  let x = Math.imul(a + 1, 0x9e3779b1) ^ Math.imul(b + 7, 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 15), 0xc2b2ae35)
  return ((x ^ (x >>> 13)) >>> 0) / 2 ** 32
}

/** Slow waves and a little noise between 0 and 1. */
function wave(seed, t_s) {
  const phase = noise(seed, 1) * 6.28
  const slow = Math.sin(t_s / (400 + 900 * noise(seed, 2)) + phase)
  const quick = Math.sin(t_s / (40 + 50 * noise(seed, 3)) + phase * 2)
  return Math.min(1, Math.max(0, 0.5 + 0.28 * slow + 0.1 * quick + 0.16 * (noise(seed, t_s | 0) - 0.5)))
}

const round = (value, places = 1) => Math.round(value * 10 ** places) / 10 ** places

export function hostId(i) {
  return `${ROLES[i % ROLES.length]}-${Math.floor(i / ROLES.length) + 1}`
}

export const cores = (i) => [2, 4, 8, 16, 64][i % 5]
const memory = (i) => cores(i) * 4 * GIB
const busy = (i) => (i % 41 === 1 ? 0.94 : 0.04 + 0.4 * noise(i, 11))

/** One scalar of the catalogue at a second. */
export function value(i, metric, label, t_s) {
  const seed = i * 131 + [...(metric + label)].reduce((sum, it) => (sum * 31 + it.charCodeAt(0)) | 0, 7)
  const w = wave(seed, t_s)
  const [group, field] = metric.split('.')
  if (metric === 'cpu.usage_pct' || metric === 'core.usage_pct') return round(Math.min(100, 100 * busy(i) * (0.5 + w)))
  if (metric === 'memory.used_pct') return round(28 + 50 * noise(i, 12) + 8 * w)
  if (metric === 'swap.used_pct') return round(10 * noise(i, 13) + 3 * w)
  if (metric === 'disk.used_pct') return round(i % 37 === 0 && label === '/' ? 95.2 + w : 15 + 60 * noise(seed, 14) + w)
  if (group === 'load') return round(cores(i) * busy(i) * (0.6 + 0.8 * w), 2)
  if (group === 'temp') return round(38 + 20 * busy(i) + 10 * w + 12 * noise(seed, 15))
  if (field?.endsWith('bytes_per_s')) return Math.round(10 ** (4 + 3.5 * noise(seed, 16)) * (0.3 + w))
  if (field?.endsWith('_per_s')) return Math.round(900 * w * (1 + 4 * noise(seed, 17)))
  if (field?.endsWith('_pct')) return round(20 * w * noise(seed, 18))
  return round(1000 * w, 0)
}

const label = { core: 'core', disk: 'mount', disk_io: 'device', net: 'interface', temp: 'sensor' }

/** The labels of a metric's series on a host. */
export function labelsOf(i, metric) {
  const group = metric.split('.')[0]
  if (!label[group]) return [{}]
  const lists = {
    core: Array.from({ length: cores(i) }, (_, n) => String(n)),
    disk: ['/', '/var/lib/data', '/boot'].slice(0, 1 + (i % 3)),
    disk_io: ['nvme0n1', 'sda'].slice(0, 1 + (i % 2)),
    net: ['eth0', 'lo', 'wg0'].slice(0, 2 + (i % 2)),
    temp: ['coretemp Package id 0', 'nvme Composite', 'acpitz'].slice(0, 1 + (i % 3)),
  }
  return lists[group].map((it) => ({ [label[group]]: it }))
}

function rows(i, metrics, t_s) {
  return labelsOf(i, metrics[0]).map((labels) => ({
    ...labels,
    ...Object.fromEntries(metrics.map((metric) => [metric.split('.')[1], value(i, metric, Object.values(labels)[0], t_s)])),
  }))
}

export function summary(i, t_s, sequence, silent) {
  const id = hostId(i)
  const fullest = labelsOf(i, 'disk.used_pct')
    .map(({ mount }) => ({ mount, used: value(i, 'disk.used_pct', mount, t_s) }))
    .sort((a, b) => b.used - a.used)[0]
  const net = (field) => labelsOf(i, 'net.x').reduce((sum, it) => sum + value(i, `net.${field}`, it.interface, t_s), 0)
  const time = new Date(t_s * 1000).toISOString()
  return {
    host: id, name: `${id}.example`, status: silent ? 'silent' : 'fine', sequence, time, received: time, interval_ms: 5000,
    os: SYSTEMS[i % 4], cores: cores(i), uptime_s: Math.round(1e5 + 5e6 * noise(i, 20)),
    cpu_usage_pct: value(i, 'cpu.usage_pct', '', t_s), memory_used_pct: value(i, 'memory.used_pct', '', t_s),
    swap_used_pct: i % 6 === 0 ? null : value(i, 'swap.used_pct', '', t_s), disk_used_pct: fullest.used, disk_mount: fullest.mount,
    net_rx_bytes_per_s: net('rx_bytes_per_s'), net_tx_bytes_per_s: net('tx_bytes_per_s'),
    load_1: value(i, 'load.avg_1', '', t_s), temp_max_celsius: i % 6 === 0 ? null : value(i, 'temp.celsius', 'coretemp Package id 0', t_s),
  }
}

export function view(i, t_s, sequence, silent) {
  const id = hostId(i)
  const at = (metric) => value(i, metric, '', t_s)
  const time = new Date(t_s * 1000).toISOString()
  const usedMemory = at('memory.used_pct')
  return {
    v: 1, team: 'default', host: id, shard: 7, sequence, boot: 'aa', seq: sequence, time, received: time, interval_ms: 5000,
    status: silent ? 'silent' : 'fine', dropped_values: i % 50 === 3 ? 2 : 0, lost_samples: i % 50 === 3 ? 17 : 0,
    inventory: {
      hostname: `${id}.example`, os: SYSTEMS[i % 4], kernel: '6.1.0-28-amd64', arch: 'x86_64', cpu_model: 'AMD EPYC 7302P 16-Core Processor',
      cores: cores(i), memory_bytes: memory(i), virtualization: null, agent_version: '0.1.0', boot_time: time,
    },
    cpu: {
      usage_pct: at('cpu.usage_pct'), user_pct: at('cpu.user_pct'), system_pct: at('cpu.system_pct'), iowait_pct: at('cpu.iowait_pct'),
      steal_pct: 0, nice_pct: 0, irq_pct: 0.1, frequency_mhz: i % 2 ? null : 3000, context_switches_per_s: 4210, interrupts_per_s: 1830,
    },
    cores: rows(i, ['core.usage_pct'], t_s), load: { avg_1: at('load.avg_1'), avg_5: at('load.avg_5'), avg_15: at('load.avg_15') },
    memory: { total_bytes: memory(i), used_pct: usedMemory, used_bytes: (memory(i) * usedMemory) / 100, available_bytes: memory(i) * (1 - usedMemory / 100), cached_bytes: 2 * GIB, buffers_bytes: GIB / 4 },
    swap: i % 6 === 0 ? null : { total_bytes: 4 * GIB, used_bytes: GIB / 4, used_pct: at('swap.used_pct') },
    disks: rows(i, ['disk.used_pct', 'disk.inodes_used_pct'], t_s).map((it) => ({
      ...it, device: '/dev/nvme0n1p2', fs: 'ext4', total_bytes: 400 * GIB, used_bytes: 4 * GIB * it.used_pct, free_bytes: 4 * GIB * (100 - it.used_pct),
    })),
    disk_io: rows(i, ['disk_io.read_bytes_per_s', 'disk_io.write_bytes_per_s', 'disk_io.reads_per_s', 'disk_io.writes_per_s', 'disk_io.busy_pct'], t_s),
    networks: rows(i, ['net.rx_bytes_per_s', 'net.tx_bytes_per_s', 'net.rx_packets_per_s', 'net.tx_packets_per_s'], t_s).map((it) => ({
      ...it, rx_errors: 0, tx_errors: 0, rx_drops: 3, tx_drops: 0,
    })),
    temperatures: i % 6 === 0 ? [] : rows(i, ['temp.celsius'], t_s), processes: { total: 214, running: 2, blocked: 0 }, pressure: null,
    system: { uptime_s: Math.round(1e5 + 5e6 * noise(i, 20)) }, custom: i % 2 ? [{ name: 'custom.queue_depth', value: 42 }] : [],
  }
}
