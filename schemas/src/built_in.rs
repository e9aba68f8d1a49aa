//! The rules that every team has without writing them: people switch them off and say who hears.

use crate::rule::Severity;

/// A rule that every team has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    /// Its reserved id.
    pub id: &'static str,
    /// The name that people read.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it watches, in a sentence.
    pub description: &'static str,
}

const fn rule(
    id: &'static str,
    name: &'static str,
    severity: Severity,
    description: &'static str,
) -> BuiltIn {
    BuiltIn { id, name, severity, description }
}

/// Every one of them.
pub static BUILT_IN: [BuiltIn; 9] = [
    rule("host_silent", "Host silent", Severity::Critical, "A host does not report"),
    rule("ingest_outage", "Ingest outage", Severity::Critical, "Most hosts of the team do not report"),
    rule("clock_skew", "Clock skew", Severity::Warning, "The clock of a host is wrong by more than 30 s"),
    rule("unreadable_samples", "Unreadable samples", Severity::Warning, "Messages of a host cannot be read"),
    rule("shared_identity", "Shared identity", Severity::Warning, "Two agents report as one host"),
    rule("rule_broken", "Rule broken", Severity::Warning, "A rule watches less than it should"),
    rule("receiver_failed", "Receiver failed", Severity::Warning, "Messages to a receiver are refused"),
    rule("rebooted", "Rebooted", Severity::Info, "A host started anew"),
    rule("blind", "Blind", Severity::Warning, "Nobody watched for a while"),
];

/// A built-in rule by its id.
#[must_use]
pub fn built_in(id: &str) -> Option<&'static BuiltIn> {
    BUILT_IN.iter().find(|it| it.id == id)
}
