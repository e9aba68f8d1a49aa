//! Notices, as NOTICES keeps them: the intent to tell one receiver something, decided once.

use crate::alerting::EpisodeRef;
use crate::episode::fingerprint;
use crate::ids::{EpisodeId, TeamId};
use crate::quantity::UnixMs;
use crate::rule::Severity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One message that is to be sent to one receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
pub struct Intent {
    /// Version of this form; 1.
    pub v: u8,
    /// What tells it from every other one; the end of its subject.
    pub id: String,
    /// Whose alert it is about.
    pub team: TeamId,
    /// The episode, for ever.
    pub episode_id: EpisodeId,
    /// The instance and the number of the episode.
    #[serde(flatten)]
    pub episode: EpisodeRef,
    /// What it says.
    pub notice: NoticeWord,
    /// Which one of its kind in the episode, from 1.
    pub n: u32,
    /// To whom.
    pub receiver: String,
    /// How bad it is.
    pub level: Severity,
    /// Why it is over.
    pub reason: Option<String>,
    /// First sample that was true, in event time.
    #[schema(value_type = String, format = DateTime)]
    pub since: UnixMs,
    /// The last value that decided.
    pub value: Option<f64>,
    /// The worst of them.
    pub peak: Option<f64>,
    /// How long it lasted, in milliseconds; none: it is open.
    pub duration_ms: Option<u64>,
    /// Episodes that came and went unheard before this one.
    pub short_episodes: u32,
    /// The rule tells nobody yet: recorded, not sent.
    pub shadow: bool,
    /// Place in SAMPLES of the input that decided.
    pub sequence: u64,
    /// When the broker stored that input.
    #[schema(value_type = String, format = DateTime)]
    pub time: UnixMs,
}

/// What a notice says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoticeWord {
    /// It calmed down.
    Steady,
    /// It comes and goes.
    Flapping,
    /// It is open.
    Firing,
    /// It became worse.
    LevelUp,
    /// It is still open.
    Reminder,
    /// Nobody looks after it.
    Escalated,
    /// It is over.
    Resolved,
}

impl NoticeWord {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Flapping => "flapping",
            Self::Firing => "firing",
            Self::LevelUp => "level_up",
            Self::Reminder => "reminder",
            Self::Escalated => "escalated",
            Self::Resolved => "resolved",
        }
    }
}

/// The id of an intent: the same decision is the same intent, whoever takes it and however often.
#[must_use]
pub fn intent_id(team: &TeamId, episode: &EpisodeRef, notice: NoticeWord, n: u32, receiver: &str) -> String {
    let EpisodeRef { rule, host, series, episode } = episode;
    let (episode, n) = (episode.to_string(), n.to_string());
    fingerprint(&[team.as_str(), rule, host, series, &episode, notice.as_str(), &n, receiver])
}
