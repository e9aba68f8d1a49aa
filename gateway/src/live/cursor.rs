//! How far one client of the live stream has come, and what it is told next. Pure.
//!
//! A client has no queue. It has a number: the change up to which it knows everything. What it is told next are the
//! hosts that changed behind that number, each once, as they are now. So a client that reads slowly gets the newest
//! state of every host and costs no memory, however much happened meanwhile.

use crate::fleet::host::Host;
use crate::fleet::place::Place;
use crate::fleet::{Fleet, Team};
use bytes::Bytes;
use std::io::Write as _;
use watchkeeper_schemas::ids::{HostId, TeamId};

/// Bytes that one write holds, but for its last host.
const WRITE_BYTES_MAX: usize = 32 * 1024;

/// How much of a host is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What a table shows.
    Summary,
    /// Everything.
    Full,
}

/// What a client wants to hear of.
#[derive(Debug, Clone)]
pub struct Interest {
    /// Whose hosts.
    pub team: TeamId,
    /// How much of each.
    pub detail: Detail,
    /// Only these, in order and each once; all where `None`, none where empty.
    pub hosts: Option<Vec<HostId>>,
}

/// How far the programs behind the view are behind, rendered.
#[derive(Debug, Clone, Default)]
pub struct LagNews {
    /// Counts every change.
    pub version: u64,
    /// The lag as JSON.
    pub json: Bytes,
}

/// How far one client has come.
#[derive(Debug)]
pub struct Cursor {
    interest: Interest,
    stage: Stage,
    lag: u64,
}

#[derive(Debug)]
enum Stage {
    /// Tell that what it knows is of no use, and why; then a snapshot.
    Reset(&'static str),
    /// Begin a snapshot.
    Snapshot,
    /// Amid a snapshot: hosts behind `last` are to come. It stands for `place`, and changes behind `change` follow it.
    Hosts { last: Option<HostId>, place: Place, change: u64 },
    /// Knows everything up to `change`, but for what `catch_up` says.
    Changes { change: u64, catch_up: Option<CatchUp> },
}

/// A client that was here before: of the changes up to `until` it lacks those behind `last`.
///
/// Silence has no place, so hosts that are silent are told again.
#[derive(Debug, Clone, Copy)]
struct CatchUp {
    until: u64,
    last: Place,
}

impl Cursor {
    /// A client that was told events up to `last` before, or none.
    #[must_use]
    pub fn new(fleet: &Fleet, interest: Interest, last: Option<Place>) -> Self {
        let stage = match last {
            None => Stage::Snapshot,
            Some(last) => resume(fleet, &interest.team, last),
        };
        Self { interest, stage, lag: 0 }
    }

    /// Whether the client has had its snapshot, so that anything may stand between two events.
    #[must_use]
    pub fn is_current(&self) -> bool {
        matches!(self.stage, Stage::Changes { .. })
    }

    /// What the client is told next, or nothing while it knows everything.
    pub fn next(&mut self, fleet: &Fleet, lag: &LagNews) -> Option<Bytes> {
        let mut out = Vec::new();
        let nobody = Team::default();
        let team = fleet.team(&self.interest.team).unwrap_or(&nobody);
        while out.len() < WRITE_BYTES_MAX && self.step(fleet, team, lag, &mut out) {}
        (!out.is_empty()).then(|| Bytes::from(out))
    }

