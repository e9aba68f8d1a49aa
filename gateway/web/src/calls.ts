//! The calls that the page makes, each with the shape of its answer.

import { access, type Ask, type Query } from './access.ts'
import type * as api from './api.ts'

type Method = Parameters<typeof access.answer>[0]

async function call<T>(method: Method, path: string, ask: Ask = {}): Promise<T> {
  const response = await access.answer(method, path, ask)
  return (response.status === 204 ? undefined : await response.json()) as T
}

const get = <T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> => call('GET', path, { query, ...(signal ? { signal } : {}) })
const post = <T>(path: string, body: object): Promise<T> => call('POST', path, { body })
const put = <T>(path: string, body: object): Promise<T> => call('PUT', path, { body })
const remove = (path: string, query: Query = {}): Promise<void> => call('DELETE', path, { query })
const items = async <T>(path: string, query: Query = {}): Promise<T[]> => (await get<api.List<T>>(path, query)).items
const part = encodeURIComponent

/** Times are RFC 3339 or relative to now (`-1h`, `now`); without `step` the gateway picks one. */
export function history(host: string, query: { metric: string; from: string; to: string; step?: string }, signal: AbortSignal): Promise<api.History> {
  return get(`/hosts/${part(host)}/history`, query, signal)
}
export function fleetHistory(metric: string, from: string, step: string, signal: AbortSignal): Promise<api.FleetHistory> {
  return get('/history', { metric, from, step }, signal)
}
export const metrics = (): Promise<api.Metric[]> => items('/metrics')
export const system = (signal: AbortSignal): Promise<api.System> => get('/system', {}, signal)

export const auth = {
  state: (): Promise<api.AuthState> => get('/auth/state'),
  setUp: (body: { code: string; user: string; password: string; team_name?: string }): Promise<api.SignedIn> => post('/auth/setup', body),
  logIn: (body: { user: string; password: string }): Promise<api.SignedIn | { next: string }> => post('/auth/login', body),
  logOut: (): Promise<void> => post('/auth/logout', {}),
  register: (body: { user: string; password: string; team_name: string }): Promise<api.SignedIn> => post('/auth/register', body),
  invitation: (token: string): Promise<api.Invited> => post('/auth/invitation', { token }),
  accept: (body: { token: string; user?: string; password?: string }): Promise<api.SignedIn> => post('/auth/accept', body),
}

export const me = {
  get: (): Promise<api.Me> => get('/me'),
  rename: (display_name: string, revision: number): Promise<api.Me> => put('/me', { display_name, revision }),
  password: (current: string, next: string): Promise<void> => post('/me/password', { current, new: next }),
  sessions: (): Promise<api.BrowserSession[]> => items('/me/sessions'),
  endSession: (id: string): Promise<void> => remove(`/me/sessions/${part(id)}`),
  endSessions: (): Promise<void> => remove('/me/sessions'),
  tokens: (): Promise<api.ApiToken[]> => items('/me/tokens'),
  makeToken: (body: { name: string; scope: string; expires_days: number; team?: string }): Promise<api.NewApiToken> => post('/me/tokens', body),
  dropToken: (id: string): Promise<void> => remove(`/me/tokens/${part(id)}`),
}

export type HostDraft = Pick<api.HostSettings, 'name' | 'tags' | 'interval_ms' | 'mounts' | 'without'>

export const hosts = {
  get: (id: string): Promise<api.HostView> => get(`/hosts/${part(id)}`),
  create: (draft: HostDraft & { id?: string }): Promise<{ host: api.HostConfig; enrolment: api.EnrolmentTicket }> => post('/hosts', draft),
  change: (id: string, draft: HostDraft & { paused: boolean; revision: number }): Promise<api.HostConfig> => put(`/hosts/${part(id)}`, draft),
  enrol: (id: string, revision: number): Promise<api.EnrolmentTicket> => post(`/hosts/${part(id)}/enrolment`, { revision }),
  remove: (id: string, revision: number): Promise<void> => remove(`/hosts/${part(id)}`, { revision }),
}

type RuleBody = Pick<api.Rule, 'name' | 'text' | 'scope' | 'receivers' | 'policy' | 'state'>

export const rules = {
  list: (): Promise<api.Rule[]> => items('/rules'),
  check: (text: string): Promise<api.RuleChecked> => post('/rules/check', { text }),
  create: (body: RuleBody): Promise<api.Rule> => post('/rules', body),
  change: (id: string, body: RuleBody & { revision: number }): Promise<api.Rule> => put(`/rules/${part(id)}`, body),
  remove: (id: string, revision: number): Promise<void> => remove(`/rules/${part(id)}`, { revision }),
  get: (id: string): Promise<api.Rule> => get(`/rules/${part(id)}`),
  history: (id: string, query: Query): Promise<api.List<api.RuleRevision>> => get(`/rules/${part(id)}/history`, query),
}

