//! What a change of a rule changed, line by line. Pure.

import type { RuleThen } from '../api.ts'
import { scopeWord } from './draft.ts'
import { policyWords } from './policy.ts'

export interface Difference {
  field: string
  before: string
  after: string
}

type Name = (id: string) => string

const LINES: { field: string; word: (rule: RuleThen, name: Name) => string }[] = [
  { field: 'Name', word: (rule) => rule.name },
  { field: 'When', word: (rule) => rule.text },
  { field: 'Where', word: (rule) => scopeWord(rule.scope) },
  { field: 'Receivers', word: (rule, name) => rule.receivers.map(name).join(', ') || "the team's default" },
  { field: 'Escalation', word: (rule, name) => policyWords(rule.policy, name) || "the team's policy" },
  { field: 'State', word: (rule) => (rule.state === 'disabled' ? 'off' : rule.state) },
]

/** Where two revisions differ; all of it where one side is not there. */
export function differences(before: RuleThen | null, after: RuleThen | null, name: Name = (id) => id): Difference[] {
  const lines = LINES.map(({ field, word }) => ({ field, before: before ? word(before, name) : '', after: after ? word(after, name) : '' }))
  return lines.filter((line) => line.before !== line.after)
}

export interface Piece {
  text: string
  changed: boolean
}

/** The words of one side, those that the other has not marked: what both begin and end with is the same. */
export function pieces(text: string, other: string): Piece[] {
  const [mine, theirs] = [text.split(/(?<=\s)/), other.split(/(?<=\s)/)]
  const same = (a: string | undefined, b: string | undefined): boolean => a?.trim() === b?.trim()
  let head = 0
  while (head < Math.min(mine.length, theirs.length) && same(mine[head], theirs[head])) head += 1
  let tail = 0
  while (tail < Math.min(mine.length, theirs.length) - head && same(mine.at(-1 - tail), theirs.at(-1 - tail))) tail += 1
  const cut = (from: number, to: number): string => mine.slice(from, to).join('')
  const all = [
    { text: cut(0, head), changed: false },
    { text: cut(head, mine.length - tail), changed: true },
    { text: cut(mine.length - tail, mine.length), changed: false },
  ]
  return all.filter((piece) => piece.text)
}
