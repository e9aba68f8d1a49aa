//! What people may say of rules and silences. Pure.

use crate::http::body::Mistakes;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use watchkeeper_schemas::alerting::{MaintenanceError, Matcher, Scope, Step, WeeklyMaintenance};
use watchkeeper_schemas::ids::ReceiverId;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::rule::Rule;

/// Characters of a rule's name.
pub const NAME_CHARS: RangeInclusive<usize> = 1..=128;
/// Characters of a reason or remark.
pub const REASON_CHARS: RangeInclusive<usize> = 1..=500;
/// Characters of a tag or label value.
const WORD_CHARS: RangeInclusive<usize> = 1..=256;
/// Receivers that are named in one place.
pub const RECEIVERS_MAX: usize = 32;
/// Steps of an escalation policy.
pub const STEPS_MAX: usize = 5;
/// How long the receivers of a step have, in milliseconds.
pub const WAIT_MS: RangeInclusive<u64> = 60_000..=86_400_000;
/// Tags or hosts of a scope.
pub const SCOPE_MAX: usize = 1000;
/// Matchers of a silence.
pub const MATCHERS_MAX: usize = 16;
/// A silence lasts no longer, in milliseconds.
pub const SILENCE_MS_MAX: u64 = 366 * 86_400_000;

/// Notes what is wrong with a rule's text.
pub fn check_text(mistakes: &mut Mistakes, text: &str) {
    if let Err(error) = text.parse::<Rule>() {
        let nearest = error.nearest.as_ref().map(|it| format!("; did you mean {it}?")).unwrap_or_default();
        let expected = format!("column {}: {}{nearest}", error.column, error.expected);
        let found = if error.found.is_empty() { "the end" } else { error.found.as_str() };
        mistakes.note("text", expected, found);
    }
}

/// Notes what is wrong with where a rule looks.
pub fn check_scope(mistakes: &mut Mistakes, scope: &Scope) {
    let count = match scope {
        Scope::All => 0,
        Scope::Tags(tags) => {
            tags.iter().take(SCOPE_MAX).for_each(|tag| mistakes.text("scope.tags", tag, WORD_CHARS));
            tags.len()
        }
        Scope::Hosts(hosts) => hosts.len(),
    };
    if count > SCOPE_MAX {
        mistakes.note("scope", format!("at most {SCOPE_MAX} tags or hosts"), &count.to_string());
    }
}

/// Notes what is wrong with who hears.
pub fn check_receivers(mistakes: &mut Mistakes, field: &str, receivers: &BTreeSet<String>) {
    if receivers.len() > RECEIVERS_MAX {
        mistakes.note(field, format!("at most {RECEIVERS_MAX} receivers"), &receivers.len().to_string());
    }
    for receiver in receivers.iter().take(RECEIVERS_MAX) {
        if let Err(error) = receiver.parse::<ReceiverId>() {
            mistakes.note(field, error.expected, receiver);
        }
    }
}

/// Notes what is wrong with who hears next.
pub fn check_policy(mistakes: &mut Mistakes, policy: &[Step]) {
    if policy.len() > STEPS_MAX {
        mistakes.note("policy", format!("at most {STEPS_MAX} steps"), &policy.len().to_string());
    }
    for step in policy.iter().take(STEPS_MAX) {
        check_receivers(mistakes, "policy.receivers", &step.receivers);
        if step.receivers.is_empty() {
            mistakes.note("policy.receivers", "at least one receiver", "none");
        }
        mistakes.number("policy.wait_ms", step.wait_ms, WAIT_MS);
    }
}

/// Notes what is wrong with what a silence holds back.
pub fn check_matchers(mistakes: &mut Mistakes, matchers: &[Matcher]) {
    if matchers.is_empty() || matchers.len() > MATCHERS_MAX {
        mistakes.note("matchers", format!("1 to {MATCHERS_MAX} matchers"), &matchers.len().to_string());
    }
    for matcher in matchers.iter().take(MATCHERS_MAX) {
        match matcher {
            Matcher::Tag(tag) => mistakes.text("matchers.tag", tag, WORD_CHARS),
            Matcher::Label { name, value } => {
                mistakes.text("matchers.label.name", name, WORD_CHARS);
                mistakes.text("matchers.label.value", value, WORD_CHARS);
            }
            Matcher::Host(_) | Matcher::Rule(_) | Matcher::Severity(_) => {}
        }
    }
}

/// Notes what is wrong with maintenance of every week.
pub fn check_weekly(mistakes: &mut Mistakes, weekly: &WeeklyMaintenance) {
    mistakes.text("reason", &weekly.reason, REASON_CHARS);
    check_matchers(mistakes, &weekly.matchers);
    for (field, error) in weekly.mistakes() {
        match error {
            MaintenanceError::Zone(found) => mistakes.note(field, "a time zone, as Europe/Berlin", &found),
            MaintenanceError::Time(found) => mistakes.note(field, "a time of day, as 22:00", &found),
            MaintenanceError::Days => {
                mistakes.note(
                    field,
                    "at least one day from 1 (Monday) to 7 (Sunday)",
                    &format!("{:?}", weekly.days),
                );
            }
            // Told with their number.
            MaintenanceError::Matchers => {}
        }
    }
}

/// Notes what is wrong with how long a silence lasts.
pub fn check_span(mistakes: &mut Mistakes, from: UnixMs, until: UnixMs) {
    if until <= from || until.0 - from.0 > SILENCE_MS_MAX {
        mistakes.note("until", "later than `from`, by a year at most", &until.to_string());
    }
}
