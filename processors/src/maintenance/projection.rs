//! Which silences weekly maintenance still has to write, change or end. Pure.
//!
//! Nothing is remembered: a window that is newer in JOURNAL than its maintenance is as somebody wants it, be it that
//! they ended or moved this one window by hand.

use std::collections::BTreeMap;
use watchkeeper_schemas::alerting::{Silence, WeeklyMaintenance};
use watchkeeper_schemas::ids::{SilenceId, TeamId};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::registry::{Registry, TeamFacts};

/// A silence that is to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// Whose.
    pub team: TeamId,
    /// The window.
    pub id: SilenceId,
    /// What it holds back; nothing: it is to end.
    pub value: Option<Silence>,
    /// The revision that it follows; 0 for a new one.
    pub expected: u64,
}

/// Everything that is to be recorded now, so that the silences of every team are what its maintenance says.
#[must_use]
pub fn due(registry: &Registry, now: UnixMs) -> Vec<Due> {
    registry.teams().flat_map(|(team, facts)| of_team(team, facts, now)).collect()
}

fn of_team(team: &TeamId, facts: &TeamFacts, now: UnixMs) -> Vec<Due> {
    let mut wanted = BTreeMap::new();
    for (id, maintenance) in facts.maintenance.all() {
        let silences = maintenance.value.as_ref().and_then(|it| it.silences(id, now).ok());
        for (window, silence) in silences.into_iter().flatten() {
            wanted.insert(window, (silence, maintenance.revision));
        }
    }
    let mut due = Vec::new();
    for (id, recorded) in facts.silences.all() {
        let Some(silence) = recorded.value.as_ref().filter(|it| it.until > now) else { continue };
        let of = WeeklyMaintenance::of_window(id).and_then(|id| facts.maintenance.recorded(&id));
        let is_left = of.is_some_and(|it| it.revision > recorded.revision) && !wanted.contains_key(id);
        if is_left && silence.until > now {
            due.push(Due { team: team.clone(), id: id.clone(), value: None, expected: recorded.revision });
        }
    }
    for (id, (silence, revision)) in wanted {
        let there = facts.silences.recorded(&id);
        let is_as_wanted =
            there.is_some_and(|it| it.revision > revision || it.value.as_ref() == Some(&silence));
        if !is_as_wanted {
            let expected = facts.silences.revision(&id);
            due.push(Due { team: team.clone(), id, value: Some(silence), expected });
        }
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use watchkeeper_schemas::alerting::Matcher;
    use watchkeeper_schemas::journal::{Fact, JournalEvent, Team};
    use watchkeeper_schemas::subjects::{JournalScope, JournalSubject};

    fn at(text: &str) -> UnixMs {
        UnixMs(text.parse::<Timestamp>().unwrap().as_millisecond() as u64)
    }

    fn sundays(begin: &str) -> WeeklyMaintenance {
        WeeklyMaintenance {
            author: "ann".to_owned(),
            reason: "backup".to_owned(),
            zone: "Europe/Berlin".to_owned(),
            days: [7].into(),
            begin: begin.to_owned(),
            end: "06:00".to_owned(),
            matchers: vec![Matcher::Tag("db".to_owned())],
        }
    }

    fn maintenance(value: Option<WeeklyMaintenance>) -> Fact {
        Fact::Maintenance { id: "m1".parse().unwrap(), value }
    }

    /// A journal of the team `ours`.
    struct Journal(Registry);

    impl Journal {
        fn new() -> Self {
            let mut journal = Self(Registry::default());
            let (id, name) = ("ours".parse().unwrap(), "Ours".to_owned());
            journal.add(Fact::Team { id, value: Some(Team { name }) });
            journal
        }

        fn add(&mut self, fact: Fact) {
            let subject = JournalSubject::of(JournalScope::Team("ours".parse().unwrap()), &fact).unwrap();
            let (author, cause) = ("ann".to_owned(), "test".to_owned());
            let event = JournalEvent { v: 1, author, cause, time: UnixMs(0), fact };
            let payload = serde_json::to_vec(&event).unwrap();
            self.0.apply(self.0.sequence() + 1, &subject.to_string(), &payload).unwrap();
        }

        /// Records what is due, as the processor does; what it was, in words.
        fn settle(&mut self, now: &str) -> Vec<String> {
            let due = due(&self.0, at(now));
            let said = due.iter().map(|it| {
                let until =
                    it.value.as_ref().map_or("ends".to_owned(), |it| format!("{} {}", it.from, it.until));
                format!("{} after {}: {until}", it.id, it.expected)
            });
            let said = said.collect();
            due.into_iter().for_each(|it| self.add(Fact::Silence { id: it.id, value: it.value }));
            said
        }
    }

    #[test]
    fn windows_are_written_once_and_the_next_one_as_time_goes_on() {
        let mut journal = Journal::new();
        journal.add(maintenance(Some(sundays("22:00"))));
        assert_eq!(
            journal.settle("2026-06-01T12:00:00Z"),
            [
                "m1-2026-06-07 after 0: 2026-06-07T20:00:00.000Z 2026-06-08T04:00:00.000Z",
                "m1-2026-06-14 after 0: 2026-06-14T20:00:00.000Z 2026-06-15T04:00:00.000Z",
            ]
        );
        assert!(journal.settle("2026-06-01T12:00:01Z").is_empty());
        assert_eq!(
            journal.settle("2026-06-08T12:00:00Z"),
            ["m1-2026-06-21 after 0: 2026-06-21T20:00:00.000Z 2026-06-22T04:00:00.000Z"]
        );
    }

    #[test]
    fn a_changed_maintenance_changes_its_windows_and_a_removed_one_ends_them() {
        let mut journal = Journal::new();
        journal.add(maintenance(Some(sundays("22:00"))));
        journal.settle("2026-06-01T12:00:00Z");
        let saturdays = WeeklyMaintenance { days: [6].into(), ..sundays("23:00") };
        journal.add(maintenance(Some(saturdays)));
        assert_eq!(
            journal.settle("2026-06-01T12:00:00Z"),
            [
                "m1-2026-06-07 after 3: ends",
                "m1-2026-06-14 after 4: ends",
                "m1-2026-06-06 after 0: 2026-06-06T21:00:00.000Z 2026-06-07T04:00:00.000Z",
                "m1-2026-06-13 after 0: 2026-06-13T21:00:00.000Z 2026-06-14T04:00:00.000Z",
            ]
        );
        journal.add(maintenance(None));
        // One window is over, one runs: only what is not over ends.
        assert_eq!(journal.settle("2026-06-13T22:00:00Z"), ["m1-2026-06-13 after 9: ends"]);
        assert!(journal.settle("2026-06-13T22:00:00Z").is_empty());
    }

    #[test]
    fn a_window_that_somebody_ended_by_hand_stays_over_until_the_maintenance_is_changed() {
        let mut journal = Journal::new();
        journal.add(maintenance(Some(sundays("22:00"))));
        journal.settle("2026-06-01T12:00:00Z");
        journal.add(Fact::Silence { id: "m1-2026-06-07".parse().unwrap(), value: None });
        assert!(journal.settle("2026-06-01T12:00:00Z").is_empty());
        journal.add(maintenance(Some(sundays("21:00"))));
        let again = journal.settle("2026-06-01T12:00:00Z");
        assert_eq!(again.len(), 2, "{again:?}");
        assert!(again[0].starts_with("m1-2026-06-07 after 5"), "{again:?}");
    }
}
