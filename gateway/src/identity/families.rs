//! Refresh-token families: one a session. Pure: a token and the time come in, the next family comes out.
//!
//! Each use of the newest token makes a newer one. Two tabs of one browser may use the same token at once: for ten
//! seconds the one before gives access, but no new token. Any older one was stolen, or its thief was first: the whole
//! family ends.

use crate::identity::secret::same;
use serde::{Deserialize, Serialize};
use watchkeeper_schemas::ids::UserId;
use watchkeeper_schemas::quantity::UnixMs;

/// A session without a sign of life for this long has ended.
pub const IDLE_MAX_MS: u64 = 30 * 24 * 3600 * 1000;
/// How long the token before the newest still gives access.
pub const OVERLAP_MS: u64 = 10_000;
/// Characters of the name of a program that are kept.
const AGENT_CHARS_MAX: usize = 200;

/// A session: who, since when, and the hashes of its two newest refresh tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    /// Whose it is.
    pub user: UserId,
    /// When they logged in.
    pub created: UnixMs,
    /// The last sign of life.
    pub used: UnixMs,
    /// Where it was last seen.
    pub address: String,
    /// The program, as it calls itself.
    pub agent: String,
    /// The hash of the newest token.
    newest: String,
    /// The hash of the one before.
    before: Option<String>,
}

/// What a token is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// The newest: the family goes on like this.
    Next(Box<Family>),
    /// The one before, from the other tab: access only.
    AccessOnly,
    /// An older one: the family must end.
    Reused,
    /// The session ended long ago.
    Over,
}

/// From where a token is used.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The address.
    pub address: &'a str,
    /// The program, as it calls itself.
    pub agent: &'a str,
    /// When.
    pub now: UnixMs,
}

impl Family {
    /// A session that begins with the token of this hash.
    #[must_use]
    pub fn begin(user: UserId, token_hash: String, seen: Seen<'_>) -> Self {
        Self {
            user,
            created: seen.now,
            used: seen.now,
            address: seen.address.to_owned(),
            agent: cut(seen.agent),
            newest: token_hash,
            before: None,
        }
    }

    /// When it ends without a further sign of life.
    #[must_use]
    pub fn ends(&self) -> UnixMs {
        UnixMs(self.used.0.saturating_add(IDLE_MAX_MS))
    }

    /// What the token of `hash` is worth; `next` is the hash of the token that would come next.
    #[must_use]
    pub fn turn(&self, hash: &str, next: String, seen: Seen<'_>) -> Turn {
        if self.ends() < seen.now {
            return Turn::Over;
        }
        if same(hash, &self.newest) {
            let (address, agent) = (seen.address.to_owned(), cut(seen.agent));
            let family = Self {
                used: seen.now,
                address,
                agent,
                newest: next,
                before: Some(self.newest.clone()),
                ..self.clone()
            };
            return Turn::Next(Box::new(family));
        }
        let is_before = self.before.as_ref().is_some_and(|before| same(hash, before));
        if is_before && seen.now.0 <= self.used.0.saturating_add(OVERLAP_MS) {
            Turn::AccessOnly
        } else {
            Turn::Reused
        }
    }

    /// Whether the token of `hash` shows that its holder has this session, be it a moment old.
    #[must_use]
    pub fn knows(&self, hash: &str, now: UnixMs) -> bool {
        let before = self.before.as_ref().is_some_and(|before| same(hash, before));
        self.ends() >= now && (same(hash, &self.newest) || before)
    }
}

fn cut(agent: &str) -> String {
    agent.chars().take(AGENT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(now: u64) -> Seen<'static> {
        Seen { address: "192.0.2.1", agent: "test", now: UnixMs(now) }
    }

    fn begin() -> Family {
        Family::begin("olga".parse().unwrap(), "t0".into(), seen(0))
    }

    fn next(turn: Turn) -> Family {
        match turn {
            Turn::Next(family) => *family,
            other @ (Turn::AccessOnly | Turn::Reused | Turn::Over) => panic!("{other:?}"),
        }
    }

    #[test]
    fn two_tabs_stay_logged_in_and_a_thief_ends_the_family() {
        let family = next(begin().turn("t0", "t1".into(), seen(1000)));
        assert_eq!(family.turn("t0", "x".into(), seen(1000 + OVERLAP_MS)), Turn::AccessOnly);
        assert_eq!(family.turn("t0", "x".into(), seen(1001 + OVERLAP_MS)), Turn::Reused);
        let later = next(family.turn("t1", "t2".into(), seen(2000)));
        assert_eq!(
            later.turn("t0", "x".into(), seen(2000)),
            Turn::Reused,
            "two before is too old at any time"
        );
        assert_eq!(later.turn("never", "x".into(), seen(2000)), Turn::Reused);
    }

    #[test]
    fn a_session_ends_by_itself_after_a_month_of_silence() {
        assert_eq!(begin().turn("t0", "t1".into(), seen(IDLE_MAX_MS + 1)), Turn::Over);
        let family = next(begin().turn("t0", "t1".into(), seen(IDLE_MAX_MS)));
        assert_eq!(family.ends(), UnixMs(2 * IDLE_MAX_MS));
        assert_eq!(family.created, UnixMs(0));
    }

    proptest! {
        /// Whatever is presented when: only the newest token makes a newer one, and nothing but the two newest is
        /// worth anything.
        #[test]
        fn only_the_newest_goes_on(steps in proptest::collection::vec((0_usize..6, 0_u64..20_000), 1..80)) {
            let (mut family, mut newest, mut now) = (begin(), 0_usize, 0);
            for (back, wait) in steps {
                now += wait;
                let presented = newest.saturating_sub(back);
                let before = family.clone();
                match family.turn(&format!("t{presented}"), format!("t{}", newest + 1), seen(now)) {
                    Turn::Next(next) => {
                        prop_assert_eq!(presented, newest);
                        family = *next;
                        newest += 1;
                    }
                    Turn::AccessOnly => {
                        prop_assert_eq!(presented + 1, newest);
                        prop_assert!(now - before.used.0 <= OVERLAP_MS);
                    }
                    Turn::Reused => {
                        prop_assert!(presented < newest);
                        prop_assert!(presented + 1 < newest || now - before.used.0 > OVERLAP_MS);
                    }
                    Turn::Over => prop_assert!(false, "not within a month"),
                }
            }
        }
    }
}