    /// Tells the next part; false where there is nothing more to tell now.
    fn step(&mut self, fleet: &Fleet, team: &Team, lag: &LagNews, out: &mut Vec<u8>) -> bool {
        match &mut self.stage {
            Stage::Reset(reason) => {
                write_reset(out, reason);
                self.stage = Stage::Snapshot;
            }
            Stage::Snapshot => {
                out.extend_from_slice(b"event: snapshot\ndata: {\"hosts\":[");
                self.stage = Stage::Hosts { last: None, place: fleet.place(), change: fleet.change() };
            }
            Stage::Hosts { last, place, change } => {
                if !write_hosts(&self.interest, team, last, out) {
                    return false;
                }
                out.extend_from_slice(b"],\"lag\":");
                out.extend_from_slice(&lag.json);
                // The id comes last: whoever is cut off amid a snapshot does not have it.
                let written = write!(out, "}}\nid: {place}\n\n");
                debug_assert!(written.is_ok(), "memory takes every byte");
                self.lag = lag.version;
                self.stage = Stage::Changes { change: *change, catch_up: None };
            }
            Stage::Changes { change, catch_up } => {
                if let Some(reset) = team.reset().filter(|reset| reset.change > *change) {
                    self.stage = Stage::Reset(reset.reason);
                    return true;
                }
                if self.lag != lag.version {
                    self.lag = lag.version;
                    write_lag(out, lag);
                }
                if write_changes(&self.interest, team, change, *catch_up, out) {
                    // Neither hosts of other teams nor those not asked for need to be passed over again.
                    *change = fleet.change();
                    *catch_up = None;
                }
                return false;
            }
        }
        true
    }
}

/// Where a client goes on that was told events up to `last`.
fn resume(fleet: &Fleet, team: &TeamId, last: Place) -> Stage {
    let here = fleet.place();
    if last.epoch != here.epoch {
        return Stage::Reset("the live view was rebuilt");
    }
    if here.is_behind(last) {
        return Stage::Reset("this gateway has not come as far");
    }
    let reset = fleet.team(team).and_then(Team::reset);
    if let Some(reset) = reset.filter(|reset| last.is_behind(reset.place)) {
        return Stage::Reset(reset.reason);
    }
    let catch_up = CatchUp { until: fleet.change(), last };
    Stage::Changes { change: reset.map_or(0, |reset| reset.change), catch_up: Some(catch_up) }
}

impl CatchUp {
    fn is_known(&self, host: &Host) -> bool {
        let newest = host.watched().map_or(0, |watched| watched.newest);
        let is_told = host.revision <= self.last.revision && newest <= self.last.journal;
        host.change <= self.until && is_told && !host.is_of_time()
    }
}

impl Interest {
    /// Its hosts behind `last`, in the order of their ids.
    fn behind<'a>(
        &'a self,
        team: &'a Team,
        last: Option<&HostId>,
    ) -> Box<dyn Iterator<Item = &'a Host> + 'a> {
        match &self.hosts {
            None => Box::new(team.hosts_behind(last)),
            Some(ids) => {
                let from = last.map_or(0, |last| ids.partition_point(|id| id <= last));
                Box::new(ids[from..].iter().filter_map(|id| team.hosts().get(id)))
            }
        }
    }

    /// Its hosts that changed after `change`, the longest unchanged first.
    fn changed<'a>(&'a self, team: &'a Team, change: u64) -> Box<dyn Iterator<Item = &'a Host> + 'a> {
        match &self.hosts {
            None => Box::new(team.changed_after(change)),
            Some(ids) => {
                let known = ids.iter().filter_map(|id| team.hosts().get(id));
                let mut changed: Vec<&Host> = known.filter(|host| host.change > change).collect();
                changed.sort_unstable_by_key(|host| host.change);
                Box::new(changed.into_iter())
            }
        }
    }
}

/// Writes hosts of a snapshot behind `last`; true once all are written.
fn write_hosts(interest: &Interest, team: &Team, last: &mut Option<HostId>, out: &mut Vec<u8>) -> bool {
    let mut comma = last.is_some();
    for host in interest.behind(team, last.clone().as_ref()) {
        if out.len() >= WRITE_BYTES_MAX {
            return false;
        }
        if std::mem::replace(&mut comma, true) {
            out.push(b',');
        }
        out.extend_from_slice(match interest.detail {
            Detail::Summary => host.summary_json(),
            Detail::Full => host.full(),
        });
        *last = Some(host.heard.host.clone());
    }
    true
}

/// Writes hosts that changed after `change`; true once all are written.
fn write_changes(
    interest: &Interest,
    team: &Team,
    change: &mut u64,
    catch_up: Option<CatchUp>,
    out: &mut Vec<u8>,
) -> bool {
    for host in interest.changed(team, *change) {
        if out.len() >= WRITE_BYTES_MAX {
            return false;
        }
        *change = host.change;
        if catch_up.is_some_and(|it| it.is_known(host)) {
            continue;
        }
        match interest.detail {
            Detail::Summary => out.extend_from_slice(host.summary_event()),
            Detail::Full => {
                out.extend_from_slice(host.event_head());
                out.extend_from_slice(host.full());
                out.extend_from_slice(b"\n\n");
            }
        }
    }
    true
}

fn write_reset(out: &mut Vec<u8>, reason: &'static str) {
    // The reasons are ours and hold nothing that JSON would escape.
    for part in ["event: reset\ndata: {\"reason\":\"", reason, "\"}\n\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

fn write_lag(out: &mut Vec<u8>, lag: &LagNews) {
    out.extend_from_slice(b"event: lag\ndata: ");
    out.extend_from_slice(&lag.json);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests;
