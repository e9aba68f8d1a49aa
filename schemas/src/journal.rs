//! Facts about configuration, as JOURNAL keeps them for good: who changed what, and the full new value.
//!
//! No fact holds a secret: hashes of passwords and tokens lie in sealed buckets, a key in a fact is a public one.

use crate::alerting::{Defaults, EpisodeRef, SavedRule, Silence, WeeklyMaintenance};
use crate::ids::{
    HostId, InvitationId, MaintenanceId, ProcessorName, PublicKey, ReaderName, ReceiverId, RuleId, SilenceId,
    TeamId, TokenId, UserId,
};
use crate::quantity::UnixMs;
use crate::receiver::{Bot, BotState, Chat, LinkOffer, Receiver, ReceiverFailure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One fact: its subject says scope, kind and id; a removed thing has no value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JournalEvent {
    /// Version of this form; 1.
    pub v: u8,
    /// Who made the change: a user id, or the program's name.
    pub author: String,
    /// Why, in a word or a sentence.
    pub cause: String,
    /// When it was made.
    pub time: UnixMs,
    /// What is true from now on.
    pub fact: Fact,
}

/// What is true from now on; each kind carries its whole new value, or nothing once removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fact {
    /// A person who may log in. Belongs to no team.
    User {
        /// The name that they log in with.
        id: UserId,
        /// What is known of them.
        value: Option<User>,
    },
    /// A person's token for programs. Belongs to no team.
    Token {
        /// The part of the token that is no secret.
        id: TokenId,
        /// What it may do.
        value: Option<Token>,
    },
    /// A team.
    Team {
        /// The team.
        id: TeamId,
        /// What it is called.
        value: Option<Team>,
    },
    /// A user's place in a team.
    Member {
        /// The user.
        id: UserId,
        /// What they may do.
        value: Option<Member>,
    },
    /// An open invitation; it goes once it was accepted.
    Invitation {
        /// The invitation.
        id: InvitationId,
        /// To what.
        value: Option<Invitation>,
    },
    /// A host.
    Host {
        /// The host.
        id: HostId,
        /// How it is watched.
        value: Option<Host>,
    },
    /// A third-party tool that hears the public feed.
    Reader {
        /// Its name.
        id: ReaderName,
        /// Its credential.
        value: Option<Reader>,
    },
    /// A NATS user whose credential was ever signed; it may connect while its holder names this very key.
    Credential {
        /// The user's public key.
        id: PublicKey,
        /// Whose it is.
        value: Option<Credential>,
    },
    /// A host that is held off because it floods.
    Flag {
        /// The host.
        id: HostId,
        /// Until when and why.
        value: Option<Flag>,
    },
    /// An alert rule of a team, or what it changes of a built-in one.
    Rule {
        /// The rule.
        id: RuleId,
        /// As saved.
        value: Option<Rule>,
    },
    /// A silence.
    Silence {
        /// The silence.
        id: SilenceId,
        /// What it holds back, and until when.
        value: Option<Silence>,
    },
    /// Somebody looks after an episode of an alert.
    Acknowledgement {
        /// Which episode; its subject ends with the episode's id.
        episode: EpisodeRef,
        /// What they say; nothing once withdrawn.
        value: Option<Remark>,
    },
    /// Somebody says that an episode of an alert is over.
    Resolution {
        /// Which episode; its subject ends with the episode's id.
        episode: EpisodeRef,
        /// What they say.
        value: Option<Remark>,
    },
    /// Who hears where a rule names nobody.
    AlertDefaults {
        /// The team.
        id: TeamId,
        /// Its choice.
        value: Option<Defaults>,
    },
    /// Maintenance that comes again each week; a processor writes its windows as silences.
    Maintenance {
        /// The maintenance.
        id: MaintenanceId,
        /// On which days, when, and what it holds back.
        value: Option<WeeklyMaintenance>,
    },
    /// Somebody who is told of alerts.
    Receiver {
        /// The receiver.
        id: ReceiverId,
        /// By which channel.
        value: Option<Receiver>,
    },
    /// An offer to link a chat to a receiver.
    LinkOffer {
        /// The receiver.
        id: ReceiverId,
        /// Until when; nothing once taken back.
        value: Option<LinkOffer>,
    },
    /// The chat that is linked to a receiver; the notifier records it when the offer is taken.
    Chat {
        /// The receiver.
        id: ReceiverId,
        /// Which chat, and whose.
        value: Option<Chat>,
    },
    /// A channel refuses what is sent to a receiver; the notifier records it. No value: messages arrive again.
    ReceiverFailure {
        /// The receiver.
        id: ReceiverId,
        /// What the channel answers.
        value: Option<ReceiverFailure>,
    },
    /// A team's own Telegram bot.
    Bot {
        /// The team.
        id: TeamId,
        /// Its token's place.
        value: Option<Bot>,
    },
    /// What Telegram says of the bot that serves a team; the notifier records it.
    BotState {
        /// The team.
        id: TeamId,
        /// Its name, or why there is none.
        value: Option<BotState>,
    },
    /// A processor was far behind the log and is so no longer; it records that itself.
    Behind {
        /// The processor.
        id: ProcessorName,
        /// When that was.
        value: Option<Behind>,
    },
}

