//! Effects in words, for scenarios and for `replay`.

use super::line;
use super::machine::{Effect, Key, NoticeKind, TransitionKind};

/// An effect in words.
pub(super) fn words(effect: &Effect, episode: &mut impl FnMut(u64) -> u64) -> String {
    let place = |key: &Key| {
        let space = if key.series.is_empty() || key.series.starts_with('{') { "" } else { " " };
        format!("{} {}{space}{}", key.rule, key.host, key.series)
    };
    let because = |reason: &Option<compact_str::CompactString>| {
        reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"))
    };
    match effect {
        Effect::Transition(it) => {
            let word = match it.kind {
                TransitionKind::Fired => "fired",
                TransitionKind::Level => "level",
                TransitionKind::Acked => "acked",
                TransitionKind::Resolved => "resolved",
            };
            let number =
                |name: &str, number: Option<f64>| number.map_or(String::new(), |it| format!(" {name}={it}"));
            let lasted = it.duration_ms.map_or(String::new(), |ms| format!(" after={}s", line::seconds(ms)));
            let shadow = if it.shadow { " shadow" } else { "" };
            let retro = if it.retro { " retro" } else { "" };
            let muted = match it.evidence.muted_by.join(", ") {
                none if none.is_empty() => none,
                muted => format!(" muted by {muted}"),
            };
            format!(
                "{word} {} #{} {}{}{}{}{lasted}{shadow}{retro}{muted}",
                place(&it.key),
                episode(it.episode),
                it.level,
                because(&it.reason),
                number("value", it.value),
                number("peak", it.peak),
            )
        }
        Effect::Notice(it) => {
            let word = match it.kind {
                NoticeKind::Steady => "STEADY",
                NoticeKind::Flapping => "FLAPPING",
                NoticeKind::Firing => "FIRING",
                NoticeKind::LevelUp => "LEVEL_UP",
                NoticeKind::Reminder => "REMINDER",
                NoticeKind::Escalated => "ESCALATED",
                NoticeKind::Resolved => "RESOLVED",
            };
            let more = match it.short_episodes {
                0 => String::new(),
                k => format!(" +{k} short episodes"),
            };
            let n = if it.n > 1 { format!(" n={}", it.n) } else { String::new() };
            let (place, reason) = (place(&it.key), because(&it.reason));
            format!(
                "  {} <- {word} {place} #{} {}{n}{more}{reason}",
                it.receiver,
                episode(it.episode),
                it.level
            )
        }
    }
}
