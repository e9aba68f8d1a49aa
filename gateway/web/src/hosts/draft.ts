//! A host's settings as one types them, and as the API takes them. Pure.

import type { Collector, HostSettings } from '../api.ts'

const INTERVAL_S_DEFAULT = 5
const INTERVAL_S_MIN = 1
const INTERVAL_S_MAX = 3600

/** Every collector, with what it brings. */
export const COLLECTORS: Record<Collector, string> = {
  cpu: 'CPU', cores: 'each core', load: 'load', memory: 'memory', swap: 'swap', disks: 'file systems', disk_io: 'disk I/O',
  networks: 'network', temperatures: 'temperatures', processes: 'processes', pressure: 'pressure', system: 'uptime',
}

export interface Draft {
  name: string
  /** Separated by blanks or commas. */
  tags: string
  interval_s: string
  /** One a line. */
  mounts: string
  without: Collector[]
  paused: boolean
}

export const EMPTY: Draft = { name: '', tags: '', interval_s: String(INTERVAL_S_DEFAULT), mounts: '', without: [], paused: false }

export type Sent = Pick<HostSettings, 'name' | 'tags' | 'interval_ms' | 'mounts' | 'without' | 'paused'>

export function draftOf(settings: Sent): Draft {
  return {
    name: settings.name,
    tags: settings.tags.join(' '),
    interval_s: String(settings.interval_ms / 1000),
    mounts: settings.mounts.join('\n'),
    without: [...settings.without].sort(),
    paused: settings.paused,
  }
}

const words = (text: string, between: RegExp): string[] => [...new Set(text.split(between).map((it) => it.trim()).filter(Boolean))]

/** What is sent for a draft; what is wrong in it and only this page can see, by field. */
export function sent(draft: Draft): { value: Sent; mistakes: Record<string, string> } {
  const interval_s = Number(draft.interval_s.replace(',', '.'))
  const mistakes: Record<string, string> = {}
  if (!draft.name.trim()) mistakes.name = 'A name, please.'
  if (!draft.interval_s.trim() || !Number.isFinite(interval_s) || interval_s < INTERVAL_S_MIN || interval_s > INTERVAL_S_MAX) mistakes.interval_ms = `A number of seconds from ${INTERVAL_S_MIN} to ${INTERVAL_S_MAX}.`
  const value = {
    name: draft.name.trim(),
    tags: words(draft.tags, /[\s,]+/),
    interval_ms: Math.round(interval_s * 1000),
    mounts: words(draft.mounts, /\n/),
    without: [...draft.without].sort(),
    paused: draft.paused,
  }
  return { value, mistakes }
}

/** Where two drafts differ, in words, for somebody who has to choose. */
export function differences(mine: Draft, newest: Draft): { label: string; mine: string; newest: string }[] {
  const lines: { label: string; word: (draft: Draft) => string }[] = [
    { label: 'Name', word: (it) => it.name.trim() },
    { label: 'Tags', word: (it) => words(it.tags, /[\s,]+/).sort().join(' ') || 'none' },
    { label: 'Interval', word: (it) => `${Number(it.interval_s)} s` },
    { label: 'File systems', word: (it) => words(it.mounts, /\n/).sort().join(', ') || 'all' },
    { label: 'Switched off', word: (it) => [...it.without].sort().map((one) => COLLECTORS[one]).join(', ') || 'nothing' },
    { label: 'Watching', word: (it) => (it.paused ? 'paused' : 'on') },
  ]
  return lines.map(({ label, word }) => ({ label, mine: word(mine), newest: word(newest) })).filter((it) => it.mine !== it.newest)
}
