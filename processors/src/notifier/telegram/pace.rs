//! How fast Telegram may be written to, counted for each bot: notices and answers share the same limits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Between two messages to one chat.
const CHAT_GAP: Duration = Duration::from_millis(1050);
/// Messages to one group within [`GROUP_WINDOW`].
const GROUP_MESSAGES_MAX: usize = 20;
const GROUP_WINDOW: Duration = Duration::from_secs(61);
/// Messages of one bot within [`BOT_WINDOW`].
const BOT_MESSAGES_MAX: usize = 30;
const BOT_WINDOW: Duration = Duration::from_millis(1050);
/// Chats that are remembered; beyond, those that rest longest are forgotten.
const CHATS_MAX: usize = 10_000;

/// What one bot sent of late.
#[derive(Debug, Clone, Default)]
pub struct Pace(Arc<Mutex<Sent>>);

#[derive(Debug, Default)]
struct Sent {
    of_bot: VecDeque<Instant>,
    of_chat: BTreeMap<i64, VecDeque<Instant>>,
    /// Telegram wants nothing for a chat before.
    held: BTreeMap<i64, Instant>,
}

impl Pace {
    /// Takes a place for a message now; else how long to wait before the next try.
    ///
    /// # Errors
    /// How long to wait.
    pub fn take(&self, chat: i64, is_group: bool, now: Instant) -> Result<(), Duration> {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.forget(now);
        let wait = sent.wait(chat, is_group, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        sent.of_bot.push_back(now);
        sent.of_chat.entry(chat).or_default().push_back(now);
        Ok(())
    }

    /// Waits for a place.
    pub async fn wait(&self, chat: i64, is_group: bool) {
        while let Err(wait) = self.take(chat, is_group, Instant::now()) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Telegram said how long it wants nothing for a chat.
    pub fn hold(&self, chat: i64, until: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).held.insert(chat, until);
    }
}

impl Sent {
    fn wait(&self, chat: i64, is_group: bool, now: Instant) -> Duration {
        let after = |since: Option<&Instant>, rest: Duration| {
            since.map_or(Duration::ZERO, |since| (*since + rest).saturating_duration_since(now))
        };
        let nth_last = |times: &VecDeque<Instant>, n: usize| {
            times.len().checked_sub(n).and_then(|index| times.get(index)).copied()
        };
        let mut wait = after(nth_last(&self.of_bot, BOT_MESSAGES_MAX).as_ref(), BOT_WINDOW);
        if let Some(times) = self.of_chat.get(&chat) {
            wait = wait.max(after(times.back(), CHAT_GAP));
            if is_group {
                wait = wait.max(after(nth_last(times, GROUP_MESSAGES_MAX).as_ref(), GROUP_WINDOW));
            }
        }
        wait.max(after(self.held.get(&chat), Duration::ZERO))
    }

    fn forget(&mut self, now: Instant) {
        while self.of_bot.len() > BOT_MESSAGES_MAX {
            self.of_bot.pop_front();
        }
        self.held.retain(|_, until| *until > now);
        for times in self.of_chat.values_mut() {
            while times.len() > GROUP_MESSAGES_MAX {
                times.pop_front();
            }
        }
        if self.of_chat.len() >= CHATS_MAX {
            let recent = |times: &VecDeque<Instant>| times.back().is_some_and(|at| *at + GROUP_WINDOW > now);
            self.of_chat.retain(|_, times| recent(times));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds in which so many messages leave, asked for as fast as they may.
    fn lasts_s(messages: usize, chat: impl Fn(usize) -> i64, is_group: bool) -> f64 {
        let (pace, start) = (Pace::default(), Instant::now());
        let mut now = start;
        for n in 0..messages {
            while let Err(wait) = pace.take(chat(n), is_group, now) {
                now += wait;
            }
        }
        now.duration_since(start).as_secs_f64()
    }

    #[test]
    fn a_chat_hears_once_a_second_a_group_twenty_a_minute_and_all_thirty_a_second() {
        assert!((10.0..11.0).contains(&lasts_s(11, |_| 1, false)), "{}", lasts_s(11, |_| 1, false));
        assert!((61.0..62.0).contains(&lasts_s(21, |_| -1, true)), "{}", lasts_s(21, |_| -1, true));
        let many = lasts_s(90, |n| n as i64, false);
        assert!((2.0..2.5).contains(&many), "{many}");
    }

    #[test]
    fn what_telegram_asks_for_is_kept() {
        let (pace, now) = (Pace::default(), Instant::now());
        pace.hold(7, now + Duration::from_secs(5));
        assert_eq!(pace.take(7, false, now), Err(Duration::from_secs(5)));
        assert_eq!(pace.take(8, false, now), Ok(()));
        assert_eq!(pace.take(7, false, now + Duration::from_secs(6)), Ok(()));
    }
}
