//! Every account and every role in it: who may publish and hear what. The one place where rights are given.

use crate::claims::{
    Account, AccountLimits, Crossing, Export, Import, MappedTo, Permission, Permissions, ScopeKind,
    ScopedKey, Template, UNLIMITED, UserLimits,
};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use watchkeeper_schemas::ids::TeamId;
use watchkeeper_schemas::subjects;

/// Subscriptions of one agent: replies, commands, and room for a renewal.
const AGENT_SUBSCRIPTIONS_MAX: i64 = 4;
/// Bytes of one message of an agent; SAMPLES stores no larger one.
const AGENT_PAYLOAD_BYTES_MAX: i64 = 8192;
/// Subscriptions of one reader.
const READER_SUBSCRIPTIONS_MAX: i64 = 16;
/// Bytes of one message of a reader, which has nobody to send one to.
const READER_PAYLOAD_BYTES_MAX: i64 = 64;

/// An account of the server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountName {
    /// The server's own: pushes claims, lists and cuts connections. A starting server reads accounts from its
    /// folder before this one, so users of it can connect only about a second after the others.
    Sys,
    /// All streams, and the programs that work on them.
    Core,
    /// Programs of others, which only listen.
    Readers,
    /// The agents of one team.
    Agents(TeamId),
}

/// A kind of user; each is signed by its own scoped key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Ours in the system account.
    Sys,
    /// The processors.
    Processors,
    /// The gateway.
    Gateway,
    /// A program that hears one team's public feed.
    Reader,
    /// The agent of one host.
    Agent,
    /// Development: publishes for every host of one team.
    Fleet,
}

/// One of our own programs, or ourselves in the system account: a user made by setup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// Pushes claims, lists and cuts connections.
    Sys,
    /// The processors.
    Processors,
    /// The gateway.
    Gateway,
}

/// A word that names none of our programs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no user of ours: expected sys, processors or gateway")]
pub struct UnknownProgram(String);

impl AccountName {
    /// The roles that users of this account can have.
    #[must_use]
    pub fn roles(&self) -> &'static [Role] {
        match self {
            Self::Sys => &[Role::Sys],
            Self::Core => &[Role::Processors, Role::Gateway],
            Self::Readers => &[Role::Reader],
            Self::Agents(_) => &[Role::Agent, Role::Fleet],
        }
    }

    /// The beginning of the names of this account's key files; ids hold no `.`, so no two accounts share one.
    #[must_use]
    pub fn file_stem(&self) -> String {
        match self {
            Self::Sys => "sys".into(),
            Self::Core => "core".into(),
            Self::Readers => "readers".into(),
            Self::Agents(team) => format!("agents-{team}"),
        }
    }

    /// The whole account but its revocations. `core` is the public nkey of CORE, `signers` that of each role.
    #[must_use]
    pub fn body(&self, core: &str, signers: &[(Role, String)]) -> Account {
        Account {
            imports: self.imports(core),
            exports: self.exports(),
            limits: self.limits(),
            signing_keys: signers.iter().map(|(role, key)| scoped_key(*role, key)).collect(),
            default_permissions: nothing(),
            mappings: self.mappings(),
            ..Account::default()
        }
    }

    fn imports(&self, core: &str) -> Vec<Import> {
        let import = |name: &str, subject: String, crossing| Import {
            name: name.to_owned(),
            subject,
            account: core.to_owned(),
            crossing,
        };
        match self {
            Self::Sys | Self::Core => Vec::new(),
            Self::Readers => vec![import("public feed", subjects::PUBLIC.to_owned(), Crossing::Stream)],
            Self::Agents(team) => vec![
                import("live samples", subjects::live_samples_of_team(team), Crossing::Service),
                import("back-fill", subjects::backfill_of_team(team), Crossing::Service),
                import("commands", subjects::commands_of_team(team), Crossing::Stream),
            ],
        }
    }

    fn exports(&self) -> Vec<Export> {
        let Self::Core = self else { return Vec::new() };
        let export = |subject: &str, crossing| Export {
            name: subject.to_owned(),
            subject: subject.to_owned(),
            crossing,
        };
        let services = subjects::AGENT_EXPORTS.iter().map(|subject| export(subject, Crossing::Service));
        let streams = [subjects::COMMANDS, subjects::PUBLIC].map(|subject| export(subject, Crossing::Stream));
        services.chain(streams).collect()
    }

    /// No account may have leaf nodes; only CORE has JetStream.
    fn limits(&self) -> AccountLimits {
        let jetstream = if *self == Self::Core { UNLIMITED } else { 0 };
        AccountLimits {
            subs: UNLIMITED,
            data: UNLIMITED,
            payload: UNLIMITED,
            imports: UNLIMITED,
            exports: UNLIMITED,
            wildcards: true,
            conn: UNLIMITED,
            leaf: 0,
            mem_storage: jetstream,
            disk_storage: jetstream,
            streams: jetstream,
            consumer: jetstream,
        }
    }

    /// The server sends a stream's acknowledgement to whatever reply subject a publisher names; one aimed at a
    /// command must reach no agent.
    fn mappings(&self) -> BTreeMap<String, Vec<MappedTo>> {
        match self {
            Self::Sys | Self::Core | Self::Readers => [].into(),
            Self::Agents(_) => {
                [(subjects::COMMANDS.to_owned(), vec![MappedTo { subject: subjects::VOID.to_owned() }])]
                    .into()
            }
        }
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sys => f.write_str("SYS"),
            Self::Core => f.write_str("CORE"),
            Self::Readers => f.write_str("READERS"),
            Self::Agents(team) => write!(f, "AGENTS-{team}"),
        }
    }
}

