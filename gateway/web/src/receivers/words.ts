//! How receivers and what they were told are put into words. Pure.

import type { Channel, ChannelType, NamedBy, Severity, Notice, NoticeAttempt, Receiver } from '../api.ts'
import { span } from '../format.ts'

export const CHANNELS: { value: ChannelType; word: string; about: string }[] = [
  { value: 'telegram', word: 'Telegram', about: 'a chat with a bot: buttons to act, questions to ask' },
  { value: 'email', word: 'E-mail', about: 'by your mail server' },
  { value: 'webhook', word: 'Webhook', about: 'a signed message to a program of yours' },
  { value: 'ntfy', word: 'ntfy', about: 'a topic that phones and browsers follow' },
  { value: 'chatroom', word: 'Chat room', about: 'Slack, Mattermost, Rocket.Chat or Discord' },
]

export const HEARS: { value: Severity; word: string; about: string }[] = [
  { value: 'info', word: 'Everything', about: '' },
  { value: 'warning', word: 'Warnings and critical alerts', about: '' },
  { value: 'critical', word: 'Critical alerts', about: 'also those that become critical' },
]

export function channelWord(type: ChannelType): string {
  return CHANNELS.find((it) => it.value === type)?.word ?? type
}

/** Where it goes, as far as it may be shown. */
export function whereWords(channel: Channel): string {
  switch (channel.type) {
    case 'telegram':
      return ''
    case 'email':
      return `${channel.to.join(', ')} by ${channel.server}`
    case 'webhook':
      return channel.host
    case 'ntfy':
      return `${channel.topic} on ${channel.server.replace(/^https:\/\//, '')}`
    case 'chatroom':
      return channel.host
  }
}

export type StateKind = 'arrives' | 'refused' | 'failed' | 'unlinked' | 'untried'

/** How a receiver does: in a word, and why. */
export function stateOf(receiver: Pick<Receiver, 'channel' | 'chat' | 'failure' | 'last'>): { kind: StateKind; word: string; why: string } {
  if (receiver.channel.type === 'telegram' && !receiver.chat) return { kind: 'unlinked', word: 'not linked', why: 'no chat is linked to it yet' }
  if (receiver.failure) return { kind: 'refused', word: 'refused', why: receiver.failure.answer }
  if (!receiver.last) return { kind: 'untried', word: 'never tried', why: 'send a test to see whether it arrives' }
  if (receiver.last.state === 'failed') return { kind: 'failed', word: 'the last one failed', why: receiver.last.detail ?? '' }
  return { kind: 'arrives', word: 'arrives', why: '' }
}

const many = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`

/** `the defaults and 2 rules`; empty where nobody names it. */
export function namedWords(named: NamedBy): string {
  return [named.defaults ? 'the defaults' : '', named.rule_count ? many(named.rule_count, 'rule') : ''].filter(Boolean).join(' and ')
}

const NOTICES: Record<string, string> = { firing: 'firing', level_up: 'worse', reminder: 'reminder', escalated: 'escalated', resolved: 'resolved', flapping: 'comes and goes', steady: 'calm again' }

/** What it says. */
export function noticeWord(notice: Pick<Notice, 'test' | 'notice' | 'n'>): string {
  const word = notice.test ? 'test' : (NOTICES[notice.notice ?? ''] ?? notice.notice ?? '')
  return notice.n > 1 ? `${word} ${notice.n}` : word
}

const STATES: Record<Notice['state'], { mark: string; word: string }> = {
  waiting: { mark: '…', word: 'waiting' },
  shadow: { mark: '○', word: 'recorded only: the rule is in shadow' },
  delivered: { mark: '✓', word: 'delivered' },
  merged: { mark: '✓', word: 'told with another' },
  superseded: { mark: '–', word: 'needless by then' },
  failed: { mark: '■', word: 'failed' },
}

/** What became of it, with a mark that needs no colour. */
export function outcome(notice: Pick<Notice, 'state'>): { mark: string; word: string } {
  return STATES[notice.state]
}

/** Between its decision and its end: `in 2 s`. */
export function took(notice: Pick<Notice, 'time' | 'ended'>): string {
  return notice.ended ? `after ${span(Math.max(0, Date.parse(notice.ended) - Date.parse(notice.time)) / 1000)}` : ''
}

const ANSWERS: Record<NonNullable<NoticeAttempt['answer']>, string> = { delivered: 'taken', not_now: 'not now', unknown: 'no clear answer', refused: 'refused' }

/** One try in words: `not now: 429 Too Many Requests, again in 30 s`. */
export function attemptWords(attempt: NoticeAttempt): string {
  const word = attempt.answer ? ANSWERS[attempt.answer] : 'no answer yet'
  const told = attempt.detail ? `${word}: ${attempt.detail}` : word
  const again = attempt.retry_after_ms ? `, again in ${span(attempt.retry_after_ms / 1000)}` : ''
  const others = attempt.told > 1 ? `, one message for ${attempt.told} notices` : ''
  return `${told}${again}${others}${attempt.possible_repeat ? ', marked as a possible repeat' : ''}`
}

/** The name of a receiver; its id where it is not there any more. */
export function nameIn(all: Pick<Receiver, 'id' | 'name'>[] | null | undefined): (id: string) => string {
  const names = new Map((all ?? []).map((it) => [it.id, it.name]))
  return (id) => names.get(id) ?? (all ? `${id} (removed)` : id)
}
