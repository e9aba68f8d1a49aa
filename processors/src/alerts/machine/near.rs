//! How close series without an episode came to one: kept only where somebody asks, which live evaluation does not.

use super::Machine;
use super::instance::Phase;
use super::program::Verdict;
use super::watch::Watch;
use compact_str::CompactString;
use watchkeeper_schemas::rule::Cmp;

/// How close one series came.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Near {
    /// The worst left side of the comparison, and when it was seen, in event time.
    worst: Option<(f64, u64)>,
    /// How long the condition held at most without firing, and until when.
    held: Option<(u64, u64)>,
}

/// How close one series of a rule came to an episode.
#[derive(Debug, Clone, PartialEq)]
pub struct Nearness {
    /// The host.
    pub host: CompactString,
    /// The series; empty for scalars.
    pub series: CompactString,
    /// The worst value, where the rule is one comparison with a number, and when it was seen.
    pub worst: Option<(f64, u64)>,
    /// That number.
    pub threshold: Option<f64>,
    /// How long the condition held at most without firing, in milliseconds, and until when.
    pub held: Option<(u64, u64)>,
    /// How long it would have had to hold, in milliseconds.
    pub for_ms: u64,
}

impl Near {
    /// Takes what a sample at event time `t` said, and where the series stands since.
    pub(super) fn take(&mut self, limit: Option<(Cmp, f64)>, verdict: &Verdict, phase: &Phase, t: u64) {
        if let (Some((cmp, _)), Some(value)) = (limit, verdict.seen) {
            let is_worse = self.worst.is_none_or(|(worst, _)| match cmp {
                Cmp::Above | Cmp::AtLeast => value > worst,
                Cmp::Below | Cmp::AtMost => value < worst,
                Cmp::Equal | Cmp::Unequal => false,
            });
            if is_worse {
                self.worst = Some((value, t));
            }
        }
        if let Phase::Pending(run) = phase {
            let held_ms = run.last - run.since;
            if self.held.is_none_or(|(most_ms, _)| held_ms > most_ms) {
                self.held = Some((held_ms, run.last));
            }
        }
    }
}

impl Machine {
    /// From now on it is kept how close series come that appear.
    pub fn keep_nearness(&mut self) {
        self.keeps_nearness = true;
    }

    /// How close the series of a rule came, by host and series.
    pub fn nearness(&self, rule: &str) -> impl Iterator<Item = Nearness> {
        let place = self.rules.binary_search_by(|entry| entry.id.as_str().cmp(rule)).ok();
        let ask = place.and_then(|place| self.rules[place].program.as_ref()?.ask.as_ref());
        let of_hosts = place.zip(ask).into_iter().flat_map(|(place, ask)| {
            self.hosts.iter().map(move |(host, known)| (host, known.runs.get(place), ask))
        });
        of_hosts.flat_map(|(host, watch, ask)| {
            let instances = watch.into_iter().flat_map(Watch::kept);
            instances.filter_map(move |instance| {
                let near = instance.near.as_ref()?;
                Some(Nearness {
                    host: host.clone(),
                    series: ask.series_text(&instance.label),
                    worst: near.worst,
                    threshold: ask.limit.map(|(_, number)| number),
                    held: near.held,
                    for_ms: ask.for_ms,
                })
            })
        })
    }
}
