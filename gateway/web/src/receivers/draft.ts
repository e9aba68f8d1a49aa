//! A receiver as one edits it, and as the gateway takes it. Pure.

import type { ChannelForm, ChannelType, Receiver, Severity } from '../api.ts'

export interface ReceiverDraft {
  name: string
  hears: Severity
  type: ChannelType
  to: string
  from: string
  server: string
  port: string
  security: 'tls' | 'start_tls' | 'plain'
  user: string
  password: string
  url: string
  topic: string
  token: string
  /** The token that is kept is to be forgotten. */
  forget: boolean
  form: 'slack' | 'discord'
}

/** The usual port of each protection. */
export const PORTS = { tls: '465', start_tls: '587', plain: '25' }
export const NTFY = 'https://ntfy.sh'

export function draftOf(receiver: Receiver | null): ReceiverDraft {
  const empty: ReceiverDraft = { name: receiver?.name ?? '', hears: receiver?.hears_from ?? 'info', type: 'telegram', to: '', from: '', server: '', port: PORTS.tls, security: 'tls', user: '', password: '', url: '', topic: '', token: '', forget: false, form: 'slack' }
  const channel = receiver?.channel
  switch (channel?.type) {
    case 'email':
      return { ...empty, type: 'email', to: channel.to.join(', '), from: channel.from, server: channel.server, port: String(channel.port), security: channel.security, user: channel.user ?? '' }
    case 'ntfy':
      return { ...empty, type: 'ntfy', server: channel.server, topic: channel.topic }
    case 'chatroom':
      return { ...empty, type: 'chatroom', form: channel.form }
    case 'webhook':
      return { ...empty, type: 'webhook' }
    case 'telegram':
    case undefined:
      return empty
  }
}

const list = (text: string): string[] => [...new Set(text.split(/[\s,;]+/).filter(Boolean))]

/** What is sent: a secret that nobody typed is left out. */
export function channelOf(draft: ReceiverDraft): ChannelForm {
  switch (draft.type) {
    case 'telegram':
      return { type: 'telegram' }
    case 'email': {
      const user = draft.user.trim()
      return {
        type: 'email',
        to: list(draft.to),
        from: draft.from.trim(),
        server: draft.server.trim(),
        port: Number(draft.port) || 0,
        security: draft.security,
        ...(user ? { user } : {}),
        ...(user && draft.password ? { password: draft.password } : {}),
      }
    }
    case 'webhook':
      return { type: 'webhook', ...(draft.url.trim() ? { url: draft.url.trim() } : {}) }
    case 'ntfy': {
      const token = draft.forget ? '' : draft.token.trim()
      return { type: 'ntfy', server: draft.server.trim() || NTFY, topic: draft.topic.trim(), ...(token || draft.forget ? { token } : {}) }
    }
    case 'chatroom':
      return { type: 'chatroom', form: draft.form, ...(draft.url.trim() ? { url: draft.url.trim() } : {}) }
  }
}
