//! How the whole system does: each part with its version, each processor with its lag, each stream with its size.

pub mod judge;
pub mod poll;

use judge::State;
use serde::Serialize;
use watchkeeper_schemas::quantity::UnixMs;

/// How the whole system does.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SystemView {
    /// The version of this gateway.
    pub version: &'static str,
    /// When this gateway started.
    #[schema(value_type = String, format = DateTime)]
    pub started: UnixMs,
    /// The servers that this gateway needs.
    pub parts: Vec<Part>,
    /// Each processor.
    pub processors: Vec<ProcessorLag>,
    /// Each stream and bucket.
    pub streams: Vec<StreamSize>,
    /// Events that can never be handled.
    pub parked: Parked,
}

/// A server that the gateway needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Part {
    /// Its name.
    #[schema(example = "nats-server")]
    pub name: &'static str,
    /// Its version, once it has told.
    #[schema(required)]
    pub version: Option<String>,
    /// Whether it works.
    pub state: State,
    /// What is wrong, for people; empty while it works.
    pub detail: String,
}

/// How far a processor is behind.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ProcessorLag {
    /// Its name.
    #[schema(example = "latest")]
    pub name: &'static str,
    /// Whether it works.
    pub state: State,
    /// Events that it has not handled.
    pub lag_events: u64,
    /// Age of the oldest of them.
    pub lag_s: f64,
}

/// How large a stream is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct StreamSize {
    /// Its name; a bucket's begins with `KV_`.
    #[schema(example = "SAMPLES")]
    pub name: String,
    /// Events in it.
    pub messages: u64,
    /// Bytes that they take.
    pub bytes: u64,
}

/// Events that can never be handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct Parked {
    /// All of them.
    pub total: u64,
}

/// How far the views are behind, as the live stream tells it.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct LagView {
    /// Each processor.
    pub processors: Vec<ProcessorLag>,
    /// Whether history can be asked for.
    pub history: HistoryState,
}

/// Whether history can be asked for, and is up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct HistoryState {
    /// Whether it works.
    pub state: State,
    /// What is wrong, for people; empty while it works.
    pub detail: String,
}

/// Events that came so shortly before are under way, in seconds.
const UNDER_WAY_S: f64 = 2.0;
/// The name of the part that keeps history.
pub const QUESTDB: &str = "questdb";
/// The name of the part that keeps the log.
pub const NATS_SERVER: &str = "nats-server";

impl SystemView {
    /// Before anything was asked.
    #[must_use]
    pub fn unknown(started: UnixMs) -> Self {
        let part = |name| Part {
            name,
            version: None,
            state: State::Down,
            detail: "has not answered yet".to_owned(),
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            started,
            parts: vec![part(NATS_SERVER), part(QUESTDB)],
            processors: Vec::new(),
            streams: Vec::new(),
            parked: Parked::default(),
        }
    }

    /// A part by its name.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// What of it the live stream tells.
    #[must_use]
    pub fn lag(&self) -> LagView {
        let database = self.part(QUESTDB).map(|part| (part.state, part.detail.as_str()));
        let writer = self.processors.iter().find(|lag| lag.name == "history");
        let (state, detail) = match (database, writer) {
            (Some((State::Down | State::Behind, detail)), _) => (State::Down, format!("QuestDB {detail}")),
            (_, Some(lag)) if lag.state == State::Down => (State::Down, "nothing writes history".to_owned()),
            (_, Some(lag)) if lag.state == State::Behind => {
                (State::Behind, format!("history is {:.0} s behind", lag.lag_s))
            }
            (Some(_) | None, Some(_) | None) => (State::Ok, String::new()),
        };
        let processors = self.processors.iter().map(ProcessorLag::told).collect();
        LagView { processors, history: HistoryState { state, detail } }
    }
}

impl ProcessorLag {
    /// What is just under way is no lag: the log's clock alone would be news at every look.
    fn told(&self) -> Self {
        let under_way = self.state == State::Ok && self.lag_s < UNDER_WAY_S;
        let (lag_events, lag_s) = if under_way { (0, 0.0) } else { (self.lag_events, self.lag_s) };
        Self { lag_events, lag_s, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_down_without_its_database_and_late_with_its_writer() {
        let mut view = SystemView::unknown(UnixMs(0));
        assert_eq!(view.lag().history.state, State::Down);
        view.parts[1].state = State::Ok;
        view.processors =
            vec![ProcessorLag { name: "history", state: State::Behind, lag_events: 9, lag_s: 41.2 }];
        assert_eq!(view.lag().history.detail, "history is 41 s behind");
        view.processors[0].state = State::Ok;
        assert_eq!(view.lag().history.state, State::Ok);
    }

    #[test]
    fn what_is_just_under_way_is_no_news() {
        let mut view = SystemView::unknown(UnixMs(0));
        let lag = |lag_events, lag_s| ProcessorLag { name: "alerts", state: State::Ok, lag_events, lag_s };
        view.processors = vec![lag(1, 0.8)];
        let before = view.lag();
        view.processors = vec![lag(2, 1.1)];
        assert_eq!(view.lag(), before);
        view.processors = vec![lag(9, 4.0)];
        assert_eq!(view.lag().processors[0].lag_events, 9);
    }
}
