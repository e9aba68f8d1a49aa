//! Numbers and times as people read them: two or three significant digits, the unit once, `–` for unknown.

export const UNKNOWN = '–'

type Maybe = number | null | undefined

const known = (value: Maybe): value is number => typeof value === 'number' && Number.isFinite(value)

/** Two or three significant digits: 0.57, 5.80, 41.2, 1204. */
export function digits(value: Maybe): string {
  if (!known(value)) return UNKNOWN
  const size = Math.abs(value)
  if (size === 0) return '0'
  if (size < 9.995) return value.toFixed(2)
  if (size < 99.95) return value.toFixed(1)
  return Math.round(value).toString()
}

/** `41 %`; below ten one decimal, so that a quiet host does not stand still. */
export function percent(value: Maybe): string {
  if (!known(value)) return UNKNOWN
  return `${value < 9.95 && value > 0 ? value.toFixed(1) : Math.round(value)} %`
}

const DECIMAL = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

function scaled(value: number, base: number, units: readonly string[]): string {
  let rest = value
  let power = 0
  while (Math.abs(rest) >= base * 0.9995 && power < units.length - 1) {
    rest /= base
    power += 1
  }
  const text = power === 0 || Math.abs(rest) >= 99.95 ? Math.round(rest).toString() : rest.toFixed(1)
  return `${text} ${units[power]}`
}

/** An amount: `62.8 GiB`. */
export function bytes(value: Maybe): string {
  return known(value) ? scaled(value, 1024, BINARY) : UNKNOWN
}

/** An amount in passing, where nothing lines up: `64 GiB`. */
export function bytesInWords(value: Maybe): string {
  return bytes(value).replace('.0 ', ' ')
}

/** A speed: `24.6 MB/s`. */
export function bytesPerSecond(value: Maybe): string {
  return known(value) ? `${scaled(value, 1000, DECIMAL)}/s` : UNKNOWN
}

/** A count: `1 204`, `3.1 M`. */
export function count(value: Maybe): string {
  if (!known(value)) return UNKNOWN
  if (Math.abs(value) < 10) return Number.isInteger(value) ? value.toString() : value.toFixed(1)
  if (Math.abs(value) < 100_000) return Math.round(value).toLocaleString('en').replaceAll(',', '\u202f')
  return scaled(value, 1000, ['', 'k', 'M', 'G', 'T']).trim()
}

/** How long ago or how long since, coarsely: `3 s`, `20 min`, `5 h`, `41 days`. */
export function span(seconds: Maybe): string {
  if (!known(seconds)) return UNKNOWN
  const s = Math.max(0, seconds)
  if (s < 90) return `${Math.round(s)} s`
  if (s < 90 * 60) return `${Math.round(s / 60)} min`
  if (s < 36 * 3600) return `${Math.round(s / 3600)} h`
  return `${Math.round(s / 86_400)} days`
}

/** `Debian 12` of `Debian GNU/Linux 12 (bookworm)`: the first word and the version. */
export function shortSystem(name: string): string {
  const [first = ''] = name.split(/[\s/]/)
  const [version] = /\d+(\.\d+)?/.exec(name) ?? []
  return version ? `${first} ${version}` : first
}

/** A value by the unit of the catalogue. */
export function quantity(value: Maybe, unit: string): string {
  switch (unit) {
    case 'percent':
      return percent(value)
    case 'bytes':
      return bytes(value)
    case 'bytes_per_second':
      return bytesPerSecond(value)
    case 'celsius':
      return known(value) ? `${digits(value)} °C` : UNKNOWN
    case 'megahertz':
      return known(value) ? `${count(value)} MHz` : UNKNOWN
    case 'seconds':
      return span(value)
    case 'per_second':
      return known(value) ? `${count(value)}/s` : UNKNOWN
    case 'microseconds':
      return known(value) ? `${count(value)} µs` : UNKNOWN
    default:
      return Number.isInteger(value) ? count(value) : digits(value)
  }
}

const pad = (value: number): string => value.toString().padStart(2, '0')

/** Wall clock of the reader: `03:02`, with seconds on request. */
export function clockTime(ms: number, seconds = false): string {
  const date = new Date(ms)
  return `${pad(date.getHours())}:${pad(date.getMinutes())}${seconds ? `:${pad(date.getSeconds())}` : ''}`
}

/** `03:02` today, `yesterday 03:02`, else the day. */
export function since(ms: number, now_ms: number): string {
  const days = Math.round((new Date(now_ms).setHours(0, 0, 0, 0) - new Date(ms).setHours(0, 0, 0, 0)) / 86_400_000)
  if (days <= 0) return clockTime(ms)
  if (days === 1) return `yesterday ${clockTime(ms)}`
  return `${new Date(ms).toLocaleDateString('en', { day: 'numeric', month: 'short' })} ${clockTime(ms)}`
}
