//! What the audit tells, in words. Pure.

import type { Action } from '../api.ts'

/** By action, as in a sentence after the name of whoever did it. */
export const DEEDS: Record<Action, string> = {
  set_up: 'set up Watchkeeper',
  log_in: 'logged in',
  log_out: 'logged out',
  register: 'registered',
  token_reuse: 'an old refresh token came again',
  session_end: 'ended a session',
  password_change: 'changed the password',
  user_change: 'changed their account',
  token_create: 'made an API token',
  token_delete: 'took back an API token',
  refused: 'was refused',
  team_create: 'made the team',
  team_change: 'changed the team',
  team_delete: 'deleted the team',
  invite: 'invited somebody',
  invitation_delete: 'took back an invitation',
  invitation_accept: 'accepted an invitation',
  member_change: 'changed a role',
  member_delete: 'removed a member',
  host_create: 'added a host',
  host_change: 'changed a host',
  host_delete: 'deleted a host',
  enrolment_create: 'made an enrolment command',
  enrol: 'enrolled an agent',
  enrolment_end: 'took back an unused credential',
  credential_renew: 'renewed a credential',
  reader_create: 'made a reader credential',
  reader_delete: 'revoked a reader credential',
  rule_create: 'made an alert rule',
  rule_change: 'changed an alert rule',
  rule_delete: 'removed an alert rule',
  alert_defaults_change: 'changed who hears of alerts',
  silence_create: 'made a silence',
  silence_change: 'changed a silence',
  silence_delete: 'ended a silence',
  maintenance_create: 'made weekly maintenance',
  maintenance_change: 'changed weekly maintenance',
  maintenance_delete: 'removed weekly maintenance',
  alert_acknowledge: 'looks after an alert',
  alert_withdraw: 'no longer looks after an alert',
  alert_resolve: 'closed an alert by hand',
  receiver_create: 'made a receiver',
  receiver_change: 'changed a receiver',
  receiver_delete: 'removed a receiver',
  receiver_test: 'sent a test to a receiver',
  chat_offer: 'made a link by which a chat becomes a receiver',
  chat_link: 'linked a chat to a receiver',
  chat_unlink: 'unlinked the chat of a receiver',
  chat_unknown: 'asked from a chat that nobody linked',
  bot_change: "changed the team's Telegram bot",
}

/** A newer gateway may know actions that this page does not: these are shown by their names. */
export const deed = (action: string): string => (DEEDS as Record<string, string | undefined>)[action] ?? action.replaceAll('_', ' ')

/** Where two values differ, one line each: `interval_ms: 5000 → 10000`; nothing for equal ones. */
export function changes(before: unknown, after: unknown): string[] {
  const fields = (value: unknown): Record<string, unknown> => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : value == null ? {} : { value })
  const [was, is] = [fields(before), fields(after)]
  const word = (value: unknown): string => (value === undefined || value === null ? '–' : typeof value === 'string' ? value : JSON.stringify(value))
  const keys = [...new Set([...Object.keys(was), ...Object.keys(is)])]
  return keys.filter((key) => word(was[key]) !== word(is[key])).map((key) => (before == null ? `${key}: ${word(is[key])}` : `${key}: ${word(was[key])} → ${word(is[key])}`))
}
