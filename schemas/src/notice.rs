//! Notices, as NOTICES keeps them: the intent to tell one receiver something, decided once; each attempt to do so, what
//! its channel answered, and the one result. Each has a subject of its own, which takes one message for ever.

use crate::alerting::EpisodeRef;
use crate::episode::{RuleThen, fingerprint};
use crate::ids::{EpisodeId, ReceiverId, TeamId, UserId};
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
    /// The rule as it was then; nothing for a built-in one, or from before this was written down.
    #[serde(default)]
    pub rule_then: Option<RuleThen>,
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

/// Somebody wants to see that messages arrive: told at once, alone, and tried once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestNotice {
    /// Version of this form; 1.
    pub v: u8,
    /// What tells it from every other one; the end of its subject.
    pub id: String,
    /// Whose receiver it is.
    pub team: TeamId,
    /// To whom.
    pub receiver: ReceiverId,
    /// Who wants to see it.
    pub by: UserId,
    /// When.
    pub time: UnixMs,
}

/// A message is about to be handed to a channel: written before, so that nobody hands it over twice unknowingly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
pub struct Attempt {
    /// Version of this form; 1.
    pub v: u8,
    /// The intent that leads the message; its subject names it.
    pub id: String,
    /// Which attempt for this intent, from 1; the end of its subject.
    pub k: u32,
    /// Whose receiver it is.
    pub team: TeamId,
    /// To whom.
    pub receiver: String,
    /// Every intent that the message tells, the leading one included.
    pub members: Vec<String>,
    /// Whether an earlier attempt may have arrived, which the message says.
    pub possible_repeat: bool,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub time: UnixMs,
}

/// What a channel answered to an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
pub struct Answer {
    /// Version of this form; 1.
    pub v: u8,
    /// The intent that led the message; its subject names it.
    pub id: String,
    /// Which attempt, from 1; the end of its subject.
    pub k: u32,
    /// Whose receiver it is.
    pub team: TeamId,
    /// To whom.
    pub receiver: String,
    /// What became of it.
    pub answer: AnswerWord,
    /// In words, as far as it may be shown.
    pub detail: String,
    /// The channel's id of the message.
    pub message: Option<String>,
    /// When the channel wants to be asked again, in milliseconds from then.
    pub retry_after_ms: Option<u64>,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub time: UnixMs,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerWord {
    /// The channel took it.
    Delivered,
    /// The channel certainly did not take it, now: it is tried again.
    NotNow,
    /// It is not known whether the channel took it: it is tried again, marked.
    Unknown,
    /// The channel refuses it for good.
    Refused,
}

/// What became of an intent in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
pub struct NoticeResult {
    /// Version of this form; 1.
    pub v: u8,
    /// The intent; its subject names it.
    pub id: String,
    /// Whose receiver it is.
    pub team: TeamId,
    /// To whom.
    pub receiver: String,
    /// By which channel, where there is one.
    pub channel: Option<crate::receiver::ChannelKind>,
    /// What became of it.
    pub outcome: ResultWord,
    /// In words, as far as it may be shown.
    pub detail: Option<String>,
    /// The intent whose message told it.
    pub into: Option<String>,
    /// The channel's id of the message.
    pub message: Option<String>,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub time: UnixMs,
}

/// What can become of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResultWord {
    /// It arrived, in a message of its own or as the first of one.
    Delivered,
    /// It arrived as part of another's message.
    Merged,
    /// It had become untrue or needless before it could be sent.
    Superseded,
    /// It was refused, or could not be sent for too long.
    Failed,
}

/// The id of an intent: the same decision is the same intent, whoever takes it and however often.
#[must_use]
pub fn intent_id(team: &TeamId, episode: &EpisodeRef, notice: NoticeWord, n: u32, receiver: &str) -> String {
    let EpisodeRef { rule, host, series, episode } = episode;
    let (episode, n) = (episode.to_string(), n.to_string());
    fingerprint(&[team.as_str(), rule, host, series, &episode, notice.as_str(), &n, receiver])
}
