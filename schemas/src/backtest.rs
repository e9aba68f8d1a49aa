//! A back-test: what is asked of the processors, and what they tell until it is done. Pure.

use crate::alerting::Scope;
use crate::ids::{HostId, RunId};
use crate::notice::NoticeWord;
use crate::quantity::UnixMs;
use crate::rule::Severity;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Episodes of one rule that are listed; more are counted.
pub const EPISODES_MAX: usize = 1000;
/// Episodes that travel in one message: well below what NATS takes.
pub const EPISODES_PER_MESSAGE: usize = 200;
/// Notices of one episode that are listed; more are counted.
pub const NOTICES_MAX: usize = 8;
/// Hosts of which it is said how close they came.
pub const NEAREST_MAX: usize = 10;
/// The longest range, in milliseconds.
pub const RANGE_MS_MAX: u64 = 30 * 86_400_000;
/// Says that somebody still waits.
pub const HEED_ON: &[u8] = b"on";
/// Says that nobody waits any more.
pub const HEED_OFF: &[u8] = b"off";

/// What is to be tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BacktestAsk {
    /// Version of this form; 1.
    pub v: u8,
    /// What tells it from every other run.
    pub run: RunId,
    /// The rule.
    pub rule: TriedRule,
    /// The same rule as it is saved, to compare with.
    pub before: Option<TriedRule>,
    /// The beginning, inclusive.
    pub from: UnixMs,
    /// The end, exclusive.
    pub to: UnixMs,
}

/// A rule as far as it decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriedRule {
    /// In the rule language.
    pub text: String,
    /// Which hosts it watches.
    pub scope: Scope,
}

/// One word of the processors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub enum BacktestTold {
    /// Others have to end first; nothing more is told.
    Busy,
    /// It is known, waits for others or goes on.
    Progress(BacktestProgress),
    /// Some of the episodes.
    Episodes {
        /// Of the rule as it is saved.
        before: bool,
        /// In order.
        episodes: Vec<TriedEpisode>,
    },
    /// All but the episodes, which were told before this; nothing more is told.
    Done(Box<BacktestResult>),
    /// It cannot be done; nothing more is told.
    Failed {
        /// Why, for people.
        detail: String,
    },
}

/// How far a back-test is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct BacktestProgress {
    /// Others have to end first.
    pub waits: bool,
    /// Samples read.
    pub samples: u64,
    /// Share of the range that was read, in percent.
    pub done_pct: f64,
}

/// What a rule would have done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BacktestResult {
    /// The beginning that was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub from: UnixMs,
    /// The end that was asked for, or now.
    #[schema(value_type = String, format = DateTime)]
    pub to: UnixMs,
    /// What was read, in order of time.
    pub parts: Vec<BacktestPart>,
    /// What the rule would have done.
    pub rule: TriedOutcome,
    /// What the rule as it is saved would have done.
    #[schema(required)]
    pub before: Option<TriedOutcome>,
    /// What an edit would have changed.
    #[schema(required)]
    pub difference: Option<BacktestDifference>,
    /// What is missing in this answer, and what is inexact; in sentences.
    pub left_out: Vec<String>,
}

/// A part of the range and where its samples come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BacktestPart {
    /// Which.
    pub source: BacktestSource,
    /// The beginning, inclusive.
    #[schema(value_type = String, format = DateTime)]
    pub from: UnixMs,
    /// The end, exclusive.
    #[schema(value_type = String, format = DateTime)]
    pub to: UnixMs,
    /// Samples read.
    pub samples: u64,
}

/// Where samples of the past come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BacktestSource {
    /// The log: every sample as it came.
    Samples,
    /// History: one sample a minute, which is the mean of the minute.
    Minutes,
}

/// What one rule would have done.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct TriedOutcome {
    /// The rule as it would be written.
    pub text: String,
    /// Hosts that it watches.
    pub hosts: u64,
    /// Hosts that would have had an episode.
    pub hosts_with_episodes: u64,
    /// How many episodes; at most 1000 are listed.
    pub episode_count: u64,
    /// The first of them.
    pub episodes: Vec<TriedEpisode>,
    /// How many notices one receiver would have got.
    pub notice_count: u64,
    /// The same by what they say.
    pub notices: Vec<NoticeCount>,
    /// Hosts without an episode that came closest to one, the closest first.
    pub nearest: Vec<NearMiss>,
}

/// An episode that would have been.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TriedEpisode {
    /// On which host; `_` for the whole team.
    pub host: String,
    /// Of which series; empty for scalars.
    pub series: String,
    /// How bad it was at worst.
    pub level: Severity,
    /// First sample that was true, in event time.
    #[schema(value_type = String, format = DateTime)]
    pub since: UnixMs,
    /// When the rule would have fired.
    #[schema(value_type = String, format = DateTime)]
    pub fired: UnixMs,
    /// When it would have been over; nothing: it was open at the end of the range.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub until: Option<UnixMs>,
    /// Why it would have been over.
    #[schema(required)]
    pub reason: Option<String>,
    /// The worst value.
    #[schema(required)]
    pub peak: Option<f64>,
    /// How many notices one receiver would have got.
    pub notice_count: u64,
    /// The first eight of them.
    pub notices: Vec<TriedNotice>,
    /// Of an edit: the other rule has an episode of this series at the same time.
    pub in_both: bool,
}

/// A notice that would have gone out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TriedNotice {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: UnixMs,
    /// What it says.
    pub notice: NoticeWord,
}

/// How many notices of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticeCount {
    /// What they say.
    pub notice: NoticeWord,
    /// How many.
    pub count: u64,
}

/// How close a host came to an episode that it did not have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NearMiss {
    /// The host.
    #[schema(value_type = String)]
    pub host: HostId,
    /// The series that came closest; empty for scalars.
    pub series: String,
    /// The worst value, where the rule is one comparison with a number.
    #[schema(required)]
    pub value: Option<f64>,
    /// That number.
    #[schema(required)]
    pub threshold: Option<f64>,
    /// When that was, or when the condition held longest.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub at: Option<UnixMs>,
    /// How long the condition held at most, in milliseconds.
    pub held_ms: u64,
    /// How long it would have had to, in milliseconds.
    pub for_ms: u64,
}

/// What an edit would have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BacktestDifference {
    /// Listed episodes of the edit without one of the saved rule at the same time.
    pub added: u64,
    /// Listed episodes of the saved rule without one of the edit at the same time.
    pub removed: u64,
    /// Listed episodes of the edit that the saved rule has, too.
    pub kept: u64,
    /// More notices than with the saved rule; fewer where negative.
    pub notices: i64,
}

/// One line of the answer to a back-test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BacktestLine {
    /// It goes on.
    Progress(BacktestProgress),
    /// It is done: the last line.
    Result(Box<BacktestResult>),
    /// It ended early: the last line.
    Error {
        /// Why, for people.
        detail: String,
    },
}
