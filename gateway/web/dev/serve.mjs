//! For work on the page: serves dist/ and plays the gateway's API with invented hosts. Never part of the product.
//!
//! node dev/serve.mjs [--port 7181] [--hosts 100] [--silent 1] [--tick 5] [--history ok|down|none] [--lag SECONDS]

import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { cores, hostId, labelsOf, noise, summary, value, view } from './fleet.mjs'

const { values: args } = parseArgs({
  options: {
    port: { type: 'string', default: '7181' },
    hosts: { type: 'string', default: '100' },
    silent: { type: 'string', default: '1' },
    tick: { type: 'string', default: '5' },
    history: { type: 'string', default: 'ok' },
    lag: { type: 'string', default: '0' },
  },
})
const HOSTS = Number(args.hosts)
const SILENT = Number(args.silent)
const TICK_S = Number(args.tick)
const LAG_S = Number(args.lag)
const SILENT_FOR_S = 20 * 60
const SILENT_FIRST = 3
const DIST = fileURLToPath(new URL('../dist', import.meta.url))
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' }
const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
const started_s = Date.now() / 1000
const index = new Map(Array.from({ length: HOSTS }, (_, i) => [hostId(i), i]))
let sequence = 1000

const isSilent = (i) => i >= SILENT_FIRST % HOSTS && i < (SILENT_FIRST % HOSTS) + SILENT
const lag = () => ({
  processors: [
    { name: 'latest', state: 'ok', lag_events: 0, lag_s: 0 },
    { name: 'history', state: LAG_S || args.history === 'down' ? 'behind' : 'ok', lag_events: LAG_S * 200, lag_s: LAG_S },
  ],
  history: args.history === 'down' ? { state: 'down', detail: 'database restarting' } : { state: 'ok', detail: '' },
})
const render = (i, detail, t_s) => {
  const at_s = isSilent(i) ? started_s - SILENT_FOR_S : t_s
  return (detail === 'full' ? view : summary)(i, Math.floor(at_s), sequence, isSilent(i))
}
const send = (response, name, data) => response.write(`id: 1-${sequence}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`)

/** Each host reports in its own tenth of a second of the tick, so that events come evenly. */
function live(query, response) {
  const detail = query.get('detail') ?? 'summary'
  const wanted = query.get('hosts')?.split(',').flatMap((it) => index.get(it) ?? []) ?? [...index.values()]
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' })
  response.write('retry: 1000\n\n')
  const now_s = Date.now() / 1000
  send(response, 'snapshot', { hosts: wanted.map((i) => render(i, detail, now_s - (i % (TICK_S * 10)) / 10)), lag: lag() })
  let slot = Math.floor((Date.now() % (TICK_S * 1000)) / 100)
  const slots = TICK_S * 10
  const timer = setInterval(() => {
    const t_s = Date.now() / 1000
    slot = (slot + 1) % slots
    for (const i of wanted) {
      if (i % slots !== slot || isSilent(i)) continue
      sequence += 1
      send(response, 'host', render(i, detail, t_s))
    }
  }, 100)
  const alive = setInterval(() => (response.write(': alive\n\n'), send(response, 'lag', lag())), 10_000)
  response.on('close', () => (clearInterval(timer), clearInterval(alive)))
}

function json(response, status, body, headers = {}) {
  response.writeHead(status, { 'Content-Type': status < 400 ? 'application/json' : 'application/problem+json', ...headers })
  response.end(JSON.stringify(body))
}

const moment = (text, now_s) => {
  if (!text || text === 'now') return now_s
  const [, number, unit] = /^-(\d+)([smhd])$/.exec(text) ?? []
  return number ? now_s - number * { s: 1, m: 60, h: 3600, d: 86_400 }[unit] : Date.parse(text) / 1000
}

function window(query, least_s) {
  const now_s = Date.now() / 1000
  const from_s = moment(query.get('from') ?? '-1h', now_s)
  const to_s = moment(query.get('to'), now_s)
  const step_s = Number.parseInt(query.get('step') ?? '', 10) || Math.max(least_s, Math.ceil((to_s - from_s) / 1000 / 5) * 5)
  const first_s = Math.ceil(from_s / step_s) * step_s
  const times = []
  for (let t_s = first_s; t_s < Math.min(to_s, now_s); t_s += step_s) times.push(t_s)
  const iso = (t_s) => new Date(t_s * 1000).toISOString()
  return { times, head: { tier: 'raw', from: iso(from_s), to: iso(to_s), start: iso(first_s), step_s } }
}