export const alertDefaults = {
  get: (): Promise<api.AlertDefaults> => get('/alert-defaults'),
  change: (body: Pick<api.AlertDefaults, 'receivers' | 'policy' | 'revision'>): Promise<api.AlertDefaults> => put('/alert-defaults', body),
}

export const receivers = {
  list: (): Promise<api.Receiver[]> => items('/receivers'),
  get: (id: string): Promise<api.Receiver> => get(`/receivers/${part(id)}`),
  create: (body: { name: string; channel: api.ChannelForm }): Promise<api.ReceiverSaved> => post('/receivers', body),
  change: (id: string, body: { name: string; channel: api.ChannelForm; revision: number }): Promise<api.ReceiverSaved> => put(`/receivers/${part(id)}`, body),
  remove: (id: string, revision: number): Promise<void> => remove(`/receivers/${part(id)}`, { revision }),
  deliveries: (id: string, query: Query): Promise<api.List<api.Notice>> => get(`/receivers/${part(id)}/deliveries`, query),
  test: (id: string): Promise<{ notice: string }> => call('POST', `/receivers/${part(id)}/test`),
  link: (id: string, group: boolean): Promise<api.Link> => post(`/receivers/${part(id)}/link`, { group }),
  unlink: (id: string): Promise<void> => remove(`/receivers/${part(id)}/link`),
}

export const telegram = {
  get: (): Promise<api.Telegram> => get('/telegram'),
  set: (token: string, revision: number): Promise<api.Telegram> => put('/telegram', { token, revision }),
  remove: (revision: number): Promise<void> => remove('/telegram', { revision }),
}

export type SilenceBody = Pick<api.Silence, 'reason' | 'until' | 'matchers'> & { from?: string }
export const silences = {
  list: (query: Query): Promise<api.List<api.Silence>> => get('/silences', query),
  create: (body: SilenceBody): Promise<api.Silence> => post('/silences', body),
  change: (id: string, body: SilenceBody & { from: string; revision: number }): Promise<api.Silence> => put(`/silences/${part(id)}`, body),
  remove: (id: string, revision: number): Promise<void> => remove(`/silences/${part(id)}`, { revision }),
}

export type MaintenanceBody = Pick<api.Maintenance, 'reason' | 'zone' | 'days' | 'begin' | 'end' | 'matchers'>
export const maintenance = {
  list: (): Promise<api.Maintenance[]> => items('/maintenance'),
  create: (body: MaintenanceBody): Promise<api.Maintenance> => post('/maintenance', body),
  change: (id: string, body: MaintenanceBody & { revision: number }): Promise<api.Maintenance> => put(`/maintenance/${part(id)}`, body),
  remove: (id: string, revision: number): Promise<void> => remove(`/maintenance/${part(id)}`, { revision }),
}

export const alerts = {
  list: (query: Query): Promise<api.List<api.Alert>> => get('/alerts', query),
  get: (id: string): Promise<api.AlertDetail> => get(`/alerts/${part(id)}`),
  acknowledge: (id: string, note: string): Promise<void> => post(`/alerts/${part(id)}/acknowledgement`, { note }),
  withdraw: (id: string): Promise<void> => remove(`/alerts/${part(id)}/acknowledgement`),
  resolve: (id: string, note: string): Promise<void> => post(`/alerts/${part(id)}/resolution`, { note }),
  bulk: (body: { alerts: string[]; action: 'acknowledge' | 'resolve' | 'silence'; note: string; until?: string }): Promise<api.List<api.BulkResult>> => post('/alerts/bulk', body),
}

export const team = {
  get: (): Promise<api.Team> => get('/team'),
  rename: (name: string, revision: number): Promise<api.Team> => put('/team', { name, revision }),
  create: (name: string): Promise<api.Team> => post('/teams', { name }),
  remove: (revision: number, confirm: string): Promise<void> => call('DELETE', '/team', { body: { revision, confirm } }),
  members: (): Promise<api.Member[]> => items('/members'),
  setRole: (user: string, role: api.Role, revision: number): Promise<api.Member> => put(`/members/${part(user)}`, { role, revision }),
  removeMember: (user: string, revision: number): Promise<void> => remove(`/members/${part(user)}`, { revision }),
  invitations: (): Promise<api.Invitation[]> => items('/invitations'),
  invite: (role: api.Role, note: string): Promise<api.NewInvitation> => post('/invitations', { role, ...(note ? { note } : {}) }),
  dropInvitation: (id: string): Promise<void> => remove(`/invitations/${part(id)}`),
  readers: (): Promise<api.Reader[]> => items('/readers'),
  makeReader: (name: string): Promise<api.NewReader> => post('/readers', { name }),
  dropReader: (name: string, revision: number): Promise<void> => remove(`/readers/${part(name)}`, { revision }),
  audit: (query: Query): Promise<api.List<api.AuditItem>> => get('/audit', query),
}
