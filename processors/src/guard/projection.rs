//! Who floods: a pure function of what the NATS server says, look after look, about its connections.

use std::collections::BTreeMap;
use watchkeeper_schemas::ids::PublicKey;
use watchkeeper_schemas::journal::{Flag, FlagReason};
use watchkeeper_schemas::quantity::UnixMs;

/// More messages than this in a second are a flood; an agent that fills a gap sends some 50.
pub const MESSAGES_PER_S_MAX: f64 = 200.0;
/// A flood is one that is seen in this many looks in a row.
pub const LOOKS: u32 = 2;
/// More connections of one key than this within [`REMEMBERED_MS`] are too many; an agent that loses its connection
/// again and again makes fewer.
pub const CONNECTIONS_MAX: usize = 32;
/// A connection is remembered for this long after it was last listed.
pub const REMEMBERED_MS: u64 = 30_000;
/// A connection that was listed less than this ago tells nothing new; a rate over less means nothing.
const LISTED_AGAIN_MS: u64 = 250;
const RATE_OVER_MS: u64 = 500;
/// How long a host is held off for the first time, and at most.
pub const HELD_OFF_FIRST_MS: u64 = 30_000;
pub const HELD_OFF_MAX_MS: u64 = 3_600_000;
/// Who behaves for this long after it was released begins again.
pub const FORGIVEN_AFTER_MS: u64 = 3_600_000;

/// One connection, as the server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its number on the server; never given twice.
    pub id: u64,
    /// Whose it is.
    pub key: PublicKey,
    /// Messages that came over it so far, refused ones included.
    pub messages: u64,
    /// When it was made.
    pub since: UnixMs,
    /// When it ended, if it did.
    pub ended: Option<UnixMs>,
}

/// What one server lists at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The server's id.
    pub server: String,
    /// Its time.
    pub at: UnixMs,
    /// Connections, not all of them.
    pub listed: Vec<Listed>,
}

/// Somebody who does what no agent does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// Whose key it is.
    pub key: PublicKey,
    /// What it does.
    pub reason: FlagReason,
    /// Messages per second, or connections.
    pub count: u32,
}

/// What was seen of one connection.
#[derive(Debug, Clone, Copy)]
struct Known {
    messages: u64,
    at: UnixMs,
}

/// What was seen of one key.
#[derive(Debug, Clone, Default)]
struct Behaviour {
    connections: BTreeMap<(String, u64), Known>,
    /// Looks in a row with too many messages.
    over: u32,
}

/// What was seen of everybody.
#[derive(Debug, Clone, Default)]
pub struct Crowd {
    keys: BTreeMap<PublicKey, Behaviour>,
}

impl Crowd {
    /// Takes a look in; who floods, or holds too many connections.
    pub fn look(&mut self, look: &Look) -> Vec<Suspect> {
        let mut rates: BTreeMap<&PublicKey, f64> = BTreeMap::new();
        for listed in &look.listed {
            let behaviour = self.keys.entry(listed.key.clone()).or_default();
            if let Some(rate) = behaviour.rate(&look.server, look.at, listed) {
                *rates.entry(&listed.key).or_default() += rate;
            }
        }
        let suspects =
            rates.into_iter().filter_map(|(key, rate)| self.keys.get_mut(key)?.judge(key, rate)).collect();
        self.forget(look.at);
        suspects
    }

    /// Keys that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nobody was seen yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn forget(&mut self, now: UnixMs) {
        for behaviour in self.keys.values_mut() {
            behaviour.connections.retain(|_, known| now.0.saturating_sub(known.at.0) < REMEMBERED_MS);
        }
        self.keys.retain(|_, behaviour| !behaviour.connections.is_empty());
    }
}

impl Behaviour {
    /// Messages per second over a connection since it was last listed; nothing where that tells nothing new.
    fn rate(&mut self, server: &str, at: UnixMs, listed: &Listed) -> Option<f64> {
        let end = listed.ended.unwrap_or(at);
        let place = (server.to_owned(), listed.id);
        let before = self.connections.get(&place).copied();
        if before.is_some_and(|known| at.0 < known.at.0 + LISTED_AGAIN_MS) {
            return None;
        }
        // One that ended long ago says nothing about now.
        if before.is_none() && at.0.saturating_sub(end.0) >= REMEMBERED_MS {
            return None;
        }
        let known = before.unwrap_or(Known { messages: 0, at: listed.since });
        let messages = listed.messages.saturating_sub(known.messages);
        let over_ms = at.0.saturating_sub(known.at.0).max(RATE_OVER_MS);
        // A connection that has ended is remembered from its end on, so that it counts for its time only.
        let at = if listed.ended.is_some() { before.map_or(end, |known| known.at.max(end)) } else { at };
        self.connections.insert(place, Known { messages: listed.messages, at });
        Some(messages as f64 * 1000.0 / over_ms as f64)
    }

