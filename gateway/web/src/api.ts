//! The shapes of `/api/v1`, named as there. They are generated from the gateway's description of itself; what that leaves
//! open (roles, the numbers of a host by group) is said here.

import type { components } from './api.generated.ts'

type Schemas = components['schemas']

export type Role = 'viewer' | 'admin' | 'owner'
type WithRole<T> = Omit<T, 'role'> & { role: Role }

export type Status = Schemas['Status']
export type HostSummary = Schemas['HostSummary']
export type Collector = Schemas['Collector']
export type HostConfig = Schemas['HostConfig']
export type EnrolmentTicket = Schemas['EnrolmentToken']
export type Membership = WithRole<Schemas['Membership']>
export type Person = Schemas['SignedInUser']
export type AuthState = Omit<Schemas['AuthState'], 'teams'> & { teams?: Membership[] | null }
export type SignedIn = Omit<Schemas['Session'], 'teams'> & { teams: Membership[] }
export type Invited = WithRole<Schemas['OpenedInvitation']>
export type Me = Schemas['Me']
export type BrowserSession = Schemas['SessionView']
export type ApiToken = Schemas['TokenView']
export type NewApiToken = Schemas['NewTokenView']
export type Team = WithRole<Schemas['TeamView']>
export type Member = WithRole<Schemas['MemberView']>
export type Invitation = WithRole<Schemas['InvitationView']>
export type NewInvitation = WithRole<Schemas['InvitationMade']>
type Alike<T, K extends string> = T extends { type: K } ? T : never
export type Channel = Schemas['ChannelView']
export type ChannelType = Channel['type']
export type ChannelOf<K extends ChannelType> = Alike<Channel, K>
export type ChannelForm = Schemas['ChannelForm']
export type Receiver = Schemas['ReceiverView']
export type ReceiverSaved = Schemas['ReceiverSaved']
export type NamedBy = Schemas['NamedBy']
export type Link = Schemas['LinkMade']
export type Telegram = Schemas['TelegramView']
export type Notice = Schemas['NoticeView']
export type NoticeAttempt = Schemas['AttemptView']
export type Reader = Schemas['ReaderView']
export type NewReader = Schemas['ReaderMade']
export type AuditItem = Schemas['AuditItem']
export type Action = Schemas['Action']
export type Alert = Schemas['EpisodeView']
export type AlertDetail = Omit<Schemas['AlertView'], 'rule_now'> & { rule_now: Rule | null }
export type RuleState = Schemas['RuleState']
export type RuleScope = 'all' | { tags: string[] } | { hosts: string[] }
export type Rule = Omit<Schemas['RuleView'], 'scope'> & { scope: RuleScope }
export type RuleThen = Omit<Schemas['RuleThenView'], 'scope'> & { scope: RuleScope }
export type RuleRevision = Omit<Schemas['RuleRevision'], 'before' | 'after'> & { before: RuleThen | null; after: RuleThen | null }
export type Step = Schemas['Step']
export type AlertDefaults = Schemas['DefaultsView']
export type Severity = Schemas['Severity']
export type Matcher = { host: string } | { tag: string } | { rule: string } | { label: { name: string; value: string } } | { severity: Severity }
export type Silence = Omit<Schemas['SilenceView'], 'matchers'> & { matchers: Matcher[] }
export type Maintenance = Omit<Schemas['MaintenanceView'], 'matchers'> & { matchers: Matcher[] }
export type BulkResult = Schemas['BulkResult']
export type RuleChecked = Schemas['RuleChecked']
export type Metric = Schemas['MetricView']
export type Lag = Schemas['LagView']
export type PartState = Schemas['State']
export type System = Schemas['SystemView']
export type History = Schemas['HistoryView']
export type FleetHistory = Schemas['FleetHistoryView']

export interface List<T> {
  items: T[]
  next_page: number | null
}

/** How a host is watched, as people set it; and whether the guard holds it off. */
export type HostSettings = Omit<HostConfig, 'host' | 'revision'> & {
  flag?: { reason: 'flood' | 'many_connections'; count: number; until: string; strikes: number } | null
}

export type Value = number | null | undefined

/** Read once, and again when it changed; empty words are unknown. */
export interface Inventory {
  hostname: string
  os: string
  kernel: string
  arch: string
  cpu_model: string
  cores: number
  memory_bytes: number
  virtualization: string
  agent_version: string
  boot_time: string
  disks: { mount: string; device: string; fs: string }[]
}

export interface Disk {
  mount: string
  /** Device and kind stand in the inventory; the page joins them. */
  device?: string
  fs?: string
  total_bytes?: Value
  used_bytes?: Value
  free_bytes?: Value
  used_pct?: Value
  inodes_used_pct?: Value
}

export interface DiskIo {
  device: string
  read_bytes_per_s?: Value
  write_bytes_per_s?: Value
  reads_per_s?: Value
  writes_per_s?: Value
  read_latency_us?: Value
  write_latency_us?: Value
  busy_pct?: Value
}

export interface Network {
  interface: string
  rx_bytes_per_s?: Value
  tx_bytes_per_s?: Value
  rx_packets_per_s?: Value
  tx_packets_per_s?: Value
  rx_errors?: Value
  tx_errors?: Value
  rx_drops?: Value
  tx_drops?: Value
}

type Scalars = Record<string, Value>

export interface HostView {
  v: number
  team: string
  host: string
  shard: string
  /** Of the stream, for the whole fleet; `seq` counts the samples of one boot. */
  sequence: number
  boot: string | null
  seq: number
  time: string | null
  received: string | null
  interval_ms: number
  status: Status
  name: string
  tags: string[]
  paused: boolean
  flagged: boolean
  revision: number
  config: HostSettings | null
  inventory: Inventory | null
  dropped_values: number
  lost_samples: number
  unreadable_samples: number
  cpu?: Scalars | null
  load?: Scalars | null
  memory?: Scalars | null
  swap?: Scalars | null
  processes?: Scalars | null
  pressure?: Scalars | null
  system?: Scalars | null
  cores: { core: string; usage_pct?: Value }[]
  disks: Disk[]
  disk_io: DiskIo[]
  networks: Network[]
  temperatures: { sensor: string; celsius?: Value }[]
  custom: { name: string; value: Value }[]
}

export type Labels = Record<string, string>
