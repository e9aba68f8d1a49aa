//! How often each channel may be called: calls of the last while, and those under way. Pure.

use std::collections::{BTreeMap, VecDeque};
use watchkeeper_schemas::ids::TeamId;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::receiver::ChannelKind;

/// So many calls in so many milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Calls.
    pub calls: usize,
    /// Within.
    pub within_ms: u64,
}

/// Calls that a channel counts together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counted {
    /// Of a bot; without a team the installation's own.
    Bot(Option<TeamId>),
    /// Of a bot in one chat.
    Chat(Option<TeamId>, i64),
    /// Of a receiver.
    Receiver(TeamId, String),
}

/// What is counted together, and how much of it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// What.
    pub counted: Counted,
    /// How much.
    pub rates: &'static [Rate],
}

const fn rate(calls: usize, within_ms: u64) -> Rate {
    // Clocks tick in milliseconds and a channel's clock is another one.
    Rate { calls, within_ms: within_ms + 50 }
}

/// Telegram, each chat.
pub const CHAT: &[Rate] = &[rate(1, 1_000)];
/// Telegram, each group.
pub const GROUP: &[Rate] = &[rate(1, 1_000), rate(20, 60_000)];
/// Telegram, each bot.
pub const BOT: &[Rate] = &[rate(30, 1_000)];
/// The longest time within which anything is counted.
const LONGEST_MS: u64 = 60_050;

/// How often a receiver may be called, whatever else its channel counts together.
#[must_use]
pub const fn of_receiver(kind: ChannelKind) -> &'static [Rate] {
    match kind {
        ChannelKind::Telegram | ChannelKind::Email | ChannelKind::Chatroom => const { &[rate(1, 1_000)] },
        ChannelKind::Webhook => const { &[rate(5, 1_000)] },
        // One each 5 s, of which ten may come at once.
        ChannelKind::Ntfy => const { &[rate(10, 50_000)] },
    }
}

/// Calls of the last while, and those under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pace {
    ended: BTreeMap<Counted, VecDeque<UnixMs>>,
    under_way: BTreeMap<Counted, usize>,
}

impl Pace {
    /// A call begins.
    pub fn begin(&mut self, limits: &[Limit]) {
        for limit in limits {
            *self.under_way.entry(limit.counted.clone()).or_default() += 1;
        }
    }

    /// A call is over: nobody knows when amid it the channel counted it, so that it counts from its end.
    pub fn end(&mut self, limits: &[Limit], now: UnixMs) {
        for limit in limits {
            if let Some(count) = self.under_way.get_mut(&limit.counted) {
                *count = count.saturating_sub(1);
            }
        }
        self.called(limits, now);
        self.under_way.retain(|_, count| *count > 0);
        self.ended.retain(|_, ended| ended.back().is_some_and(|last| last.0 + LONGEST_MS > now.0));
    }

    /// A call that was over at `end`.
    pub fn called(&mut self, limits: &[Limit], end: UnixMs) {
        for limit in limits {
            let ended = self.ended.entry(limit.counted.clone()).or_default();
            let place = ended.partition_point(|known| *known <= end);
            ended.insert(place, end);
            while ended.front().is_some_and(|first| first.0 + LONGEST_MS < end.0) {
                ended.pop_front();
            }
        }
    }

    /// From when on a call may begin; none: not before one that is under way is over.
    #[must_use]
    pub fn free_at(&self, limits: &[Limit], now: UnixMs) -> Option<UnixMs> {
        let mut rates = limits.iter().flat_map(|limit| limit.rates.iter().map(move |rate| (limit, rate)));
        rates.try_fold(now, |free, (limit, rate)| {
            let under_way = self.under_way.get(&limit.counted).copied().unwrap_or(0);
            let room = rate.calls.checked_sub(under_way + 1)?;
            let ended = self.ended.get(&limit.counted);
            // The call that must be out of sight before the next one may begin.
            let last = ended.and_then(|ended| ended.len().checked_sub(room + 1).and_then(|at| ended.get(at)));
            Some(free.max(last.map_or(now, |last| UnixMs(last.0 + rate.within_ms))))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_counts_until_it_is_over_and_then_for_its_time() {
        const RATES: &[Rate] = &[rate(1, 1_000), rate(3, 60_000)];
        let limits = [Limit { counted: Counted::Chat(None, 1), rates: RATES }];
        let mut pace = Pace::default();
        assert_eq!(pace.free_at(&limits, UnixMs(5)), Some(UnixMs(5)));
        pace.begin(&limits);
        assert_eq!(pace.free_at(&limits, UnixMs(6)), None);
        pace.end(&limits, UnixMs(100));
        assert_eq!(pace.free_at(&limits, UnixMs(100)), Some(UnixMs(1_150)));
        for at in [1_150, 2_200] {
            pace.begin(&limits);
            pace.end(&limits, UnixMs(at));
        }
        assert_eq!(pace.free_at(&limits, UnixMs(3_250)), Some(UnixMs(60_150)));
        assert_eq!(pace.free_at(&limits, UnixMs(60_150)), Some(UnixMs(60_150)));
    }
}
