//! Messages to send, hostile ones too.

use watchkeeper_processors::notifier::message::{Body, Line, Message};
use watchkeeper_processors::notifier::outgoing::Outgoing;
use watchkeeper_schemas::notice::NoticeWord;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::rule::Severity;

/// Where the page of these tests would be.
pub(crate) const PAGE: &str = "https://watch.example.org/";

/// A guard that lets calls to this machine out, and trusts what the system trusts.
pub(crate) fn open() -> Outgoing {
    Outgoing::new(vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]).unwrap()
}

/// A message with these lines.
pub(crate) fn message(lines: Vec<Line>) -> Message {
    Message {
        id: "00ff00ff".to_owned(),
        team: "acme".parse().unwrap(),
        team_name: "Acme & Sons".to_owned(),
        receiver: "ops".parse().unwrap(),
        possible_repeat: false,
        silent: false,
        time: UnixMs(1_790_000_120_000),
        body: Body::Alerts { lines, link: format!("{PAGE}alerts") },
    }
}

/// A message of which nothing is told but that it arrived.
pub(crate) fn test() -> Message {
    let body = Body::Test { by: "alice".to_owned(), link: format!("{PAGE}receivers/ops") };
    Message { body, ..message(Vec::new()) }
}

/// A line about a disk.
pub(crate) fn line() -> Line {
    Line {
        episode: "disks~web-1~4711~00112233445566ff".parse().unwrap(),
        notice: NoticeWord::Firing,
        level: Severity::Critical,
        is_over: false,
        rule: "Disks".to_owned(),
        host: Some("web-1".to_owned()),
        series: "/srv".to_owned(),
        what: "97.2 % (> 90 %)".to_owned(),
        since: UnixMs(1_790_000_000_000),
        duration_ms: None,
        peak: "98.1 %".to_owned(),
        note: "2 short episodes before".to_owned(),
        link: format!("{PAGE}alerts/disks~web-1~4711~00112233445566ff"),
    }
}
