//! What people may say of a host, and the id that follows from its name. Pure.

use crate::http::body::Mistakes;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use watchkeeper_schemas::ids::HostId;
use watchkeeper_schemas::journal::{Collector, Enrolment, Host};

/// Characters of a host's name.
pub const NAME_CHARS: RangeInclusive<usize> = 1..=128;
/// Characters of a tag.
pub const TAG_CHARS: RangeInclusive<usize> = 1..=64;
/// Tags of a host at most.
pub const TAGS_MAX: usize = 32;
/// File systems of a host at most.
pub const MOUNTS_MAX: usize = 64;
/// Characters of a path.
pub const MOUNT_CHARS: RangeInclusive<usize> = 1..=256;
/// Interval between samples, in milliseconds.
pub const INTERVAL_MS: RangeInclusive<u32> = 1_000..=3_600_000;
/// Interval where none is chosen, in milliseconds.
pub const INTERVAL_MS_USUAL: u32 = 5_000;
/// Characters of an id that is made from a name; a number may follow.
const ID_CHARS_MAX: usize = 56;
/// What a host is called whose name holds nothing that an id can hold.
const NAMELESS: &str = "host";

/// What people say of a host.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    /// The name that people read.
    pub name: String,
    /// Tags for rules and filters.
    pub tags: BTreeSet<String>,
    /// Interval between samples, in milliseconds.
    pub interval_ms: u32,
    /// File systems to tell; empty: every real one.
    pub mounts: BTreeSet<String>,
    /// Collectors that are switched off.
    pub without: BTreeSet<Collector>,
}

impl Form {
    /// A host of which nothing but the name is said.
    #[must_use]
    pub fn named(name: String) -> Self {
        let (tags, mounts, without) = Default::default();
        Self { name, tags, interval_ms: INTERVAL_MS_USUAL, mounts, without }
    }

    /// As the journal keeps it.
    #[must_use]
    pub fn into_host(self, paused: bool, enrolment: Enrolment) -> Host {
        let Self { name, tags, interval_ms, mounts, without } = self;
        Host { name, tags, interval_ms, mounts, without, paused, enrolment }
    }
}

/// Notes what cannot be.
pub fn check(
    mistakes: &mut Mistakes,
    name: &str,
    tags: &BTreeSet<String>,
    interval_ms: u32,
    mounts: &BTreeSet<String>,
) {
    mistakes.text("name", name, NAME_CHARS);
    mistakes.number("interval_ms", interval_ms, INTERVAL_MS);
    if tags.len() > TAGS_MAX {
        mistakes.note("tags", format!("at most {TAGS_MAX} tags"), &tags.len().to_string());
    }
    for tag in tags.iter().take(TAGS_MAX) {
        mistakes.text("tags", tag, TAG_CHARS);
    }
    if mounts.len() > MOUNTS_MAX {
        mistakes.note("mounts", format!("at most {MOUNTS_MAX} paths"), &mounts.len().to_string());
    }
    for mount in mounts.iter().take(MOUNTS_MAX) {
        mistakes.text("mounts", mount, MOUNT_CHARS);
        if !mount.starts_with('/') {
            mistakes.note("mounts", "absolute paths such as /var", mount);
        }
    }
}

/// An id after a name: its letters and digits, the rest as `-`; a number follows where it is taken. There is always one,
/// as the numbers do not end before the hosts do.
pub fn id_after(name: &str, is_taken: impl Fn(&HostId) -> bool) -> Option<HostId> {
    let mut slug = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        let c = if c.is_ascii_alphanumeric() { c } else { '-' };
        if slug.len() < ID_CHARS_MAX && (c != '-' || !slug.is_empty() && !slug.ends_with('-')) {
            slug.push(c);
        }
    }
    let slug = Some(slug.trim_end_matches('-')).filter(|slug| !slug.is_empty()).unwrap_or(NAMELESS);
    let numbered = (2_u64..).map(|number| format!("{slug}-{number}"));
    let mut ids = std::iter::once(slug.to_owned()).chain(numbered).filter_map(|id| id.parse().ok());
    ids.find(|id| !is_taken(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(name: &str, taken: &[&str]) -> String {
        id_after(name, |id| taken.contains(&id.as_str())).unwrap().to_string()
    }

    #[test]
    fn an_id_reads_like_the_name_and_is_free() {
        assert_eq!(after("Web 1", &[]), "web-1");
        assert_eq!(after("Web 1", &["web-1", "web-1-2"]), "web-1-3");
        assert_eq!(after("  --DB.example.org!  ", &[]), "db-example-org");
        assert_eq!(after("数据库", &[]), "host");
        assert_eq!(after("数据库", &["host"]), "host-2");
        assert_eq!(after("../../etc/passwd\0>*", &[]), "etc-passwd");
        assert_eq!(after(&"x".repeat(500), &[]).len(), ID_CHARS_MAX);
    }

    fn mistakes_of(form: &Form) -> Vec<String> {
        let mut mistakes = Mistakes::default();
        check(&mut mistakes, &form.name, &form.tags, form.interval_ms, &form.mounts);
        let problem = serde_json::to_value(mistakes.into_result().err()).unwrap();
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|it| it["field"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_cannot_be_shown_or_kept_is_named() {
        let good = Form { mounts: ["/".to_owned()].into(), ..Form::named("Zürich <script> 1".to_owned()) };
        assert!(mistakes_of(&good).is_empty());
        let many =
            |count: usize, start: &str| (0..count).map(|n| format!("{start}{n}")).collect::<BTreeSet<_>>();
        let bad = [
            (Form { name: String::new(), ..good.clone() }, "name"),
            (Form { name: "é".repeat(129), ..good.clone() }, "name"),
            (Form { name: "a\u{202e}b".to_owned(), ..good.clone() }, "name"),
            (Form { interval_ms: 999, ..good.clone() }, "interval_ms"),
            (Form { interval_ms: u32::MAX, ..good.clone() }, "interval_ms"),
            (Form { tags: many(33, "t"), ..good.clone() }, "tags"),
            (Form { tags: ["t".repeat(65)].into(), ..good.clone() }, "tags"),
            (Form { mounts: many(65, "/m"), ..good.clone() }, "mounts"),
            (Form { mounts: ["relative".to_owned()].into(), ..good.clone() }, "mounts"),
        ];
        for (form, field) in bad {
            assert_eq!(mistakes_of(&form), [field], "{form:?}");
        }
    }
}
