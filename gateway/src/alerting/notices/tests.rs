//! What the delivery log makes of records, in whatever number they come.

use super::*;
use watchkeeper_schemas::alerting::EpisodeRef;

fn team() -> TeamId {
    "default".parse().unwrap()
}

pub(crate) fn intent(id: &str, receiver: &str, time: u64) -> Intent {
    let (rule, host, series) = ("cpu".to_owned(), "web-1".to_owned(), String::new());
    let episode = EpisodeRef { rule, host, series, episode: 7 };
    Intent {
        v: 1,
        id: id.to_owned(),
        team: team(),
        episode_id: episode.id().unwrap(),
        episode,
        notice: NoticeWord::Firing,
        n: 1,
        receiver: receiver.to_owned(),
        level: Severity::Critical,
        reason: None,
        since: UnixMs(time),
        value: None,
        peak: None,
        duration_ms: None,
        short_episodes: 0,
        shadow: false,
        rule_then: None,
        sequence: time,
        time: UnixMs(time),
    }
}

fn attempt(id: &str, k: u32, members: &[&str]) -> Attempt {
    Attempt {
        v: 1,
        id: id.to_owned(),
        k,
        team: team(),
        receiver: "ops".to_owned(),
        members: members.iter().map(ToString::to_string).collect(),
        possible_repeat: false,
        time: UnixMs(u64::from(k)),
    }
}

fn answer(id: &str, k: u32, answer: AnswerWord) -> Answer {
    Answer {
        v: 1,
        id: id.to_owned(),
        k,
        team: team(),
        receiver: "ops".to_owned(),
        answer,
        detail: "in its words".to_owned(),
        message: None,
        retry_after_ms: None,
        time: UnixMs(9),
    }
}

pub(crate) fn result(id: &str, outcome: ResultWord, into: Option<&str>) -> NoticeResult {
    NoticeResult {
        v: 1,
        id: id.to_owned(),
        team: team(),
        receiver: "ops".to_owned(),
        channel: Some(ChannelKind::Webhook),
        outcome,
        detail: None,
        into: into.map(str::to_owned),
        message: (outcome == ResultWord::Delivered).then(|| "4127".to_owned()),
        time: UnixMs(20),
    }
}

fn only(notices: &Notices) -> &TeamNotices {
    notices.team(&team()).unwrap()
}

#[test]
fn every_notice_of_a_message_shows_each_try_with_its_answer_and_the_message_that_told_it() {
    let mut notices = Notices::default();
    notices.decide(1, intent("a", "ops", 1));
    notices.decide(2, intent("b", "ops", 2));
    assert_eq!(notices.waiting(), (2, Some(UnixMs(1))));
    notices.attempt(attempt("a", 1, &["a"]));
    notices.answer(answer("a", 1, AnswerWord::NotNow));
    notices.attempt(attempt("a", 2, &["a", "b"]));
    let known = notices.change();
    notices.answer(answer("a", 2, AnswerWord::Delivered));
    let changed: Vec<_> = only(&notices).changed_after(known).map(|(_, it)| it.id).collect();
    assert_eq!(changed, ["b", "a"], "whoever looks at one of them is not told of the answer");
    notices.result(result("a", ResultWord::Delivered, None));
    notices.result(result("b", ResultWord::Merged, Some("a")));
    let shown = only(&notices).of_episode(&intent("a", "ops", 1).episode_id);
    let words: Vec<_> = shown
        .iter()
        .map(|it| {
            (it.state, it.message.as_deref(), it.attempts.iter().map(|at| at.answer).collect::<Vec<_>>())
        })
        .collect();
    let (later, there) = (Some(AnswerWord::NotNow), Some(AnswerWord::Delivered));
    assert_eq!(
        words,
        [
            (NoticeState::Delivered, Some("4127"), vec![later, there]),
            (NoticeState::Merged, Some("4127"), vec![there]),
        ]
    );
    assert_eq!(notices.waiting(), (0, None));
    let counts: Vec<_> = notices.counts().map(|((_, word), count)| (word, count)).collect();
    assert_eq!(counts, [(NoticeState::Delivered, 1), (NoticeState::Merged, 1)]);
    let before = notices.change();
    notices.decide(1, intent("a", "ops", 1));
    assert_eq!(notices.change(), before, "a notice that comes again is news");
}

#[test]
fn what_shadow_records_waits_for_nothing_and_says_nothing_of_a_receiver() {
    let mut notices = Notices::default();
    notices.decide(1, Intent { shadow: true, ..intent("a", "ops", 1) });
    assert_eq!(notices.waiting().0, 0);
    assert_eq!(only(&notices).last_of_receiver("ops"), None);
    assert_eq!(only(&notices).of_receiver("ops").next().unwrap().state, NoticeState::Shadow);
}

#[test]
fn a_test_waits_until_it_has_its_result() {
    let mut notices = Notices::default();
    let (team, receiver) = (team(), "ops".parse().unwrap());
    let by = "olga".parse().unwrap();
    notices.test(1, TestNotice { v: 1, id: "t".to_owned(), team, receiver, by, time: UnixMs(50) });
    assert!(only(&notices).test_waits("ops") && !only(&notices).test_waits("boss"));
    // What is decided late is of an earlier time, and hides no test.
    notices.decide(2, intent("late", "ops", 1));
    assert_eq!(only(&notices).tests_since(UnixMs(50)).count(), 1);
    assert_eq!(only(&notices).tests_since(UnixMs(51)).count(), 0);
    notices.result(result("t", ResultWord::Failed, None));
    assert!(!only(&notices).test_waits("ops"));
    assert_eq!(only(&notices).last_of_receiver("ops").unwrap().state, NoticeState::Failed);
}

#[test]
fn memory_is_bounded_and_what_waits_stays_longest() {
    let mut notices = Notices::default();
    notices.decide(0, intent("waits", "ops", 0));
    for place in 1..=NOTICES_KEPT_MAX as u64 + 10 {
        let id = place.to_string();
        notices.decide(place, intent(&id, "ops", place));
        notices.attempt(attempt(&id, 1, &[&id]));
        notices.result(result(&id, ResultWord::Delivered, None));
    }
    for k in 1..100 {
        notices.attempt(attempt("waits", k, &["waits"]));
    }
    let team = only(&notices);
    assert_eq!((team.notices.len(), team.order.len()), (NOTICES_KEPT_MAX, NOTICES_KEPT_MAX));
    assert_eq!((team.decided.len(), team.of_receiver("ops").count()), (NOTICES_KEPT_MAX, NOTICES_KEPT_MAX));
    let waits = team.view("waits").unwrap();
    let tries: Vec<_> = waits.attempts.iter().map(|it| it.k).collect();
    assert_eq!((tries.len(), tries[0], tries[31]), (ATTEMPTS_KEPT_MAX, 1, 99));
    for place in 0..NOTICES_KEPT_MAX as u64 + 10 {
        notices.decide(1_000_000 + place, intent(&format!("w{place}"), "ops", place));
    }
    assert_eq!(only(&notices).notices.len(), NOTICES_KEPT_MAX, "what waits is without bound");
    assert_eq!(notices.waiting().0, NOTICES_KEPT_MAX);
}
