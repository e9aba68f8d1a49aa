//! A rule as one edits it, and as the gateway takes it. Pure.

import type { Rule, RuleScope, RuleState } from '../api.ts'

export interface Draft {
  name: string
  text: string
  where: 'all' | 'tags' | 'hosts'
  words: string
  receivers: string
  state: RuleState
}

export function draftOf(rule: Rule | null): Draft {
  const scope: RuleScope = rule?.scope ?? 'all'
  const [where, words] = scope === 'all' ? (['all', []] as const) : 'tags' in scope ? (['tags', scope.tags] as const) : (['hosts', scope.hosts] as const)
  return { name: rule?.name ?? '', text: rule?.text ?? '', where, words: words.join(', '), receivers: (rule?.receivers ?? []).join(', '), state: rule?.state ?? 'live' }
}

const list = (text: string): string[] => [...new Set(text.split(/[\s,]+/).filter(Boolean))]

/** What is sent; an escalation policy stays as it was. */
export function bodyOf(draft: Draft, rule: Rule | null) {
  const words = list(draft.words)
  const scope: RuleScope = draft.where === 'all' ? 'all' : draft.where === 'tags' ? { tags: words } : { hosts: words }
  return { name: draft.name.trim(), text: draft.text.trim(), scope, receivers: list(draft.receivers), state: draft.state, policy: rule?.policy ?? [] }
}

export function scopeWord(scope: RuleScope): string {
  if (scope === 'all') return 'every host'
  const [kind, words] = 'tags' in scope ? ['tagged', scope.tags] : ['', scope.hosts]
  return words.length ? `${kind} ${words.join(', ')}`.trim() : 'no host'
}

/** One click each; nothing is on before it was chosen. */
export const OFFERS = [
  { name: 'CPU', text: 'cpu.usage_pct > 90 for 5m clear < 80 keep 1m' },
  { name: 'Memory', text: 'memory.used_pct > 90 for 5m clear < 85 keep 1m' },
  { name: 'Disk', text: 'disk.used_pct > 85 for 5m clear < 80 critical when disk.used_pct > 95' },
  { name: 'Swap', text: 'swap.used_pct > 80 for 10m clear < 70' },
  { name: 'Load', text: 'load.avg_5 > 16 for 10m clear < 12' },
  { name: 'Temperature', text: 'temp.celsius > 85 for 2m clear < 75' },
]
