//! Scenarios as text: what alerts decided by the clock, what channels answer, and below each line what happens.
//!
//! A case begins with `== its name`. Lines, times in seconds:
//! ```text
//! receiver ops webhook            also telegram, group, unlinked, email, ntfy, none (removed)
//! latency 2                       seconds that each call takes
//! 10 FIRING r1 h1 #1 critical to=ops,night [n=2]      opens the episode where it is not open
//! 10 RESOLVED r1 h1 #1 warning to=ops                 closes it
//! 10 over r1 h1 #1       10 ack r1 h1 #1 warning      10 unack r1 h1 #1 warning
//! 10 test ops
//! 10 answers ops delivered, not_now 500, not_now 429 retry=10, unknown reset, lost hang, refused 403
//!      (the next ones; afterwards delivered. `unknown` arrives all the same, `lost` does not)
//! 10 crash before_attempt         at the next call; also after_attempt, after_answer
//! 10 save                         the place from which NOTICES is read at the next start
//! until 60
//! ```

use super::super::book::Record;
use super::world::{Scripted, World, team};
use crate::kill_points::KillPoint;
use std::collections::VecDeque;
use watchkeeper_schemas::alerting::EpisodeRef;
use watchkeeper_schemas::episode::TransitionWord;
use watchkeeper_schemas::notice::{AnswerWord, NoticeWord, TestNotice};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::rule::Severity;

/// The file with what really happens.
pub(super) fn run(text: &str) -> Result<String, String> {
    let (mut world, mut found) = (World::new(), String::new());
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with("> ")) {
        if line.starts_with("== ") {
            world = World::new();
        }
        found.extend([line, "\n"]);
        if !(line.starts_with("==") || line.starts_with('#') || line.trim().is_empty()) {
            self::line(&mut world, line).map_err(|error| format!("line {}: {error}", index + 1))?;
            world.said.drain(..).for_each(|said| found.extend(["> ", &said, "\n"]));
        }
    }
    Ok(found)
}

fn line(world: &mut World, line: &str) -> Result<(), String> {
    let (first, rest) = line.trim().split_once(' ').ok_or_else(|| format!("{line}: too short"))?;
    match first {
        "receiver" => {
            let (name, word) = rest.split_once(' ').ok_or("expected a name and a channel")?;
            world.receiver(name, word);
        }
        "latency" => world.latency_ms = ms(rest)?,
        "until" => world.until(ms(rest)?),
        time => {
            world.until(ms(time)?);
            command(world, rest)?;
            world.until(world.now);
        }
    }
    Ok(())
}

fn ms(text: &str) -> Result<u64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no time in seconds"))?;
    Ok((seconds * 1000.0).round() as u64)
}

fn command(world: &mut World, text: &str) -> Result<(), String> {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    match first {
        "test" => {
            let id = format!("t{}", world.log.len());
            let (receiver, by) = (rest.parse().map_err(|_| "no receiver")?, "ann".parse().map_err(|_| "no")?);
            let time = UnixMs(world.now);
            world.publish(Record::Test(TestNotice { v: 1, id, team: team(), receiver, by, time }));
        }
        "receiver" => {
            let (name, word) = rest.split_once(' ').ok_or("expected a name and a channel")?;
            world.receiver(name, word);
        }
        "answers" => {
            let (receiver, answers) = rest.split_once(' ').ok_or("expected a receiver and answers")?;
            let answers: Result<VecDeque<_>, _> = answers.split(", ").map(scripted).collect();
            world.answers.insert(receiver.to_owned(), answers?);
        }
        "crash" => {
            world.crash_at = Some(match rest {
                "before_attempt" => KillPoint::BeforeAttempt,
                "after_attempt" => KillPoint::AfterAttempt,
                "after_answer" => KillPoint::AfterAnswer,
                other => return Err(format!("{other} is no kill point")),
            });
        }
        "save" => world.save_floor(),
        "over" | "ack" | "unack" => {
            let (episode, level, _) = about(rest)?;
            let (word, by) = match first {
                "over" => (TransitionWord::Resolved, None),
                "ack" => (TransitionWord::Acked, Some("ann")),
                _ => (TransitionWord::Acked, Some("withdrawn")),
            };
            world.transition(&episode, word, level, by);
        }
        word => {
            let notice = notice(word)?;
            let (episode, level, options) = about(rest)?;
            let is_open = world.episodes.get(&team(), &episode.id().ok_or("no episode")?).is_some();
            match notice {
                NoticeWord::Resolved => world.transition(&episode, TransitionWord::Resolved, level, None),
                NoticeWord::Flapping
                | NoticeWord::Firing
                | NoticeWord::LevelUp
                | NoticeWord::Reminder
                | NoticeWord::Escalated
                    if !is_open =>
                {
                    world.transition(&episode, TransitionWord::Fired, level, None);
                }
                NoticeWord::Steady
                | NoticeWord::Flapping
                | NoticeWord::Firing
                | NoticeWord::LevelUp
                | NoticeWord::Reminder
                | NoticeWord::Escalated => {}
            }
            let (mut n, mut to) = (1, Vec::new());
            for option in options {
                match option.split_once('=') {
                    Some(("n", number)) => n = number.parse().map_err(|_| "no number")?,
                    Some(("to", names)) => to = names.split(',').map(str::to_owned).collect(),
                    _ => return Err(format!("{option}: expected n= or to=")),
                }
            }
            to.iter().for_each(|receiver| world.intent(&episode, notice, n, receiver, level));
        }
    }
    Ok(())
}

fn notice(word: &str) -> Result<NoticeWord, String> {
    let all = [
        NoticeWord::Steady,
        NoticeWord::Flapping,
        NoticeWord::Firing,
        NoticeWord::LevelUp,
        NoticeWord::Reminder,
        NoticeWord::Escalated,
        NoticeWord::Resolved,
    ];
    let known = all.into_iter().find(|it| it.as_str().to_uppercase() == word);
    known.ok_or_else(|| format!("{word} is nothing that can happen"))
}

/// `r1 h1 #1 warning` and what follows.
fn about(text: &str) -> Result<(EpisodeRef, Severity, Vec<&str>), String> {
    let mut words = text.split_whitespace();
    let mut word = || words.next().unwrap_or_default();
    let (rule, host, number) = (word().to_owned(), word().to_owned(), word());
    let episode = number.strip_prefix('#').and_then(|it| it.parse().ok()).ok_or("expected #1")?;
    let mut rest: Vec<&str> = words.collect();
    let level = match rest.first().copied() {
        Some("critical") => Severity::Critical,
        Some("info") => Severity::Info,
        _ => Severity::Warning,
    };
    if rest.first().is_some_and(|it| !it.contains('=')) {
        rest.remove(0);
    }
    Ok((EpisodeRef { rule, host, series: String::new(), episode }, level, rest))
}

fn scripted(text: &str) -> Result<Scripted, String> {
    let (word, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let (detail, retry) = rest.split_once("retry=").unwrap_or((rest, ""));
    let retry_after_ms = if retry.is_empty() { None } else { Some(ms(retry)?) };
    let (answer, arrives) = match word {
        "delivered" => (AnswerWord::Delivered, true),
        "not_now" => (AnswerWord::NotNow, false),
        "unknown" => (AnswerWord::Unknown, true),
        "lost" => (AnswerWord::Unknown, false),
        "refused" => (AnswerWord::Refused, false),
        other => return Err(format!("{other} is no answer")),
    };
    Ok(Scripted { answer, detail: detail.trim().to_owned(), retry_after_ms, arrives })
}
