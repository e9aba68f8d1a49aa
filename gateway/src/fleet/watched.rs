//! How a host is configured, as far as it is shown. Pure.

use crate::fleet::status::Stage;
use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeSet;
use watchkeeper_schemas::ids::HostId;
use watchkeeper_schemas::journal::{Collector, Enrolment, Flag, FlagReason, Host};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::registry::{Recorded, TeamFacts};

/// A host of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The name that people gave it.
    pub name: String,
    /// Its tags, in order.
    pub tags: Vec<String>,
    /// Interval between samples, in milliseconds.
    pub interval_ms: u32,
    /// Held back from watching by a person.
    pub paused: bool,
    /// How far its agent has come.
    pub stage: Stage,
    /// Until when it is held off because it floods.
    pub flagged_until: Option<UnixMs>,
    /// Samples stored before were another's of the same id.
    pub since: UnixMs,
    /// What an edit must name.
    pub revision: u64,
    /// Place in JOURNAL of the newest fact about it.
    pub newest: u64,
    /// The configuration as the whole view shows it.
    pub json: Bytes,
}

/// What the journal says of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// How it is watched.
    Watched(Watched),
    /// It was removed by the fact at this place.
    Removed(u64),
}

impl Said {
    /// Place in JOURNAL of the newest fact about the host.
    #[must_use]
    pub fn newest(&self) -> u64 {
        match self {
            Self::Watched(watched) => watched.newest,
            Self::Removed(newest) => *newest,
        }
    }
}

/// The newest place of anything that is said about a host.
#[must_use]
pub fn newest(team: &TeamFacts, id: &HostId, recorded: &Recorded<Host>) -> u64 {
    let gone = if team.exists() { 0 } else { team.revision() };
    recorded.revision.max(team.flags.revision(id)).max(gone)
}

/// What a team's facts say of a host.
#[must_use]
pub fn said(team: &TeamFacts, id: &HostId, recorded: &Recorded<Host>) -> Said {
    let newest = newest(team, id, recorded);
    let Some(host) = recorded.value.as_ref().filter(|_| team.exists()) else { return Said::Removed(newest) };
    let flag = team.flags.get(id);
    Said::Watched(Watched {
        name: host.name.clone(),
        tags: host.tags.iter().cloned().collect(),
        interval_ms: host.interval_ms,
        paused: host.paused,
        stage: Stage::of(&host.enrolment),
        flagged_until: flag.map(|flag| flag.until),
        since: recorded.since,
        revision: recorded.revision,
        newest,
        json: Bytes::from(
            serde_json::to_vec(&ConfigView::new(host, flag)).unwrap_or_else(|_| b"null".to_vec()),
        ),
    })
}

/// A host's configuration as the whole view shows it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ConfigView<'a> {
    /// The name that people gave it.
    pub name: &'a str,
    /// Its tags, in order.
    #[schema(value_type = Vec<String>)]
    pub tags: &'a BTreeSet<String>,
    /// Interval between samples, in milliseconds.
    pub interval_ms: u32,
    /// File systems to tell; empty: every real one.
    #[schema(value_type = Vec<String>)]
    pub mounts: &'a BTreeSet<String>,
    /// Collectors that are switched off.
    #[schema(value_type = Vec<Collector>)]
    pub without: &'a BTreeSet<Collector>,
    /// Held back from watching by a person.
    pub paused: bool,
    /// How far its agent has come.
    pub enrolment: EnrolmentView,
    /// Held off because it floods, and until when.
    #[schema(required)]
    pub flag: Option<FlagView>,
}

/// How far the agent of a host has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EnrolmentView {
    /// Waiting for an agent, for its first sample, or for nothing more.
    pub state: Stage,
    /// When the enrolment token ends, or when the first sample must have come.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub until: Option<UnixMs>,
}

/// Why a host is held off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FlagView {
    /// What it did.
    pub reason: FlagReason,
    /// Messages per second, or connections with its key.
    pub count: u32,
    /// When it may connect again.
    #[schema(value_type = String, format = DateTime)]
    pub until: UnixMs,
    /// How many times in a row it was held off.
    pub strikes: u32,
}

impl<'a> ConfigView<'a> {
    /// A host's configuration, without what only programs need.
    #[must_use]
    pub fn new(host: &'a Host, flag: Option<&Flag>) -> Self {
        Self {
            name: &host.name,
            tags: &host.tags,
            interval_ms: host.interval_ms,
            mounts: &host.mounts,
            without: &host.without,
            paused: host.paused,
            enrolment: EnrolmentView::of(&host.enrolment),
            flag: flag.map(|flag| FlagView {
                reason: flag.reason,
                count: flag.count,
                until: flag.until,
                strikes: flag.strikes,
            }),
        }
    }
}

impl EnrolmentView {
    /// Without the key.
    #[must_use]
    pub fn of(enrolment: &Enrolment) -> Self {
        let until = match enrolment {
            Enrolment::Waiting { until } => *until,
            Enrolment::Activating { until, .. } => Some(*until),
            Enrolment::Active { .. } => None,
        };
        Self { state: Stage::of(enrolment), until }
    }
}
