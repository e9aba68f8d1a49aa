//! The rules of a team as the machine keeps them, and what the built-in ones are called.

use super::program::Program;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use watchkeeper_schemas::alerting::{RuleState, SavedRule};
use watchkeeper_schemas::rule::{Rule, Severity};

/// A host does not report.
pub(super) const HOST_SILENT: &str = "host_silent";
/// Most hosts of a team do not report.
pub(super) const INGEST_OUTAGE: &str = "ingest_outage";
/// The clock of a host is wrong.
pub(super) const CLOCK_SKEW: &str = "clock_skew";
/// Messages of a host cannot be read.
pub(super) const UNREADABLE: &str = "unreadable_samples";
/// Two agents report as one host.
pub(super) const SHARED_IDENTITY: &str = "shared_identity";
/// A rule watches less than it should.
pub(super) const RULE_BROKEN: &str = "rule_broken";
/// Messages to a receiver are refused.
pub(super) const RECEIVER_FAILED: &str = "receiver_failed";
/// A host started anew.
pub(super) const REBOOTED: &str = "rebooted";
/// Nobody watched for a while.
pub(super) const BLIND: &str = "blind";

/// The level of a built-in rule; none: it is none.
#[must_use]
pub(super) fn built_in(id: &str) -> Option<Severity> {
    watchkeeper_schemas::built_in::built_in(id).map(|it| it.severity)
}

/// A rule as saved, and ready to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its id.
    pub(super) id: CompactString,
    /// As saved.
    pub(super) saved: SavedRule,
    /// Ready; none: its text does not read.
    #[serde(skip)]
    pub(super) program: Option<Program>,
    /// The input since which it is so; 0: since before the first.
    pub(super) in_force: u64,
    /// Instances that it has.
    pub(super) instances: usize,
    /// Series that have no place.
    pub(super) unwatched: usize,
    /// It takes no new series until there is room again.
    pub(super) full: bool,
}

impl Entry {
    /// Makes a saved rule ready.
    #[must_use]
    pub(super) fn new(id: &str, saved: SavedRule, in_force: u64) -> Self {
        let mut entry =
            Self { id: id.into(), saved, program: None, in_force, instances: 0, unwatched: 0, full: false };
        entry.compile();
        entry
    }

    /// Makes it ready again, after a snapshot.
    pub(super) fn compile(&mut self) {
        self.program = self.saved.text.parse::<Rule>().ok().map(Program::new);
    }

    /// Whether it looks at samples.
    #[must_use]
    pub(super) fn asks(&self) -> bool {
        self.runs() && self.program.as_ref().is_some_and(|program| program.ask.is_some())
    }

    /// Whether it watches that hosts report, and for how long they may be silent, in milliseconds.
    #[must_use]
    pub(super) fn silence(&self) -> Option<Option<u64>> {
        let program = self.program.as_ref().filter(|program| self.runs() && program.ask.is_none())?;
        match program.rule.condition {
            watchkeeper_schemas::rule::Condition::HostSilent { for_ms } => Some(for_ms.map(u64::from)),
            watchkeeper_schemas::rule::Condition::Threshold(_) => None,
        }
    }

    fn runs(&self) -> bool {
        self.saved.state != RuleState::Disabled
    }
}
