//! What one client of the live stream is told of alerts. Pure.
//!
//! It has no queue either: once every open alert, then those that changed since. Whoever comes back begins anew.

use crate::alerting::episodes::{EpisodeState, EpisodeView, Episodes};
use serde::Serialize;
use watchkeeper_schemas::ids::TeamId;

/// Bytes that one write holds, but for its last alert.
pub(super) const WRITE_BYTES_MAX: usize = 32 * 1024;

/// How far one client has come.
#[derive(Debug)]
pub struct AlertCursor {
    team: TeamId,
    /// Knows everything up to this change; nothing before the open ones were told.
    change: Option<u64>,
}

#[derive(Serialize)]
struct Open<'a> {
    open: Vec<&'a EpisodeView>,
}

impl AlertCursor {
    /// A client that knows nothing.
    #[must_use]
    pub fn new(team: TeamId) -> Self {
        Self { team, change: None }
    }

    /// Appends what the client is told next.
    pub fn next(&mut self, episodes: &Episodes, out: &mut Vec<u8>) {
        if !episodes.is_loaded() {
            return;
        }
        let team = episodes.team(&self.team);
        let Some(mut change) = self.change else {
            let all = team.into_iter().flat_map(|team| team.newest_first()).map(|episode| &episode.view);
            let open = all.filter(|view| view.state == EpisodeState::Open).collect();
            write(out, "alerts", &Open { open });
            self.change = Some(episodes.change());
            return;
        };
        if change == episodes.change() {
            return;
        }
        let (begun, known) = (out.len(), change);
        for episode in team.into_iter().flat_map(|team| team.changed_after(known)) {
            if out.len() - begun >= WRITE_BYTES_MAX {
                self.change = Some(change);
                return;
            }
            write(out, "alert", &episode.view);
            change = episode.change();
        }
        self.change = Some(episodes.change());
    }
}

/// Appends an event without an id.
pub(super) fn write(out: &mut Vec<u8>, event: &str, data: &impl Serialize) {
    match serde_json::to_vec(data) {
        Ok(json) => {
            for part in [b"event: ", event.as_bytes(), b"\ndata: ", &json, b"\n\n"] {
                out.extend_from_slice(part);
            }
        }
        Err(error) => tracing::error!(%error, event, "an event cannot be rendered"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerting::episodes::tests::event;
    use watchkeeper_schemas::episode::TransitionWord;

    fn told(cursor: &mut AlertCursor, episodes: &Episodes) -> Vec<String> {
        let mut out = Vec::new();
        cursor.next(episodes, &mut out);
        let text = String::from_utf8(out).unwrap();
        let names = text.lines().filter_map(|line| line.strip_prefix("event: ").map(str::to_owned));
        let hosts = text.matches("\"host\":").count();
        names.chain([hosts.to_string()]).collect()
    }

    #[test]
    fn a_client_hears_what_is_open_and_then_each_change_once() {
        let mut episodes = Episodes::default();
        let (mut ours, mut others) =
            (AlertCursor::new("default".parse().unwrap()), AlertCursor::new("other".parse().unwrap()));
        assert_eq!(told(&mut ours, &episodes), ["0"], "nothing is known yet");
        episodes.apply(event("a", 1, TransitionWord::Fired, 1));
        episodes.apply(event("b", 2, TransitionWord::Fired, 2));
        episodes.apply(event("b", 2, TransitionWord::Resolved, 3));
        episodes.loaded();
        assert_eq!(told(&mut ours, &episodes), ["alerts", "1"]);
        assert_eq!(told(&mut others, &episodes), ["alerts", "0"]);
        assert_eq!(told(&mut ours, &episodes), ["0"]);
        episodes.apply(event("a", 1, TransitionWord::Level, 4));
        episodes.apply(event("a", 1, TransitionWord::Resolved, 5));
        assert_eq!(told(&mut ours, &episodes), ["alert", "1"]);
        assert_eq!(told(&mut others, &episodes), ["0"], "another team's alert is told");
    }
}