/** A gap in every host's history, six minutes long, and the end of the silent ones. */
const at = (i, metric, label, t_s) => {
  const gap = t_s > started_s - 1500 && t_s < started_s - 1140 && i % 4 === 2
  return gap || (isSilent(i) && t_s > started_s - SILENT_FOR_S) ? null : value(i, metric, label, Math.floor(t_s))
}

function hostHistory(i, query) {
  const metric = query.get('metric') ?? ''
  const { times, head } = window(query, TICK_S)
  const series = labelsOf(i, metric).map((labels) => {
    const avg = times.map((t_s) => at(i, metric, Object.values(labels)[0] ?? '', t_s))
    const wide = head.step_s > TICK_S ? 0.12 : 0
    const spread = (sign) => avg.map((it, n) => (it === null ? null : Math.max(0, it + sign * it * wide * (0.4 + 0.6 * noise(i, times[n])))))
    const cap = metric.endsWith('_pct') ? 100 : Infinity
    return { labels, avg, min: spread(-1), max: spread(1).map((it) => (it === null ? null : Math.min(cap, it))) }
  })
  return { host: hostId(i), metric, unit: '', ...head, series }
}

const METRICS = [
  ['cpu.usage_pct', 'percent', 'Share of processor time that was not idle'],
  ['cpu.user_pct', 'percent', 'Share of processor time in programs'],
  ['cpu.iowait_pct', 'percent', 'Share of processor time idle while a disk was awaited'],
  ['cpu.context_switches_per_s', 'per_second', 'Context switches a second'],
  ['load.avg_1', 'count', 'Tasks running or waiting, mean over 1 minute'],
  ['memory.used_pct', 'percent', 'Share of memory that is not available'],
  ['memory.used_bytes', 'bytes', 'Memory that is not available'],
  ['processes.total', 'count', 'Processes'],
  ['system.uptime_s', 'seconds', 'Time since the host started'],
].map(([name, unit, description]) => ({ name, unit, kind: 'gauge', description, labels: [], min: 0, max: null }))

function system() {
  const state = args.history === 'down' ? 'down' : 'ok'
  return {
    version: '0.1.0', started: new Date(started_s * 1000).toISOString(), processors: lag().processors,
    parts: [
      { name: 'nats', version: '2.15.1', state: 'ok', detail: '' },
      { name: 'questdb', version: '9.3.4', state, detail: state === 'ok' ? '' : 'connection refused' },
    ],
    streams: [{ name: 'SAMPLES', messages: 1_204_331, bytes: 481_000_000 }, { name: 'JOURNAL', messages: 12, bytes: 9000 }],
    parked: { total: 3, by_reason: { 'bad checksum': 2, 'foreign host': 1 } },
  }
}

function api(path, query, response) {
  if (path === '/live') return live(query, response)
  if (path === '/metrics') return json(response, 200, { items: METRICS, next_page: null })
  if (path === '/system') return json(response, 200, system())
  if (path.endsWith('/history') && args.history === 'down') {
    return json(response, 503, { type: 'about:blank', title: 'History is away', status: 503, detail: 'database restarting' }, { 'Retry-After': '5' })
  }
  if (path === '/history') {
    const { times, head } = window(query, TICK_S)
    const hosts = args.history === 'none' ? [] : [...index]
    const rows = hosts.map(([id, i]) => [id, times.map((t_s) => at(i, 'cpu.usage_pct', '', t_s))])
    return json(response, 200, { metric: query.get('metric'), unit: 'percent', ...head, hosts: Object.fromEntries(rows) })
  }
  const i = index.get(decodeURIComponent(/^\/hosts\/([^/]+)\/history$/.exec(path)?.[1] ?? ''))
  if (i === undefined) return json(response, 404, { type: 'about:blank', title: 'Not found', status: 404, detail: 'no such host' })
  return json(response, 200, args.history === 'none' ? { ...hostHistory(i, query), series: [] } : hostHistory(i, query))
}

async function file(path, response) {
  const name = extname(path) ? normalize(path) : '/index.html'
  const body = await readFile(join(DIST, name)).catch(() => null)
  if (!body) return json(response, 404, { title: 'Not found', status: 404 })
  response.writeHead(200, { 'Content-Type': TYPES[extname(name)] ?? 'application/octet-stream', 'Content-Security-Policy': CSP })
  response.end(body)
}

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://127.0.0.1')
  if (url.pathname.startsWith('/api/v1/')) api(url.pathname.slice('/api/v1'.length), url.searchParams, response)
  else void file(url.pathname, response)
})
server.listen(Number(args.port), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port} · ${HOSTS} hosts, up to ${cores(4)} cores`))