/// When a processor was far behind the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Behind {
    /// When the broker had stored the first event that came too late.
    pub from: UnixMs,
    /// When it had caught up.
    pub until: UnixMs,
}

/// An alert rule of a team.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The name that people read.
    pub name: String,
    /// What it watches, and who hears.
    pub rule: SavedRule,
}

/// What somebody says of an episode.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Remark {
    /// In their words; may be empty.
    pub note: String,
}

/// A person who may log in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name that people read.
    pub display_name: String,
    /// Kept from logging in.
    pub disabled: bool,
}

/// A person's token for programs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whose it is; it may never do more than they may.
    pub user: UserId,
    /// What it is for.
    pub name: String,
    /// Reading only, or changing, too.
    pub scope: Scope,
    /// The only team it works for; none: every team of its user.
    pub team: Option<TeamId>,
    /// When it ends.
    pub expires: UnixMs,
}

/// How far a token reaches.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Looks.
    Read,
    /// Changes, too.
    Write,
}

/// A team as configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Team {
    /// The name that people read.
    pub name: String,
}

/// A user's place in a team.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// What they may do.
    pub role: Role,
}

/// What a member may do; each role may do what those before it may.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Changes hosts, rules, receivers, and invites viewers and admins.
    Admin,
    /// Changes members and the team itself, and reads the audit.
    Owner,
}

/// An open invitation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// What the invited one will be.
    pub role: Role,
    /// For whom, in the inviting one's words.
    pub note: String,
    /// Who invites.
    pub by: UserId,
    /// When it ends.
    pub expires: UnixMs,
}

/// A host as configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// The name that people read.
    pub name: String,
    /// Tags for rules and filters.
    pub tags: BTreeSet<String>,
    /// Interval between samples, in milliseconds.
    pub interval_ms: u32,
    /// File systems to tell; empty: every real one.
    pub mounts: BTreeSet<String>,
    /// Collectors that are switched off.
    pub without: BTreeSet<Collector>,
    /// Held back from watching by a person.
    pub paused: bool,
    /// How far its agent has come.
    pub enrolment: Enrolment,
}

/// How far the agent of a host has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum Enrolment {
    /// No agent has a credential; a token may be out.
    Waiting {
        /// When the newest token ends; none: no token is out.
        until: Option<UnixMs>,
    },
    /// An agent has a credential; its first valid sample must come in time.
    Activating {
        /// Its public key.
        key: PublicKey,
        /// When the credential is taken back if no valid sample came.
        until: UnixMs,
    },
    /// The agent's credential is for good: valid samples came.
    Active {
        /// Its public key.
        key: PublicKey,
    },
}

impl Enrolment {
    /// The public key of the agent that may connect.
    #[must_use]
    pub fn key(&self) -> Option<&PublicKey> {
        match self {
            Self::Waiting { .. } => None,
            Self::Activating { key, .. } | Self::Active { key } => Some(key),
        }
    }
}

/// A third-party tool that hears the public feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reader {
    /// The public key of its one credential.
    pub key: PublicKey,
    /// Who made it.
    pub by: UserId,
}

/// Whose a credential is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "holder", rename_all = "snake_case", deny_unknown_fields)]
pub enum Credential {
    /// An agent's.
    Agent {
        /// The agent's host.
        host: HostId,
        /// When the newest JWT of this key ends.
        expires: UnixMs,
    },
    /// A third-party tool's.
    Reader {
        /// Its name.
        reader: ReaderName,
    },
}

/// Why a host is held off, and until when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flag {
    /// What it did.
    pub reason: FlagReason,
    /// What was counted: messages per second, or connections with its key.
    pub count: u32,
    /// When it may connect again.
    pub until: UnixMs,
    /// How many times in a row it was held off.
    pub strikes: u32,
}

/// What a flagged host did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlagReason {
    /// It sent many more messages than a host has samples.
    Flood,
    /// Many connections used its one key.
    ManyConnections,
}

/// What can be switched off on a host; each is named like the section of a sample that it fills.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Collector {
    /// Time of all processors, their clock rate, context switches, interrupts.
    Cpu,
    /// Each processor.
    Cores,
    /// Run queue averages.
    Load,
    /// Main memory.
    Memory,
    /// Swap space.
    Swap,
    /// Mounted file systems.
    Disks,
    /// Block devices.
    DiskIo,
    /// Network interfaces.
    Networks,
    /// Temperature sensors.
    Temperatures,
    /// Processes and threads.
    Processes,
    /// Time in which something waited for a resource.
    Pressure,
    /// Uptime, open files, TCP sockets.
    System,
}
