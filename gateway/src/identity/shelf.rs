//! One bucket in memory, removed keys included. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use watchkeeper_schemas::quantity::UnixMs;

/// The bucket of sessions forgets after this time, and says nothing.
const SESSIONS_AGE_MS: u64 = 31 * 24 * 3600 * 1000;
/// A removed session is remembered as such for as long as older news of it could still come.
const REMOVED_AGE_MS: u64 = 60_000;

/// What stands under a key.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) revision: u64,
    pub(crate) stored: UnixMs,
    pub(crate) value: Option<Arc<[u8]>>,
}

/// One bucket: every key at its newest revision.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// When the bucket was made.
    pub(crate) epoch: UnixMs,
    pub(crate) slots: BTreeMap<String, Slot>,
    pub(crate) changes: u32,
}

impl Shelf {
    /// Takes what is newer than what is here; whether a value went.
    pub(crate) fn apply(&mut self, key: &str, slot: Slot) -> bool {
        let before = self.slots.get(key);
        if before.is_some_and(|before| before.revision >= slot.revision) {
            return false;
        }
        let gone = before.is_some_and(|before| before.value.is_some()) && slot.value.is_none();
        self.slots.insert(key.to_owned(), slot);
        gone
    }

    /// Forgets sessions that their bucket has forgotten.
    pub(crate) fn tidy(&mut self, now: UnixMs) {
        let fresh = |slot: &Slot, age: u64| slot.stored.0.saturating_add(age) >= now.0;
        self.slots.retain(|_, slot| {
            fresh(slot, if slot.value.is_some() { SESSIONS_AGE_MS } else { REMOVED_AGE_MS })
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(revision: u64, value: Option<&[u8]>) -> Slot {
        Slot { revision, stored: UnixMs(revision), value: value.map(Into::into) }
    }

    #[test]
    fn what_came_late_changes_nothing_and_a_removal_is_told_once() {
        let mut shelf = Shelf::default();
        assert!(!shelf.apply("family.olga.s", slot(3, Some(b"new"))));
        assert!(!shelf.apply("family.olga.s", slot(2, None)), "older news");
        assert!(shelf.slots["family.olga.s"].value.is_some());
        assert!(shelf.apply("family.olga.s", slot(4, None)));
        assert!(!shelf.apply("family.olga.s", slot(3, Some(b"new"))), "a removed session does not come back");
        assert!(shelf.slots["family.olga.s"].value.is_none());
        shelf.tidy(UnixMs(REMOVED_AGE_MS + 5));
        assert!(shelf.slots.is_empty());
    }
}
