//! What of the log rules look at: of which hosts, and which numbers. Pure.

use crate::alerts::machine::{Input, Kind, MetricKey, Report, Values};
use std::collections::{BTreeMap, BTreeSet};
use watchkeeper_schemas::alerting::{Scope, WatchedHost};
use watchkeeper_schemas::codec;
use watchkeeper_schemas::ids::{HostId, TeamId};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::rule::{Condition, Rule};
use watchkeeper_schemas::sample::Sample;
use watchkeeper_schemas::subjects::{Lane, SampleSubject, TICK};

/// What of the log rules look at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reads {
    hosts: BTreeSet<HostId>,
    metrics: Vec<MetricKey>,
}

impl Reads {
    /// Adds what one more rule looks at.
    pub(super) fn add(&mut self, rule: &Rule, scope: &Scope, hosts: &BTreeMap<HostId, WatchedHost>) {
        // Whether many hosts are silent at once is seen by looking at all.
        let all = matches!(rule.condition, Condition::HostSilent { .. });
        let watched = hosts.iter().filter(|(id, host)| all || scope.includes(id.as_str(), &host.tags));
        self.hosts.extend(watched.map(|(id, _)| id.clone()));
        self.metrics.extend(rule.metrics().iter().filter_map(|metric| MetricKey::find(&metric.name)));
        self.metrics.sort();
        self.metrics.dedup();
    }

    /// The metrics, sorted.
    #[must_use]
    pub fn metrics(&self) -> &[MetricKey] {
        &self.metrics
    }

    /// The hosts.
    #[must_use]
    pub fn hosts(&self) -> &BTreeSet<HostId> {
        &self.hosts
    }

    /// A message of SAMPLES as the machine takes it; none where it concerns another team, another host or the past.
    #[must_use]
    pub fn input(
        &self,
        team: &TeamId,
        (sequence, time): (u64, UnixMs),
        subject: &str,
        payload: &[u8],
    ) -> Option<Input> {
        let input = |kind| Input { sequence, time: time.0, kind };
        if subject == TICK {
            return Some(input(Kind::Tick(Vec::new())));
        }
        let subject: SampleSubject = subject.parse().ok()?;
        if subject.team != *team || subject.lane != Lane::Live || !self.hosts.contains(&subject.host) {
            return None;
        }
        Some(input(match codec::decode(&subject, payload) {
            Ok(sample) => Kind::Live(Box::new(self.report(&sample))),
            Err(_) => Kind::Unreadable(subject.host.to_string()),
        }))
    }

    /// A sample with the numbers that are looked at.
    #[must_use]
    pub fn report(&self, sample: &Sample) -> Report {
        Report::with(sample, Values::of_these(sample, &self.metrics))
    }
}
