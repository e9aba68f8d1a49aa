//! A rule as one edits it, and as the gateway takes it. Pure.

import type { Rule, RuleScope, RuleState } from '../api.ts'
import { policyDraft, policyOf, type StepDraft } from './policy.ts'

/** Where one goes from rules to who hears. */
export const RULE_PARTS = [
  { href: '/rules', word: 'Rules' },
  { href: '/receivers', word: 'Receivers' },
  { href: '/who-hears', word: 'Who hears' },
]

export interface Draft {
  name: string
  text: string
  where: 'all' | 'tags' | 'hosts'
  words: string
  /** Their ids. */
  receivers: string[]
  steps: StepDraft[]
  state: RuleState
}

export function draftOf(rule: Rule | null): Draft {
  const scope: RuleScope = rule?.scope ?? 'all'
  const [where, words] = scope === 'all' ? (['all', []] as const) : 'tags' in scope ? (['tags', scope.tags] as const) : (['hosts', scope.hosts] as const)
  return { name: rule?.name ?? '', text: rule?.text ?? '', where, words: words.join(', '), receivers: [...(rule?.receivers ?? [])], steps: policyDraft(rule?.policy ?? []), state: rule?.state ?? 'live' }
}

const list = (text: string): string[] => [...new Set(text.split(/[\s,]+/).filter(Boolean))]

/** What is sent. */
export function bodyOf(draft: Draft) {
  const words = list(draft.words)
  const scope: RuleScope = draft.where === 'all' ? 'all' : draft.where === 'tags' ? { tags: words } : { hosts: words }
  return { name: draft.name.trim(), text: draft.text.trim(), scope, receivers: [...draft.receivers], state: draft.state, policy: policyOf(draft.steps) }
}

export function scopeWord(scope: RuleScope): string {
  if (scope === 'all') return 'every host'
  const [kind, words] = 'tags' in scope ? ['tagged', scope.tags] : ['', scope.hosts]
  return words.length ? `${kind} ${words.join(', ')}`.trim() : 'no host'
}

/** One click each; nothing is on before it was chosen. */
export const OFFERS = [
  { name: 'CPU', about: 'above 90 % for 5 min; over below 80 %', text: 'cpu.usage_pct > 90 for 5m clear < 80 keep 1m' },
  { name: 'Memory', about: 'above 90 % for 5 min; over below 85 %', text: 'memory.used_pct > 90 for 5m clear < 85 keep 1m' },
  { name: 'Disk', about: 'each mount by itself: above 85 % for 5 min, critical above 95 %', text: 'disk.used_pct > 85 for 5m clear < 80 critical when disk.used_pct > 95' },
  { name: 'Swap', about: 'above 80 % for 10 min; over below 70 %', text: 'swap.used_pct > 80 for 10m clear < 70' },
  { name: 'Load beyond the cores', about: 'tasks wait for a processor half of the time, however many cores there are', text: 'avg(pressure.cpu_pct, 5m) > 50 for 5m clear avg(pressure.cpu_pct, 5m) < 30' },
  { name: 'Temperature', about: 'a sensor above 85 °C for 2 min; over below 75 °C', text: 'temp.celsius > 85 for 2m clear < 75' },
]
