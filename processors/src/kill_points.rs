//! Places where a test ends the program as a crash would. Builds without debug assertions, which are those that ship,
//! have none of it.

/// A place amid work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KillPoint {
    /// What alerts decided is published; no snapshot knows it, nothing is acknowledged.
    AfterEffects,
    /// A snapshot of alerts is written; nothing is acknowledged.
    AfterSnapshot,
    /// A notice is decided, nothing of it written.
    BeforeAttempt,
    /// The attempt is written, the channel was not called.
    AfterAttempt,
    /// The channel answered, nothing of it is written.
    AfterAnswer,
}

impl KillPoint {
    /// Ends the program where `WATCHKEEPER_KILL_AT` is `<name>:<which time from 1>` of this place.
    #[cfg(debug_assertions)]
    pub(crate) fn reached(self) {
        use std::sync::OnceLock;
        use std::sync::atomic::{AtomicU32, Ordering};
        static ASKED: OnceLock<Option<(String, u32)>> = OnceLock::new();
        static TIMES: AtomicU32 = AtomicU32::new(0);
        let asked = ASKED.get_or_init(|| {
            let asked = std::env::var("WATCHKEEPER_KILL_AT").ok()?;
            let (name, time) = asked.split_once(':')?;
            Some((name.to_owned(), time.parse().ok()?))
        });
        let name = match self {
            Self::AfterEffects => "after_effects",
            Self::AfterSnapshot => "after_snapshot",
            Self::BeforeAttempt => "before_attempt",
            Self::AfterAttempt => "after_attempt",
            Self::AfterAnswer => "after_answer",
        };
        if let Some((at, time)) = asked
            && at == name
            && TIMES.fetch_add(1, Ordering::Relaxed) + 1 == *time
        {
            std::process::abort();
        }
    }

    /// Nothing.
    #[cfg(not(debug_assertions))]
    pub(crate) const fn reached(self) {}
}
