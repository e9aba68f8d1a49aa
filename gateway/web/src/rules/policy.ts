//! An escalation policy as one edits it, and in words. Pure.

import type { Step } from '../api.ts'
import { span } from '../format.ts'

export interface StepDraft {
  /** Their ids. */
  receivers: string[]
  /** How long they have, in minutes. */
  wait_min: string
}

export const STEPS_MAX = 5
const MINUTE_MS = 60_000

export const policyDraft = (policy: Step[]): StepDraft[] => policy.map((step) => ({ receivers: [...step.receivers], wait_min: String(step.wait_ms / MINUTE_MS) }))

/** What is sent; lines without a receiver are none. */
export function policyOf(drafts: StepDraft[]): Step[] {
  const filled = drafts.filter((step) => step.receivers.length)
  return filled.map((step) => ({ receivers: [...step.receivers], wait_ms: Math.round((Number(step.wait_min.replace(',', '.')) || 0) * MINUTE_MS) }))
}

/** `ops at once; boss 10 min later, while nobody looks after it`. */
export function policyWords(policy: Step[], name: (id: string) => string = (id) => id): string {
  const words = policy.map((step, i) => {
    const who = step.receivers.map(name).join(', ')
    const before = policy[i - 1]
    return before ? `${who} ${span(before.wait_ms / 1000)} later` : `${who} at once`
  })
  return words.length > 1 ? `${words.join('; ')}, while nobody looks after it` : words.join('')
}
