//! Messages of tests, hostile ones too, and what becomes of them in words.

use super::*;

/// A message with these lines.
pub(in crate::notifier::channel) fn message(lines: Vec<Line>) -> Message {
    Message {
        id: "00ff".to_owned(),
        team: "acme".parse().unwrap(),
        team_name: "Acme".to_owned(),
        receiver: "ops".parse().unwrap(),
        possible_repeat: false,
        silent: false,
        time: UnixMs(1_790_000_120_000),
        body: Body::Alerts { lines, link: "https://watch.example.org/alerts".to_owned() },
    }
}

/// A line about a disk.
pub(in crate::notifier::channel) fn line() -> Line {
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
        note: String::new(),
        link: "https://watch.example.org/alerts/disks~web-1~4711~00112233445566ff".to_owned(),
    }
}

#[test]
fn a_line_says_how_bad_where_and_what() {
    assert_eq!(PLAIN.headline(&line()), "Critical: web-1: Disks /srv");
    assert_eq!(PLAIN.facts(&line()), "97.2 % (> 90 %) · since 2026-09-21 14:13:20 UTC · worst 98.1 %");
    let over = Line { is_over: true, duration_ms: Some(90_000), host: None, ..line() };
    assert_eq!(PLAIN.headline(&over), "Over: Disks /srv");
    assert!(PLAIN.facts(&over).contains("lasted 1 min 30 s"));
    assert_eq!(
        PLAIN.title(&message(vec![line(), line(), line()])),
        "Critical: web-1: Disks /srv (and 2 more)"
    );
}

#[test]
fn durations_are_told_in_their_two_largest_parts() {
    for (ms, told) in [
        (999, "0 s"),
        (59_999, "59 s"),
        (60_000, "1 min"),
        (3_599_000, "59 min 59 s"),
        (7_500_000, "2 h 5 min"),
        (90_000_000, "1 d 1 h"),
        (86_400_000 * 400, "400 d"),
    ] {
        assert_eq!(duration(ms), told);
    }
}

#[test]
fn what_cannot_be_seen_calls_or_leads_elsewhere_is_made_harmless() {
    let piece = |raw| PLAIN.piece(raw, 200);
    assert_eq!(piece("a\r\nBcc: b\u{0}\u{2028}c\td"), "a  Bcc: b  c d");
    assert_eq!(piece("a\u{202e}b\u{200b}c\u{feff}d\u{e0041}e"), "abcde");
    assert_eq!(piece("@everyone x@y"), "@\u{200b}everyone x@\u{200b}y");
    assert_eq!(piece("http://evil.example/x"), "http:\u{200b}//evil.example/x");
    assert_eq!(link("javascript:alert(1)"), None);
    assert_eq!(link("https://a/\"><b>|)\n é").as_deref(), Some("https://a/%22%3E%3Cb%3E%7C%29%0A%20%C3%A9"));
    assert_eq!(link(&format!("https://a/{}", "x".repeat(600))), None);
}

#[test]
fn a_piece_is_cut_between_characters_and_says_so() {
    const DOUBLE: Form = Form { escape: |c, text| text.extend([c, c]), size: str::len };
    assert_eq!(DOUBLE.piece("abcdef", 12), "aabbccddeeff");
    assert_eq!(DOUBLE.piece("abcdef", 11), "aabbccdd…");
    assert_eq!(DOUBLE.piece("abcdef", 10), "aabbcc…");
    assert_eq!(PLAIN.piece("äöü", 6), "äöü");
    assert_eq!(PLAIN.piece("äöü", 5), "ä…");
}

#[test]
fn what_has_no_place_is_counted() {
    let many = message(vec![line(); 100]);
    let told = PLAIN.whole(&many, 1000, |line| PLAIN.headline(line));
    assert!(told.len() <= 1000 && told.ends_with(" more on the page"), "{told}");
    let said = told.matches("Critical").count();
    assert!(told.ends_with(&format!("… and {} more on the page", 100 - said)), "{told}");
}
