//! How fast secrets may be guessed. Pure: time comes in, a decision goes out.
//!
//! Failures are counted for the account and for the address. From the fifth on each failure makes the next try wait,
//! a second first, then twice as long each time, to a quarter of an hour. Nobody is locked out for good, and whoever
//! still has a session of the account is counted by that session: strangers cannot keep them out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;
use watchkeeper_schemas::quantity::UnixMs;

/// Failures without a wait.
const FREE_FAILURES: u32 = 4;
/// The wait behind the first failure that costs one; it doubles with each further.
const WAIT_FIRST_MS: u64 = 1000;
/// The longest wait.
const WAIT_MAX_MS: u64 = 15 * 60 * 1000;
/// A counter without a new failure for this long is forgotten.
const FORGET_MS: u64 = 60 * 60 * 1000;
/// Counters at one time: some 10 MB.
const COUNTERS_MAX: usize = 65_536;

/// Whose failures are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    /// Tries for this account by whoever has no session of it; the name need not exist.
    Account(String),
    /// Tries for an account by this session of it.
    Session(String),
    /// Tries from an address; of IPv6 the first 64 bits, which one customer has.
    Address(IpAddr),
}

impl Who {
    /// Whoever is at an address.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::from([a, b, c, d, 0, 0, 0, 0])
            }
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct Counter {
    failures: u32,
    last: UnixMs,
}

impl Counter {
    fn free_at(self) -> u64 {
        let steps = self.failures.saturating_sub(FREE_FAILURES);
        let wait = match steps {
            0 => 0,
            steps => WAIT_FIRST_MS.saturating_mul(1 << (steps - 1).min(20)).min(WAIT_MAX_MS),
        };
        self.last.0.saturating_add(wait)
    }

    fn is_forgotten(self, now: UnixMs) -> bool {
        self.last.0.saturating_add(FORGET_MS) < now.0
    }
}

/// The counters.
#[derive(Debug, Default)]
pub struct Throttle {
    counters: HashMap<Who, Counter>,
}

impl Throttle {
    /// Whether these may try now.
    ///
    /// # Errors
    /// The time until they may.
    pub fn allowed(&self, whose: &[Who], now: UnixMs) -> Result<(), Duration> {
        let counters = whose.iter().filter_map(|who| self.counters.get(who));
        let free_at = counters.filter(|counter| !counter.is_forgotten(now)).map(|it| it.free_at()).max();
        match free_at.unwrap_or(0).saturating_sub(now.0) {
            0 => Ok(()),
            wait_ms => Err(Duration::from_millis(wait_ms)),
        }
    }

    /// They tried and failed.
    pub fn failed(&mut self, whose: &[Who], now: UnixMs) {
        for who in whose {
            if !self.counters.contains_key(who) && self.counters.len() >= COUNTERS_MAX {
                self.make_room(now);
            }
            let counter = self.counters.entry(who.clone()).or_insert(Counter { failures: 0, last: now });
            if counter.is_forgotten(now) {
                counter.failures = 0;
            }
            counter.failures = counter.failures.saturating_add(1);
            counter.last = now;
        }
    }

    /// They tried and were right. An address is not cleared: who owns one account could guess at others for ever.
    pub fn succeeded(&mut self, whose: &[Who]) {
        for who in whose {
            match who {
                Who::Account(_) | Who::Session(_) => drop(self.counters.remove(who)),
                Who::Address(_) => {}
            }
        }
    }

    /// Forgets what is old, and where that is not enough those that failed least and longest ago.
    fn make_room(&mut self, now: UnixMs) {
        self.counters.retain(|_, counter| !counter.is_forgotten(now));
        if self.counters.len() < COUNTERS_MAX {
            return;
        }
        let mut order: Vec<_> =
            self.counters.iter().map(|(who, it)| (it.failures, it.last, who.clone())).collect();
        let keep = COUNTERS_MAX * 3 / 4;
        let cut = order.len() - keep;
        order.select_nth_unstable(cut);
        for (_, _, who) in &order[..cut] {
            self.counters.remove(who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn account(name: &str) -> Who {
        Who::Account(name.to_owned())
    }

    #[test]
    fn the_fifth_failure_waits_a_second_and_each_further_twice_as_long() {
        let (mut throttle, who) = (Throttle::default(), [account("olga")]);
        let mut now = UnixMs(1_000_000);
        let mut waits = Vec::new();
        for _ in 0..20 {
            throttle.failed(&who, now);
            let wait = throttle.allowed(&who, now).err().unwrap_or_default();
            waits.push(wait.as_secs());
            now = UnixMs(now.0 + u64::try_from(wait.as_millis()).unwrap());
            assert_eq!(throttle.allowed(&who, now), Ok(()), "nobody is locked out for good");
        }
        assert_eq!(waits[..10], [0, 0, 0, 0, 1, 2, 4, 8, 16, 32]);
        assert_eq!(waits[19], 900);
    }

    #[test]
    fn strangers_do_not_keep_out_whoever_has_a_session() {
        let mut throttle = Throttle::default();
        let stranger = [account("olga"), Who::at("192.0.2.1".parse().unwrap())];
        let olga = [Who::Session("s1".into()), Who::at("192.0.2.2".parse().unwrap())];
        for _ in 0..50 {
            throttle.failed(&stranger, UnixMs(0));
        }
        assert!(throttle.allowed(&stranger, UnixMs(0)).is_err());
        assert_eq!(throttle.allowed(&olga, UnixMs(0)), Ok(()));
    }

    #[test]
    fn an_address_stays_slow_even_if_it_knows_one_password() {
        let mut throttle = Throttle::default();
        let address = Who::at("2001:db8::1".parse().unwrap());
        for _ in 0..9 {
            throttle.failed(std::slice::from_ref(&address), UnixMs(0));
        }
        throttle.succeeded(&[account("own"), address]);
        let neighbour = Who::at("2001:db8::ffff".parse().unwrap());
        assert!(throttle.allowed(&[neighbour], UnixMs(0)).is_err(), "one customer has 2^64 addresses");
        let mapped = Who::at("::ffff:192.0.2.1".parse().unwrap());
        assert_eq!(mapped, Who::at("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn memory_is_bounded_and_the_worst_are_remembered() {
        let mut throttle = Throttle::default();
        for _ in 0..30 {
            throttle.failed(&[account("olga")], UnixMs(0));
        }
        for number in 0..200_000 {
            throttle.failed(&[account(&number.to_string())], UnixMs(1));
        }
        assert!(throttle.counters.len() <= COUNTERS_MAX);
        assert!(throttle.allowed(&[account("olga")], UnixMs(1)).is_err());
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_a_quarter_of_an_hour_and_none_comes_before_the_fifth(
            gaps in proptest::collection::vec(0_u64..2_000_000, 1..60)
        ) {
            let (mut throttle, who) = (Throttle::default(), [account("olga")]);
            let (mut now, mut failures) = (UnixMs(0), 0);
            for gap in gaps {
                now = UnixMs(now.0 + gap);
                let wait = throttle.allowed(&who, now).err().unwrap_or_default();
                prop_assert!(wait <= Duration::from_millis(WAIT_MAX_MS));
                if failures <= FREE_FAILURES {
                    prop_assert_eq!(wait, Duration::ZERO);
                }
                throttle.failed(&who, now);
                failures += 1;
            }
            throttle.succeeded(&who);
            prop_assert_eq!(throttle.allowed(&who, now), Ok(()));
        }
    }
}
