//! What people decide about alerts: rules as saved, silences, acknowledgements, who hears. Becomes facts of JOURNAL.

mod recurring;

pub use recurring::{DAYS_AHEAD, MaintenanceError, WeeklyMaintenance};

use crate::ids::{HostId, RuleId};
use crate::quantity::UnixMs;
use crate::rule::Severity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One decision; a removed thing has no value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AlertFact {
    /// A rule; its id may be that of a built-in one, which then only takes state and receivers from it.
    Rule {
        /// The rule.
        id: RuleId,
        /// As saved.
        value: Option<SavedRule>,
    },
    /// What alerts need to know of a host.
    Host {
        /// The host.
        id: HostId,
        /// How it is watched.
        value: Option<WatchedHost>,
    },
    /// A silence or a maintenance window.
    Silence {
        /// The silence.
        id: String,
        /// What it holds back; none: ended.
        value: Option<Silence>,
    },
    /// Somebody looks after an episode; no value: not any more.
    Ack {
        /// Which episode.
        #[serde(flatten)]
        episode: EpisodeRef,
        /// Who.
        value: Option<String>,
    },
    /// Somebody says that an episode is over.
    Resolve {
        /// Which episode.
        #[serde(flatten)]
        episode: EpisodeRef,
        /// Who.
        by: String,
    },
    /// Who hears where a rule names nobody.
    Defaults {
        /// The team's choice.
        value: Defaults,
    },
    /// Messages to a receiver are refused for good; no value: they arrive again.
    Receiver {
        /// The receiver.
        id: String,
        /// What its channel answers.
        value: Option<String>,
    },
    /// How bad an alert must be for a receiver to hear of it; no value: it is gone.
    Hears {
        /// The receiver.
        id: String,
        /// From which level on.
        value: Option<Severity>,
    },
    /// Whoever decides was far behind the log: nobody watched.
    Behind {
        /// Since the first input that came too late.
        from: UnixMs,
        /// Until everything was read.
        until: UnixMs,
    },
}

/// A rule as saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SavedRule {
    /// In the rule language.
    pub text: String,
    /// Which hosts it watches.
    #[serde(default)]
    pub scope: Scope,
    /// Who hears; empty: the team's default.
    #[serde(default)]
    pub receivers: BTreeSet<String>,
    /// Whether it runs and tells.
    #[serde(default)]
    pub state: RuleState,
    /// Who hears next; empty: the team's policy.
    #[serde(default)]
    pub policy: Vec<Step>,
}

/// Which hosts a rule watches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[schema(as = RuleScope)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every host of the team.
    #[default]
    All,
    /// Hosts with at least one of these tags; empty: none.
    Tags(BTreeSet<String>),
    /// These hosts; empty: none.
    Hosts(BTreeSet<HostId>),
}

impl Scope {
    /// Whether a host with these tags is in it.
    #[must_use]
    pub fn includes(&self, host: &str, tags: &BTreeSet<String>) -> bool {
        match self {
            Self::All => true,
            Self::Tags(any) => any.iter().any(|tag| tags.contains(tag)),
            Self::Hosts(hosts) => hosts.iter().any(|known| known.as_str() == host),
        }
    }
}

/// Whether a rule runs and tells.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RuleState {
    /// Runs and tells.
    #[default]
    Live,
    /// Runs, is recorded, tells nobody.
    Shadow,
    /// Does not run.
    Disabled,
}

/// A step of an escalation policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
pub struct Step {
    /// Who hears.
    #[schema(value_type = Vec<String>)]
    pub receivers: BTreeSet<String>,
    /// How long they have until the next step, in milliseconds.
    pub wait_ms: u64,
}

/// What alerts need to know of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct WatchedHost {
    /// Tags for scopes and silences.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// Held back from watching.
    #[serde(default)]
    pub paused: bool,
    /// Interval between samples, in milliseconds; 0: only what samples say.
    #[serde(default)]
    pub interval_ms: u32,
}

/// Notices that are held back for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Silence {
    /// Who made it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// From when, inclusive.
    pub from: UnixMs,
    /// Until when, exclusive.
    pub until: UnixMs,
    /// What must all be true of an alert; none: nothing is held back.
    pub matchers: Vec<Matcher>,
}

/// What must be true of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Matcher {
    /// It is about this host.
    Host(HostId),
    /// Its host has this tag.
    Tag(String),
    /// It is of this rule.
    Rule(RuleId),
    /// Its series has this label.
    Label {
        /// The label.
        name: String,
        /// Its value.
        value: String,
    },
    /// It is this bad.
    Severity(Severity),
}

/// One episode of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
pub struct EpisodeRef {
    /// Of which rule.
    pub rule: String,
    /// On which host; `_` for the whole team.
    pub host: String,
    /// Of which series; empty for scalars.
    #[serde(default)]
    pub series: String,
    /// Its number.
    pub episode: u64,
}

impl EpisodeRef {
    /// What is true of this alert, and of those that follow it: its rule, its host, the label of its series.
    #[must_use]
    pub fn matchers(&self) -> Vec<Matcher> {
        let (rule, host) = (self.rule.parse().ok(), self.host.parse().ok());
        let label = label_of(&self.series).map(|(name, value)| Matcher::Label { name, value });
        [rule.map(Matcher::Rule), host.map(Matcher::Host), label].into_iter().flatten().collect()
    }
}

/// The label of a series and its value: of `{mount="/srv"}`, or of the same with `no_data` behind it.
#[must_use]
pub fn label_of(series: &str) -> Option<(String, String)> {
    let (name, rest) = series.strip_prefix('{')?.split_once('=')?;
    let value = serde_json::Deserializer::from_str(rest).into_iter::<String>().next()?.ok()?;
    Some((name.to_owned(), value))
}

/// The team's choice where a rule names nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[schema(as = AlertDefaults)]
pub struct Defaults {
    /// Who hears.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub receivers: BTreeSet<String>,
    /// Who hears next.
    #[serde(default)]
    pub policy: Vec<Step>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_known_again_by_its_rule_host_and_label() {
        let matchers = |host: &str, series: &str| {
            let (rule, host, series) = ("disk".to_owned(), host.to_owned(), series.to_owned());
            EpisodeRef { rule, host, series, episode: 1 }.matchers()
        };
        let rule = Matcher::Rule("disk".parse().unwrap());
        let host = Matcher::Host("web-1".parse().unwrap());
        let label = Matcher::Label { name: "mount".to_owned(), value: "/a\"}".to_owned() };
        assert_eq!(matchers("_", ""), vec![rule.clone()]);
        assert_eq!(matchers("web-1", ""), [rule.clone(), host.clone()]);
        let all = [rule, host, label];
        assert_eq!(matchers("web-1", r#"{mount="/a\"}"}"#), all);
        assert_eq!(matchers("web-1", r#"{mount="/a\"}"}no_data"#), all);
    }
}