    fn judge(&mut self, key: &PublicKey, rate: f64) -> Option<Suspect> {
        self.over = if rate > MESSAGES_PER_S_MAX { self.over.saturating_add(1) } else { 0 };
        let (reason, count) = if self.over >= LOOKS {
            (FlagReason::Flood, rate.round() as u32)
        } else if self.connections.len() > CONNECTIONS_MAX {
            (FlagReason::ManyConnections, u32::try_from(self.connections.len()).unwrap_or(u32::MAX))
        } else {
            return None;
        };
        Some(Suspect { key: key.clone(), reason, count })
    }
}

/// How long a suspect is held off: twice as long as the time before, if that was not long ago. `None` while it is.
#[must_use]
pub fn sentence(before: Option<&Flag>, suspect: &Suspect, now: UnixMs) -> Option<Flag> {
    if before.is_some_and(|flag| now < flag.until) {
        return None;
    }
    let again = before.filter(|flag| now.0 < flag.until.0.saturating_add(FORGIVEN_AFTER_MS));
    let strikes = again.map_or(1, |flag| flag.strikes.saturating_add(1));
    let doublings = strikes.saturating_sub(1).min(HELD_OFF_MAX_MS.ilog2());
    let held_off_ms = (HELD_OFF_FIRST_MS << doublings).min(HELD_OFF_MAX_MS);
    let until = UnixMs(now.0.saturating_add(held_off_ms));
    Some(Flag { reason: suspect.reason, count: suspect.count, until, strikes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: u64 = 1_790_000_000_000;

    fn key(letter: char) -> PublicKey {
        format!("U{}", letter.to_string().repeat(55)).parse().unwrap()
    }

    fn open(id: u64, letter: char, messages: u64) -> Listed {
        Listed { id, key: key(letter), messages, since: UnixMs(START), ended: None }
    }

    fn look(at: u64, listed: Vec<Listed>) -> Look {
        Look { server: "N".into(), at: UnixMs(START + at), listed }
    }

    fn reasons(suspects: &[Suspect]) -> Vec<FlagReason> {
        suspects.iter().map(|suspect| suspect.reason).collect()
    }

    #[test]
    fn a_flood_is_seen_in_the_second_look() {
        let mut crowd = Crowd::default();
        let mut seen = Vec::new();
        for step in 1..=4_u64 {
            let listed = vec![open(1, 'A', step * 500), open(2, 'B', step)];
            seen.push(crowd.look(&look(step * 500, listed)));
        }
        assert_eq!(seen[0], []);
        for suspects in &seen[1..] {
            assert_eq!(suspects[..], [Suspect { key: key('A'), reason: FlagReason::Flood, count: 1000 }]);
        }
    }

    #[test]
    fn one_burst_is_no_flood_and_neither_is_a_long_life() {
        let mut crowd = Crowd::default();
        assert_eq!(crowd.look(&look(86_400_000, vec![open(1, 'A', 400_000)])), []);
        assert_eq!(crowd.look(&look(86_400_500, vec![open(1, 'A', 400_300)])), []);
        assert_eq!(crowd.look(&look(86_401_000, vec![open(1, 'A', 400_301)])), []);
    }

    #[test]
    fn a_flood_over_ever_new_connections_is_one_flood() {
        let mut crowd = Crowd::default();
        let mut last = Vec::new();
        for step in 1..=3_u64 {
            let at = START + step * 500;
            let ended = |n: u64| Listed {
                since: UnixMs(at - 40),
                ended: Some(UnixMs(at - 20)),
                ..open(step * 10 + n, 'A', 40)
            };
            last = crowd.look(&look(step * 500, (0..4).map(ended).collect()));
        }
        assert_eq!(reasons(&last), [FlagReason::Flood]);
    }

    #[test]
    fn many_connections_of_one_key_are_seen_and_forgotten() {
        let mut crowd = Crowd::default();
        let many = CONNECTIONS_MAX as u64;
        assert_eq!(crowd.look(&look(500, (0..many).map(|id| open(id, 'A', 0)).collect())), []);
        let one_more = crowd.look(&look(1000, vec![open(many, 'A', 0), open(many + 1, 'B', 0)]));
        assert_eq!(reasons(&one_more), [FlagReason::ManyConnections]);
        assert_eq!(crowd.look(&look(1000 + REMEMBERED_MS, vec![open(many + 1, 'B', 6)])), []);
        assert_eq!(crowd.len(), 1);
    }

    #[test]
    fn what_ended_before_the_guard_began_is_no_crime_of_today() {
        let ended = |id| Listed { ended: Some(UnixMs(START + 1)), ..open(id, 'A', 100_000) };
        let mut crowd = Crowd::default();
        assert_eq!(crowd.look(&look(REMEMBERED_MS * 2, (0..200).map(ended).collect())), []);
        assert!(crowd.is_empty());
    }

    #[test]
    fn a_host_is_held_off_twice_as_long_each_time_and_forgiven() {
        let suspect = Suspect { key: key('A'), reason: FlagReason::Flood, count: 1 };
        let first = sentence(None, &suspect, UnixMs(START)).unwrap();
        assert_eq!((first.until, first.strikes), (UnixMs(START + HELD_OFF_FIRST_MS), 1));
        assert_eq!(sentence(Some(&first), &suspect, UnixMs(START + 1)), None, "held off already");
        let second = sentence(Some(&first), &suspect, first.until).unwrap();
        assert_eq!((second.until.0 - first.until.0, second.strikes), (2 * HELD_OFF_FIRST_MS, 2));
        let late = UnixMs(second.until.0 + FORGIVEN_AFTER_MS);
        assert_eq!(sentence(Some(&second), &suspect, late).unwrap().strikes, 1);
    }

    proptest! {
        /// Whoever stays below the limit is never suspected, however unevenly the looks come.
        #[test]
        fn who_keeps_to_the_limit_is_left_alone(
            steps in proptest::collection::vec((1_u64..5_000, 0.0..0.99_f64), 1..60),
        ) {
            let (mut crowd, mut at, mut messages) = (Crowd::default(), 0, 0.0);
            for (wait, share) in steps {
                at += wait;
                messages += share * MESSAGES_PER_S_MAX * wait as f64 / 1000.0;
                prop_assert_eq!(crowd.look(&look(at, vec![open(1, 'A', messages as u64)])), []);
            }
        }

        /// Whoever floods steadily is suspected from the second look on, over however many connections.
        #[test]
        fn who_floods_is_always_seen(connections in 1_u64..20, factor in 1.2..100.0_f64, looks in 2_u64..20) {
            let mut crowd = Crowd::default();
            for step in 1..=looks {
                let each = factor * MESSAGES_PER_S_MAX * step as f64 / 2.0 / connections as f64;
                let listed = (0..connections).map(|id| open(id, 'A', each.ceil() as u64)).collect();
                let suspects = crowd.look(&look(step * 500, listed));
                prop_assert_eq!(suspects.len(), usize::from(step >= u64::from(LOOKS)));
            }
        }

        /// No sentence is without end, none ends before it begins.
        #[test]
        fn a_sentence_ends(strikes in 0_u32..=u32::MAX, until in 0..START * 2, now in 0..START * 2) {
            let before = Flag { reason: FlagReason::Flood, count: 1, until: UnixMs(until), strikes };
            let suspect = Suspect { key: key('A'), reason: FlagReason::ManyConnections, count: 40 };
            if let Some(flag) = sentence(Some(&before), &suspect, UnixMs(now)) {
                prop_assert!(flag.until.0 >= now + HELD_OFF_FIRST_MS && flag.until.0 <= now + HELD_OFF_MAX_MS);
                prop_assert!(flag.strikes >= 1);
            }
        }

        /// What is remembered is bounded by what was listed lately.
        #[test]
        fn who_has_gone_is_forgotten(keys in proptest::collection::vec(0_u8..26, 1..200)) {
            let mut crowd = Crowd::default();
            for (id, letter) in keys.iter().enumerate() {
                crowd.look(&look(id as u64 * REMEMBERED_MS, vec![open(id as u64, char::from(b'A' + letter), 0)]));
                prop_assert!(crowd.len() <= 2);
            }
        }
    }
}
