//! What one client of the live stream is told of notices, and of who receives them. Pure.
//!
//! As with alerts there is no queue: once how many wait, then each that changed since, as it is now. Whoever comes back
//! begins anew.

use crate::alerting::notices::Notices;
use crate::live::alert_cursor::{WRITE_BYTES_MAX, write};
use serde::Serialize;
use watchkeeper_schemas::ids::TeamId;

/// How far one client has come.
#[derive(Debug)]
pub struct NoticeCursor {
    team: TeamId,
    /// Knows everything up to this change; nothing before it was told how many wait.
    change: Option<u64>,
}

#[derive(Serialize)]
struct Waiting {
    waiting: usize,
}

#[derive(Serialize)]
struct Receivers {
    revision: u64,
}

impl NoticeCursor {
    /// A client that knows nothing.
    #[must_use]
    pub fn new(team: TeamId) -> Self {
        Self { team, change: None }
    }

    /// Appends what the client is told next.
    pub fn next(&mut self, notices: &Notices, out: &mut Vec<u8>) {
        if !notices.is_loaded() {
            return;
        }
        let team = notices.team(&self.team);
        let Some(mut change) = self.change else {
            write(out, "notices", &Waiting { waiting: team.map_or(0, |team| team.waiting()) });
            self.change = Some(notices.change());
            return;
        };
        if change == notices.change() {
            return;
        }
        let (begun, known) = (out.len(), change);
        if let Some(revision) = team.and_then(|team| team.receivers_after(known)) {
            write(out, "receivers", &Receivers { revision });
        }
        for (newer, notice) in team.into_iter().flat_map(|team| team.changed_after(known)) {
            if out.len() - begun >= WRITE_BYTES_MAX {
                self.change = Some(change);
                return;
            }
            write(out, "notice", &notice);
            change = newer;
        }
        self.change = Some(notices.change());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerting::notices::tests::{intent, result};
    use watchkeeper_schemas::notice::ResultWord;

    fn told(cursor: &mut NoticeCursor, notices: &Notices) -> Vec<String> {
        let mut out = Vec::new();
        cursor.next(notices, &mut out);
        let text = String::from_utf8(out).unwrap();
        text.lines().filter_map(|line| line.strip_prefix("event: ").map(str::to_owned)).collect()
    }

    #[test]
    fn a_client_hears_how_many_wait_and_then_each_change_once() {
        let mut notices = Notices::default();
        let (ours, other) = ("default".parse().unwrap(), "other".parse().unwrap());
        let (mut us, mut others) = (NoticeCursor::new(ours), NoticeCursor::new(other));
        assert!(told(&mut us, &notices).is_empty(), "nothing is known yet");
        notices.decide(1, intent("a", "ops", 1));
        notices.loaded();
        let mut out = Vec::new();
        us.next(&notices, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "event: notices\ndata: {\"waiting\":1}\n\n");
        assert_eq!(told(&mut others, &notices), ["notices"]);
        notices.decide(2, intent("b", "ops", 2));
        notices.result(result("b", ResultWord::Delivered, None));
        notices.receivers_changed(&"default".parse().unwrap(), 7);
        notices.receivers_changed(&"default".parse().unwrap(), 7);
        assert_eq!(told(&mut us, &notices), ["receivers", "notice"]);
        assert!(told(&mut us, &notices).is_empty());
        assert!(told(&mut others, &notices).is_empty(), "another team's notice is told");
    }

    #[test]
    fn a_client_that_is_far_behind_is_told_in_parts_and_nothing_twice() {
        let mut notices = Notices::default();
        notices.loaded();
        let mut us = NoticeCursor::new("default".parse().unwrap());
        told(&mut us, &notices);
        for place in 0..1000 {
            notices.decide(place, intent(&place.to_string(), "ops", place));
        }
        let (mut count, mut parts) = (0, 0);
        loop {
            let part = told(&mut us, &notices).len();
            if part == 0 {
                break;
            }
            (count, parts) = (count + part, parts + 1);
        }
        assert_eq!(count, 1000);
        assert!(parts > 5, "{parts}");
    }
}
