//! How much Telegram takes: one message a second for a chat, twenty a minute for a group, thirty a second for a bot.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Two machines' clocks and a network lie between a limit kept there and one seen here.
const TOLERANCE: Duration = Duration::from_millis(50);
const CHAT_GAP: Duration = Duration::from_secs(1);
const GROUP_MESSAGES_MAX: usize = 20;
const GROUP_WINDOW: Duration = Duration::from_secs(60);
const BOT_MESSAGES_MAX: usize = 30;
const BOT_WINDOW: Duration = Duration::from_secs(1);

/// What one bot sent of late.
#[derive(Debug, Default)]
pub(super) struct Limits {
    of_bot: VecDeque<Instant>,
    of_chat: BTreeMap<i64, VecDeque<Instant>>,
}

impl Limits {
    /// Counts a message; or says which limit it breaks, and how long to wait.
    ///
    /// # Errors
    /// The limit, and the wait in seconds.
    pub(super) fn take(&mut self, chat: i64, now: Instant) -> Result<(), (String, u64)> {
        let of_chat = self.of_chat.entry(chat).or_default();
        let mut checks = vec![(&self.of_bot, BOT_MESSAGES_MAX, BOT_WINDOW), (of_chat, 1, CHAT_GAP)];
        if chat < 0 {
            checks.push((of_chat, GROUP_MESSAGES_MAX, GROUP_WINDOW));
        }
        for (times, most, window) in checks {
            let nth_last = times.len().checked_sub(most).and_then(|index| times.get(index));
            if let Some(since) = nth_last
                && now.duration_since(*since) + TOLERANCE < window
            {
                let wait = window - now.duration_since(*since);
                let what = format!(
                    "chat {chat}: more than {most} in {} s, {:.3} s too early",
                    window.as_secs(),
                    wait.as_secs_f64()
                );
                return Err((what, wait.as_secs() + 1));
            }
        }
        of_chat.push_back(now);
        self.of_bot.push_back(now);
        while of_chat.len() > GROUP_MESSAGES_MAX {
            of_chat.pop_front();
        }
        while self.of_bot.len() > BOT_MESSAGES_MAX {
            self.of_bot.pop_front();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_kept() {
        let (mut limits, start) = (Limits::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert!(limits.take(1, at(0)).is_ok());
        assert_eq!(limits.take(1, at(500)).unwrap_err().1, 1);
        assert!(limits.take(1, at(1000)).is_ok());
        assert!((0..20).all(|n| limits.take(-5, at(2000 + n * 1000)).is_ok()));
        assert_eq!(limits.take(-5, at(22_000)).unwrap_err().1, 41);
        assert!(limits.take(-5, at(62_000)).is_ok());
        assert!((0..30).all(|chat| limits.take(100 + chat, at(70_000)).is_ok()));
        assert!(limits.take(200, at(70_100)).unwrap_err().0.contains("more than 30"));
    }
}
