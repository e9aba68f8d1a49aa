//! Transitions of alerts, as ALERTS keeps them: what became of an episode, with the evidence. Pure.

use crate::alerting::EpisodeRef;
use crate::ids::{EpisodeId, HostId, RuleId, SERIES_DIGITS, TeamId};
use crate::quantity::UnixMs;
use crate::rule::Severity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Stands for the host where an alert is about the whole team.
pub const WHOLE_TEAM: &str = "_";

/// One transition of one episode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
pub struct AlertEvent {
    /// Version of this form; 1.
    pub v: u8,
    /// What tells it from every other one.
    pub id: String,
    /// Whose alert it is.
    pub team: TeamId,
    /// Its episode, for ever.
    pub episode_id: EpisodeId,
    /// The instance and the number of the episode.
    #[serde(flatten)]
    pub episode: EpisodeRef,
    /// What became of it.
    pub transition: TransitionWord,
    /// How bad it is now.
    pub level: Severity,
    /// Why, or who.
    pub reason: Option<String>,
    /// Place in SAMPLES of the input that decided.
    pub sequence: u64,
    /// Its place among what that input decided.
    pub ordinal: u32,
    /// When the broker stored that input.
    #[schema(value_type = String, format = DateTime)]
    pub time: UnixMs,
    /// First sample that was true, in event time.
    #[schema(value_type = String, format = DateTime)]
    pub since: UnixMs,
    /// The last value that decided.
    pub value: Option<f64>,
    /// The worst of them.
    pub peak: Option<f64>,
    /// From `since` to the end, in milliseconds.
    pub duration_ms: Option<u64>,
    /// The rule tells nobody yet.
    pub shadow: bool,
    /// Found in back-filled samples: recorded, never told.
    pub retro: bool,
    /// The rule as it was then; nothing for a built-in one.
    pub rule_then: Option<RuleThen>,
    /// The first and the last value of the run that decided, with their times.
    pub samples: Vec<SampleThen>,
    /// What held notices back then.
    pub muted_by: Vec<String>,
    /// The last of these samples, as far as the rule reads it; nothing where a decision of a person or time decided.
    pub evidence: Option<Evidence>,
}

/// A rule as it was when it decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
pub struct RuleThen {
    /// Its place in JOURNAL.
    pub revision: u64,
    /// What people call it.
    pub name: String,
    /// In the rule language.
    pub text: String,
}

/// A value that decided, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
pub struct SampleThen {
    /// In event time.
    #[schema(value_type = String, format = DateTime)]
    pub time: UnixMs,
    /// The left side of the comparison that decided.
    pub value: Option<f64>,
}

/// A sample that decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
pub struct Evidence {
    /// When it was taken, by the host's clock.
    #[schema(value_type = String, format = DateTime)]
    pub time: UnixMs,
    /// The numbers that the rule reads.
    pub values: Vec<EvidenceValue>,
}

/// One number of a sample that decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
pub struct EvidenceValue {
    /// Of which metric.
    pub metric: String,
    /// Of which row; empty for scalars.
    pub row: String,
    /// The number.
    pub value: f64,
}

/// What can become of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransitionWord {
    /// It began.
    Fired,
    /// It became worse or better.
    Level,
    /// Somebody looks after it, or not any more.
    Acked,
    /// It is over.
    Resolved,
}

impl EpisodeRef {
    /// What the episode is called for ever; none where rule or host are no ids.
    #[must_use]
    pub fn id(&self) -> Option<EpisodeId> {
        let Self { rule, host, series, episode } = self;
        format!("{rule}~{host}~{episode}~{}", series_digits(series)).parse().ok()
    }
}

fn series_digits(series: &str) -> String {
    let hash = Sha256::digest(series.as_bytes());
    hash.iter().take(SERIES_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

impl EpisodeId {
    /// Rule, host and number; a host only where it is about one.
    #[must_use]
    pub fn parts(&self) -> Option<(RuleId, Option<HostId>, u64)> {
        let mut parts = self.as_str().split('~');
        let (rule, host, number) = (parts.next()?, parts.next()?, parts.next()?);
        let host = if host == WHOLE_TEAM { None } else { Some(host.parse().ok()?) };
        Some((rule.parse().ok()?, host, number.parse().ok()?))
    }
}

/// What tells one thing from every other: the first half of the SHA-256 of its words, in hexadecimal.
#[must_use]
pub fn fingerprint(words: &[&str]) -> String {
    let mut hash = Sha256::new();
    for word in words {
        hash.update((word.len() as u64).to_be_bytes());
        hash.update(word.as_bytes());
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_is_found_again_by_its_id() {
        let mut episode = EpisodeRef {
            rule: "cpu".to_owned(),
            host: "web-1".to_owned(),
            series: String::new(),
            episode: 4711,
        };
        let id = episode.id().unwrap();
        assert_eq!(id.as_str(), "cpu~web-1~4711~e3b0c44298fc1c14");
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
        assert_eq!(id.parts(), Some(("cpu".parse().unwrap(), Some("web-1".parse().unwrap()), 4711)));
        episode.series = "{mount=\"/\"}".to_owned();
        assert_ne!(episode.id(), Some(id));
        episode.host = WHOLE_TEAM.to_owned();
        assert_eq!(episode.id().and_then(|id| id.parts()).map(|(_, host, _)| host), Some(None));
        for bad in [
            "",
            "a~b~1",
            "a~b~1~xyz",
            "a~b~x~e3b0c44298fc1c14",
            "a.b~c~1~e3b0c44298fc1c14",
            "a~b~1~e3b0c44298fc1c14~",
        ] {
            assert!(bad.parse::<EpisodeId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn words_are_told_apart_wherever_they_end() {
        assert_ne!(fingerprint(&["ab", "c"]), fingerprint(&["a", "bc"]));
        assert_eq!(fingerprint(&["a"]).len(), 32);
    }
}
