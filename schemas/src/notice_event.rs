//! What a webhook is sent: a `CloudEvent` of version 1.0 in structured mode, so a body of JSON that tells everything.

use crate::ids::{EpisodeId, ReceiverId, TeamId};
use crate::notice::NoticeWord;
use crate::quantity::UnixMs;
use crate::rule::Severity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The type of an event that tells of alerts.
pub const NOTICE_EVENT_TYPE: &str = "watchkeeper.notice.v1";
/// The type of an event by which somebody sees that events arrive.
pub const TEST_EVENT_TYPE: &str = "watchkeeper.test.v1";
/// Notices in one event.
pub const NOTICES_MAX: usize = 1_000;

/// The attributes of `CloudEvents` around what is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event<T> {
    /// Version of `CloudEvents`; 1.0.
    pub specversion: String,
    /// What kind of event it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// `/teams/<team>/receivers/<receiver>`.
    pub source: String,
    /// The message's id: the same when it is sent again. Unique with `source`.
    pub id: String,
    /// When it was put together.
    pub time: UnixMs,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// What is told.
    pub data: T,
}

/// Alerts are told.
pub type NoticeEvent = Event<NoticeData>;
/// Somebody wants to see that events arrive.
pub type TestEvent = Event<TestData>;

/// What is told of alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NoticeData {
    /// Version of this form; 1. New fields may be added to it.
    pub v: u8,
    /// Whose alerts they are.
    pub team: TeamId,
    /// What people call the team.
    pub team_name: String,
    /// To whom.
    pub receiver: ReceiverId,
    /// An earlier attempt may have arrived, with the same id.
    pub possible_repeat: bool,
    /// Nobody is to be woken by it.
    pub silent: bool,
    /// One for each episode, with its present state; the worst first.
    pub notices: Vec<EventNotice>,
    /// Notices that had no place here.
    pub left_out: u32,
    /// Where the team's alerts are shown on the page.
    pub link: String,
}

/// What is told of one episode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventNotice {
    /// The episode: the same in every notice of it, to the last.
    pub episode: EpisodeId,
    /// What the rule is called.
    pub rule: String,
    /// What the host is called; nothing where the whole team is meant.
    pub host: Option<String>,
    /// Of which series, as `/srv`; empty where there is but one.
    pub series: String,
    /// Why it is told.
    pub notice: NoticeWord,
    /// How bad it is.
    pub level: Severity,
    /// Whether it lasts.
    pub state: NoticeState,
    /// Value and threshold in words; may be empty.
    pub what: String,
    /// First sample that was true.
    pub since: UnixMs,
    /// How long it lasted, in milliseconds; none: it is open.
    pub duration_ms: Option<u64>,
    /// The worst value in words; may be empty.
    pub peak: String,
    /// Whatever else is to be said, in words; may be empty.
    pub note: String,
    /// Where the episode is shown on the page.
    pub link: String,
}

/// Whether an episode lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoticeState {
    /// It does.
    Open,
    /// It is over.
    Over,
}

/// What is told in a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestData {
    /// Version of this form; 1.
    pub v: u8,
    /// Whose receiver it is.
    pub team: TeamId,
    /// What people call the team.
    pub team_name: String,
    /// To whom.
    pub receiver: ReceiverId,
    /// Who wants to see it.
    pub by: String,
    /// Where the receiver is shown on the page.
    pub link: String,
}

impl<T> Event<T> {
    /// An event of one of the types above.
    #[must_use]
    pub fn new(kind: &str, source: String, id: String, time: UnixMs, data: T) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            kind: kind.to_owned(),
            source,
            id,
            time,
            datacontenttype: "application/json".to_owned(),
            data,
        }
    }
}
