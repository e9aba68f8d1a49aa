//! What the machine asks for: transitions to record, notices to send.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use watchkeeper_schemas::alerting::EpisodeRef;
use watchkeeper_schemas::notice::NoticeWord;
use watchkeeper_schemas::rule::Severity;

/// Stands for the host where an alert is about the whole team.
pub const TEAM: &str = "_";

/// One series of one rule on one host; `_` as the host where it is about the whole team.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words say it")]
pub struct Key {
    pub rule: CompactString,
    pub host: CompactString,
    pub series: CompactString,
}

impl Key {
    /// The instance.
    #[must_use]
    pub fn new(rule: &str, host: &str, series: &str) -> Self {
        Self { rule: rule.into(), host: host.into(), series: series.into() }
    }

    /// The instance of an episode.
    #[must_use]
    pub fn of(episode: &EpisodeRef) -> Self {
        Self::new(&episode.rule, &episode.host, &episode.series)
    }
}

/// What the machine asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// To be recorded.
    Transition(Transition),
    /// To be sent.
    Notice(Notice),
}

/// What became of an episode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// Of which instance.
    pub key: Key,
    /// The episode's number.
    pub episode: u64,
    /// What became of it.
    pub kind: TransitionKind,
    /// How bad it is now.
    pub level: Severity,
    /// Why, or who.
    pub reason: Option<CompactString>,
    /// First sample that was true, in event time.
    pub since: u64,
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
    /// What explains it later, whatever becomes of rule and samples.
    #[serde(default)]
    pub evidence: Evidence,
}

/// What explains a transition.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// The text of the rule then; empty for a built-in one.
    pub rule: CompactString,
    /// The input since which that text is in force; 0: since before the first.
    pub in_force: u64,
    /// The first and the last sample of the run that decided; one sample where it decided alone.
    pub samples: Vec<Sampled>,
    /// What held notices back then.
    pub muted_by: Vec<CompactString>,
}

/// What one sample said.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// Event time, in milliseconds since 1970.
    pub time: u64,
    /// The left side of the comparison that decided.
    pub value: Option<f64>,
}

/// What can become of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it")]
pub enum TransitionKind {
    Fired,
    Level,
    Acked,
    Resolved,
}

/// Why an episode is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it")]
pub enum Reason {
    Ok,
    NoData,
    SeriesGone,
    RuleChanged,
    Deleted,
    Disabled,
    OutOfScope,
    Manual,
}

impl Reason {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NoData => "no_data",
            Self::SeriesGone => "series_gone",
            Self::RuleChanged => "rule_changed",
            Self::Deleted => "deleted",
            Self::Disabled => "disabled",
            Self::OutOfScope => "out_of_scope",
            Self::Manual => "manual",
        }
    }
}

/// One message to one receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Of which instance.
    pub key: Key,
    /// Of which episode.
    pub episode: u64,
    /// What it says.
    pub kind: NoticeKind,
    /// Which one of its kind in the episode, from 1.
    pub n: u32,
    /// To whom.
    pub receiver: String,
    /// How bad it is now.
    pub level: Severity,
    /// Why it is over.
    pub reason: Option<CompactString>,
    /// Episodes that came and went unheard before this one.
    pub short_episodes: u32,
    /// The rule tells nobody yet: to be recorded, not sent.
    pub shadow: bool,
    /// First sample that was true, in event time.
    pub since: u64,
    /// The last value that decided.
    pub value: Option<f64>,
    /// The worst of them.
    pub peak: Option<f64>,
    /// How long it lasted, in milliseconds; none: it is open.
    pub duration_ms: Option<u64>,
}

/// What a notice says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it")]
pub enum NoticeKind {
    Steady,
    Flapping,
    Firing,
    LevelUp,
    Reminder,
    Escalated,
    Resolved,
}

impl NoticeKind {
    /// As it is published.
    #[must_use]
    pub fn word(self) -> NoticeWord {
        match self {
            Self::Steady => NoticeWord::Steady,
            Self::Flapping => NoticeWord::Flapping,
            Self::Firing => NoticeWord::Firing,
            Self::LevelUp => NoticeWord::LevelUp,
            Self::Reminder => NoticeWord::Reminder,
            Self::Escalated => NoticeWord::Escalated,
            Self::Resolved => NoticeWord::Resolved,
        }
    }
}

impl Effect {
    /// The order of the effects of one input: by instance, what happened before who hears, an old episode first.
    pub(super) fn order(&self) -> impl Ord + '_ {
        match self {
            Self::Transition(it) => (&it.key, false, it.episode, it.kind as u8, 0, ""),
            Self::Notice(it) => (&it.key, true, it.episode, it.kind as u8, it.n, it.receiver.as_str()),
        }
    }
}
