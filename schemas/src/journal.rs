//! Facts about configuration, as JOURNAL keeps them for good: who changed what, and the full new value.

use crate::ids::{HostId, TeamId};
use crate::quantity::UnixMs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One fact: its subject says team, kind and id; a removed thing has no value.
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

/// What is true from now on; each kind carries its whole new value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fact {
    /// A team.
    Team {
        /// The team.
        id: TeamId,
        /// Its value, or nothing once removed.
        value: Option<Team>,
    },
    /// A host.
    Host {
        /// The host.
        id: HostId,
        /// Its value, or nothing once removed.
        value: Option<Host>,
    },
}

/// A team as configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Team {
    /// The name that people read.
    pub name: String,
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
    /// Held back from watching by a person.
    pub paused: bool,
}