impl Role {
    /// The role's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sys => "sys",
            Self::Processors => "processors",
            Self::Gateway => "gateway",
            Self::Reader => "reader",
            Self::Agent => "agent",
            Self::Fleet => "fleet",
        }
    }

    fn template(self) -> Template {
        let (publish, subscribe) = match self {
            Self::Sys => (
                list([
                    subjects::SYS_PUSH_CLAIMS,
                    subjects::SYS_DELETE_CLAIMS,
                    subjects::SYS_LIST_CONNECTIONS,
                    subjects::SYS_KICK,
                ]),
                list([subjects::SYS_INBOX]),
            ),
            Self::Processors => (subjects::processors_publish(), list(subjects::PROCESSORS_HEAR)),
            Self::Gateway => (subjects::gateway_publish(), list(subjects::GATEWAY_HEAR)),
            Self::Reader => (list([subjects::DEAD]), list([subjects::READER_TEMPLATE])),
            Self::Agent => (
                list([subjects::AGENT_SAMPLE_TEMPLATE, subjects::AGENT_BACKFILL_TEMPLATE]),
                list([subjects::AGENT_INBOX_TEMPLATE, subjects::AGENT_COMMAND_TEMPLATE]),
            ),
            Self::Fleet => (
                list([subjects::FLEET_SAMPLE_TEMPLATE, subjects::FLEET_BACKFILL_TEMPLATE]),
                list([subjects::FLEET_INBOX_TEMPLATE]),
            ),
        };
        let permissions = Permissions { publish: allow(publish), subscribe: allow(subscribe) };
        Template { permissions, limits: self.limits() }
    }

    fn limits(self) -> UserLimits {
        let (subs, payload) = match self {
            Self::Sys | Self::Processors | Self::Gateway => (UNLIMITED, UNLIMITED),
            Self::Reader => (READER_SUBSCRIPTIONS_MAX, READER_PAYLOAD_BYTES_MAX),
            Self::Agent => (AGENT_SUBSCRIPTIONS_MAX, AGENT_PAYLOAD_BYTES_MAX),
            Self::Fleet => (UNLIMITED, AGENT_PAYLOAD_BYTES_MAX),
        };
        UserLimits { subs, data: UNLIMITED, payload }
    }
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sys, Self::Processors, Self::Gateway];

    /// What it may do.
    #[must_use]
    pub fn role(self) -> Role {
        match self {
            Self::Sys => Role::Sys,
            Self::Processors => Role::Processors,
            Self::Gateway => Role::Gateway,
        }
    }

    /// Where it belongs.
    #[must_use]
    pub fn account(self) -> AccountName {
        match self {
            Self::Sys => AccountName::Sys,
            Self::Processors | Self::Gateway => AccountName::Core,
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.role().as_str())
    }
}

impl FromStr for Program {
    type Err = UnknownProgram;
    fn from_str(text: &str) -> Result<Self, UnknownProgram> {
        let found = Self::ALL.into_iter().find(|program| program.role().as_str() == text);
        found.ok_or_else(|| UnknownProgram(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn scoped_key(role: Role, key: &str) -> ScopedKey {
    let (kind, key, template) = (ScopeKind::UserScope, key.to_owned(), role.template());
    ScopedKey { kind, key, role: role.to_string(), template }
}

/// The rights of a user that no scoped key signed. `deny` alone would let subjects with empty words be published.
fn nothing() -> Permissions {
    Permissions {
        publish: allow(list([subjects::DEAD])),
        subscribe: Permission { deny: list([subjects::EVERYTHING]), ..Permission::default() },
    }
}

fn allow(allow: Vec<String>) -> Permission {
    Permission { allow, ..Permission::default() }
}

fn list<const N: usize>(subjects: [&str; N]) -> Vec<String> {
    subjects.map(str::to_owned).to_vec()
}
