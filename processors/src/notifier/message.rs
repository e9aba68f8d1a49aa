//! What a message says, before any channel's form: lines about episodes, the worst first. Pure.

use watchkeeper_schemas::ids::{EpisodeId, ReceiverId, TeamId};
use watchkeeper_schemas::notice::NoticeWord;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::rule::Severity;

/// One message to one receiver. Every text in it comes from elsewhere and is raw: each channel escapes it for itself,
/// and shortens it to its own limit without cutting amid an escape.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// What tells it from every other one: the intent that leads it. Channels that know such a thing hand it on.
    pub id: String,
    /// Whose alerts they are.
    pub team: TeamId,
    /// What people call the team.
    pub team_name: String,
    /// To whom.
    pub receiver: ReceiverId,
    /// An earlier attempt may have arrived: the message says so.
    pub possible_repeat: bool,
    /// Nobody is to be woken by it.
    pub silent: bool,
    /// When it was put together.
    pub time: UnixMs,
    /// What it is about.
    pub body: Body,
}

/// What a message is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Somebody wants to see that messages arrive.
    Test {
        /// Who.
        by: String,
        /// Where the receiver is shown on the page.
        link: String,
    },
    /// Alerts; at least one line, the worst first.
    Alerts {
        /// One for each episode, with its present state.
        lines: Vec<Line>,
        /// Where the team's alerts are shown on the page.
        link: String,
    },
}

/// What is said of one episode.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The episode, for buttons and threads.
    pub episode: EpisodeId,
    /// What is said.
    pub notice: NoticeWord,
    /// How bad it is.
    pub level: Severity,
    /// It is over.
    pub is_over: bool,
    /// What the rule is called.
    pub rule: String,
    /// What the host is called; nothing where the whole team is meant.
    pub host: Option<String>,
    /// Of which series, as `/srv`; empty for scalars.
    pub series: String,
    /// Value and threshold in words, as `97.2 % (> 90 %)`; may be empty.
    pub what: String,
    /// First sample that was true.
    pub since: UnixMs,
    /// How long it lasted; none: it is open.
    pub duration_ms: Option<u64>,
    /// The worst value in words; may be empty.
    pub peak: String,
    /// Why it is over, which reminder it is, how many short episodes came before: whatever else is to be said.
    pub note: String,
    /// Where the episode is shown on the page.
    pub link: String,
}
