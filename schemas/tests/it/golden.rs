//! Golden payloads, which must decode for ever. `UPDATE=1` writes the JSON again; a frame once written stays.

use data_encoding::HEXLOWER;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use watchkeeper_schemas::alerting::{
    Defaults, EpisodeRef, Matcher, RuleState, SavedRule, Scope as RuleScope, Silence, Step, WeeklyMaintenance,
};
use watchkeeper_schemas::audit::{Action, AuditEntry, Deed, Hash, Outcome, Via};
use watchkeeper_schemas::codec;
use watchkeeper_schemas::episode::{
    AlertEvent, Evidence, EvidenceValue, RuleThen, SampleThen, TransitionWord,
};
use watchkeeper_schemas::ids::{BootId, Shard};
use watchkeeper_schemas::journal::{
    Behind, Collector, Credential, Enrolment, Fact, Flag, FlagReason, Host, Invitation, JournalEvent, Member,
    Reader, Remark, Role, Rule, Scope, Team, Token, User,
};
use watchkeeper_schemas::notice::{
    Answer, AnswerWord, Attempt, Intent, NoticeResult, NoticeWord, ResultWord, TestNotice, intent_id,
};
use watchkeeper_schemas::notice_event::{
    EventNotice, NOTICE_EVENT_TYPE, NoticeData, NoticeEvent, NoticeState, TEST_EVENT_TYPE, TestData,
    TestEvent,
};
use watchkeeper_schemas::parked::Parked;
use watchkeeper_schemas::quantity::{Num, Text, UnixMs};
use watchkeeper_schemas::receiver::{
    Bot, BotState, Channel, ChannelKind, Chat, ChatroomForm, LinkOffer, Receiver, ReceiverFailure,
    SmtpSecurity,
};
use watchkeeper_schemas::rule::Severity;
use watchkeeper_schemas::sample::{Custom, Sample};
use watchkeeper_schemas::subjects::SampleSubject;
use watchkeeper_schemas::tick::Tick;
use watchkeeper_schemas::usual_host::{usual_host, usual_inventory};
use watchkeeper_schemas::view::{HostHead, HostView, Numbers};

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Whether golden files are to be written rather than read.
pub(crate) fn updating() -> bool {
    std::env::var_os("UPDATE").is_some_and(|value| value == "1")
}

/// Holds `found` against the JSON file; the order of keys does not count.
pub(crate) fn check_json(name: &str, found: &Value) {
    let path = path(name);
    if updating() {
        fs::write(&path, serde_json::to_string_pretty(found).unwrap() + "\n").unwrap();
    }
    let expected: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(*found, expected, "{} differs: is the change meant? Then UPDATE=1 writes it", path.display());
}

/// Every form that a sample of version 1 can take in a few frames.
fn samples() -> [(&'static str, Sample); 3] {
    let usual = usual_host("web-1").unwrap();
    let mut first = usual.clone();
    first.seq = 1;
    first.inventory = Some(Box::new(usual_inventory()));
    first.clock_step_ms = -3_600_000;
    first.lost_samples = 17;
    first.custom = vec![Custom { name: Text::fit("queue.depth"), value: -12.5 }];
    first.temperatures[0].celsius = Num(-40.062_5);
    first.disks[2].mount = Text::fit("/srv/blå données");
    first.networks[0].rx_errors = (1 << 53) - 1;
    let subject = SampleSubject::live("t".parse().unwrap(), "h".parse().unwrap());
    let empty = Sample::empty(&subject, BootId([0; 16]), 1, UnixMs(1_600_000_000_000), 1_000);
    [("sample-v1-usual", usual), ("sample-v1-first", first), ("sample-v1-empty", empty)]
}

#[test]
fn frames_of_version_1_decode_for_ever_and_are_still_written_alike() {
    for (name, sample) in samples() {
        let file = path(&format!("golden/{name}.hex"));
        let mut frame = Vec::new();
        codec::encode(&sample, &mut frame).unwrap();
        if updating() && !file.exists() {
            fs::write(&file, HEXLOWER.encode(&frame) + "\n").unwrap();
        }
        let golden = HEXLOWER.decode(fs::read_to_string(&file).unwrap().trim().as_bytes()).unwrap();
        let subject = SampleSubject::live(sample.team.clone(), sample.host.clone());
        let decoded = codec::decode(&subject, &golden).unwrap();
        check_json(&format!("golden/{name}.json"), &serde_json::to_value(&decoded).unwrap());
        assert_eq!(decoded, sample, "{name}");
        assert_eq!(frame, golden, "{name}: version 1 is written in another way than it was");
    }
}

pub(crate) fn head_of(sample: &Sample) -> HostHead {
    HostHead {
        v: 1,
        team: sample.team.clone(),
        host: sample.host.clone(),
        shard: Shard::of(&sample.host),
        sequence: 4_711,
        boot: sample.boot,
        seq: sample.seq,
        time: sample.time,
        received: UnixMs(sample.time.0 + 12),
        interval_ms: sample.interval_ms,
        lost_samples: sample.lost_samples,
        dropped_values: sample.dropped_values,
        unreadable_samples: 2,
        inventory: sample.inventory.as_deref().cloned(),
    }
}

pub(crate) fn view_of(sample: &Sample) -> Value {
    serde_json::to_value(HostView { head: &head_of(sample), numbers: Numbers(sample) }).unwrap()
}

#[test]
fn views_are_rendered_alike_for_ever_and_their_head_decodes() {
    for ((_, sample), name) in
        samples().into_iter().zip(["host-view-usual", "host-view-first", "host-view-empty"])
    {
        let file = format!("golden/{name}.json");
        check_json(&file, &view_of(&sample));
        let text = fs::read_to_string(path(&file)).unwrap();
        assert_eq!(serde_json::from_str::<HostHead>(&text).unwrap(), head_of(&sample));
    }
}

pub(crate) fn parked() -> Parked {
    Parked {
        v: 1,
        processor: "latest".parse().unwrap(),
        stream: "SAMPLES".to_owned(),
        sequence: 4_712,
        subject: SampleSubject::live("default".parse().unwrap(), "web-1".parse().unwrap()).to_string(),
        received: UnixMs(1_790_000_123_468),
        reason: "not_a_frame".to_owned(),
        detail: "not a Watchkeeper frame".to_owned(),
        bytes: 28,
        head_hex: HEXLOWER.encode(br#"{"stream":"SAMPLES","seq":1}"#),
    }
}

const KEY: &str = "UDXB3BGDGO5JXLWGHHRCPCLRF3QX5DSBHIRFXRZGVRQWIAWV5RIUO5FU";

/// One event of each kind and state; those of no team come with no team.
pub(crate) fn journal() -> Vec<(&'static str, JournalEvent)> {
    let event = |cause: &str, fact| JournalEvent {
        v: 1,
        author: "alice".to_owned(),
        cause: cause.to_owned(),
        time: UnixMs(1_790_000_000_000),
        fact,
    };
    let until = UnixMs(1_790_000_300_000);
    let host = |enrolment| Host {
        name: "Front door".to_owned(),
        tags: ["web".to_owned(), "eu".to_owned()].into(),
        interval_ms: 5_000,
        mounts: ["/".to_owned()].into(),
        without: [Collector::DiskIo].into(),
        paused: false,
        enrolment,
    };
    let (key, user, id) = (|| KEY.parse().unwrap(), || "alice".parse().unwrap(), || "web-1".parse().unwrap());
    let of_host = |enrolment| Fact::Host { id: id(), value: Some(host(enrolment)) };
    let team = Team { name: "Default".to_owned() };
    let person = User { display_name: "Alice".to_owned(), disabled: false };
    let token = Token {
        user: user(),
        name: "deploy".to_owned(),
        scope: Scope::Read,
        team: Some("default".parse().unwrap()),
        expires: until,
    };
    let invitation =
        Invitation { role: Role::Viewer, note: "Bob of operations".to_owned(), by: user(), expires: until };
    let agent = Credential::Agent { host: id(), expires: until };
    let flag = Flag { reason: FlagReason::Flood, count: 812, until, strikes: 1 };
    vec![
        ("journal-user", event("set up", Fact::User { id: user(), value: Some(person) })),
        ("journal-token", event("made", Fact::Token { id: "t1".parse().unwrap(), value: Some(token) })),
        (
            "journal-team",
            event("first start", Fact::Team { id: "default".parse().unwrap(), value: Some(team) }),
        ),
        (
            "journal-member",
            event("set up", Fact::Member { id: user(), value: Some(Member { role: Role::Owner }) }),
        ),
        (
            "journal-invitation",
            event("invited", Fact::Invitation { id: "i1".parse().unwrap(), value: Some(invitation) }),
        ),
        ("journal-host", event("made", of_host(Enrolment::Waiting { until: Some(until) }))),
        ("journal-host-activating", event("enrolled", of_host(Enrolment::Activating { key: key(), until }))),
        ("journal-host-active", event("first sample", of_host(Enrolment::Active { key: key() }))),
        ("journal-host-removed", event("removed by hand", Fact::Host { id: id(), value: None })),
        (
            "journal-reader",
            event(
                "made",
                Fact::Reader { id: "wall".parse().unwrap(), value: Some(Reader { key: key(), by: user() }) },
            ),
        ),
        ("journal-credential", event("enrolled", Fact::Credential { id: key(), value: Some(agent) })),
        ("journal-flag", event("guard", Fact::Flag { id: id(), value: Some(flag) })),
    ]
    .into_iter()
    .chain(journal_of_alerts())
    .chain(journal_of_receivers())
    .collect()
}

fn journal_of_receivers() -> Vec<(&'static str, JournalEvent)> {
    let event = |author: &str, cause: &str, fact| JournalEvent {
        v: 1,
        author: author.to_owned(),
        cause: cause.to_owned(),
        time: UnixMs(1_790_000_000_000),
        fact,
    };
    let ops = || "ops".parse().unwrap();
    let receiver = |channel| {
        let (name, hears_from) = ("Operations".to_owned(), Severity::Warning);
        let value = Some(Receiver { name, channel, hears_from });
        event("alice", "made", Fact::Receiver { id: ops(), value })
    };
    let email = Channel::Email {
        to: vec!["ops@example.org".to_owned()],
        from: "watch@example.org".to_owned(),
        server: "mail.example.org".to_owned(),
        port: 587,
        security: SmtpSecurity::StartTls,
        user: Some("watch".to_owned()),
        secret: Some(3),
    };
    let (server, topic) = ("https://ntfy.sh".to_owned(), "night".to_owned());
    let host = || "hooks.example.org".to_owned();
    let offer = LinkOffer {
        hash: "LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ".to_owned(),
        by: "alice".parse().unwrap(),
        expires: UnixMs(1_790_000_600_000),
    };
    let chat = Chat {
        chat: -1_001_234_567_890,
        is_group: true,
        title: "Night watch".to_owned(),
        telegram_user: 4_711,
        user: "alice".parse().unwrap(),
        offer: offer.hash.clone(),
    };
    let failure =
        ReceiverFailure { answer: "Forbidden: bot was blocked by the user".to_owned(), revision: 9 };
    let team = || "default".parse().unwrap();
    let behind = Behind { from: UnixMs(1_790_000_000_000), until: UnixMs(1_790_000_090_000) };
    let state = BotState { username: Some("our_watch_bot".to_owned()), refusal: None, secret: Some(4) };
    vec![
        ("journal-receiver-telegram", receiver(Channel::Telegram {})),
        ("journal-receiver-email", receiver(email)),
        ("journal-receiver-webhook", receiver(Channel::Webhook { host: host(), secret: 1 })),
        ("journal-receiver-ntfy", receiver(Channel::Ntfy { server, topic, secret: None })),
        (
            "journal-receiver-chatroom",
            receiver(Channel::Chatroom { host: host(), form: ChatroomForm::Slack, secret: 2 }),
        ),
        ("journal-link-offer", event("alice", "offered", Fact::LinkOffer { id: ops(), value: Some(offer) })),
        ("journal-chat", event("notifier", "linked", Fact::Chat { id: ops(), value: Some(chat) })),
        (
            "journal-receiver-failure",
            event("notifier", "refused", Fact::ReceiverFailure { id: ops(), value: Some(failure) }),
        ),
        ("journal-bot", event("alice", "set", Fact::Bot { id: team(), value: Some(Bot { secret: 4 }) })),
        (
            "journal-behind",
            event("alerts", "caught up", Fact::Behind { id: "alerts".parse().unwrap(), value: Some(behind) }),
        ),
        ("journal-bot-state", event("notifier", "asked", Fact::BotState { id: team(), value: Some(state) })),
    ]
}

pub(crate) fn test_notice() -> TestNotice {
    TestNotice {
        v: 1,
        id: "0123456789abcdef0123456789abcdef".to_owned(),
        team: "default".parse().unwrap(),
        receiver: "ops".parse().unwrap(),
        by: "alice".parse().unwrap(),
        time: UnixMs(1_790_000_120_000),
    }
}

pub(crate) fn attempt() -> Attempt {
    Attempt {
        v: 1,
        id: intent().id,
        k: 2,
        team: "default".parse().unwrap(),
        receiver: "ops".to_owned(),
        members: vec![intent().id],
        possible_repeat: true,
        time: UnixMs(1_790_000_150_000),
    }
}

pub(crate) fn answer() -> Answer {
    Answer {
        v: 1,
        id: intent().id,
        k: 2,
        team: "default".parse().unwrap(),
        receiver: "ops".to_owned(),
        answer: AnswerWord::NotNow,
        detail: "429 Too Many Requests".to_owned(),
        message: None,
        retry_after_ms: Some(7_000),
        time: UnixMs(1_790_000_150_120),
    }
}

pub(crate) fn result() -> NoticeResult {
    NoticeResult {
        v: 1,
        id: intent().id,
        team: "default".parse().unwrap(),
        receiver: "ops".to_owned(),
        channel: Some(ChannelKind::Telegram),
        outcome: ResultWord::Delivered,
        detail: None,
        into: None,
        message: Some("4712".to_owned()),
        time: UnixMs(1_790_000_157_250),
    }
}

fn journal_of_alerts() -> Vec<(&'static str, JournalEvent)> {
    let event = |cause: &str, fact| JournalEvent {
        v: 1,
        author: "alice".to_owned(),
        cause: cause.to_owned(),
        time: UnixMs(1_790_000_000_000),
        fact,
    };
    let policy = vec![Step { receivers: ["on-call".to_owned()].into(), wait_ms: 600_000 }];
    let rule = Rule {
        name: "Disks".to_owned(),
        rule: SavedRule {
            text: "disk.used_pct > 90 for 2m clear < 80".to_owned(),
            scope: RuleScope::Tags(["web".to_owned()].into()),
            receivers: ["ops".to_owned()].into(),
            state: RuleState::Live,
            policy: policy.clone(),
        },
    };
    let silence = Silence {
        author: "alice".to_owned(),
        reason: "new disks".to_owned(),
        from: UnixMs(1_790_000_000_000),
        until: UnixMs(1_790_003_600_000),
        matchers: vec![
            Matcher::Host("web-1".parse().unwrap()),
            Matcher::Label { name: "mount".to_owned(), value: "/".to_owned() },
            Matcher::Severity(Severity::Warning),
        ],
    };
    let remark = || Some(Remark { note: "looking".to_owned() });
    let defaults = Defaults { receivers: ["ops".to_owned()].into(), policy };
    vec![
        ("journal-rule", event("made", Fact::Rule { id: "disks".parse().unwrap(), value: Some(rule) })),
        ("journal-silence", event("made", Fact::Silence { id: "s1".parse().unwrap(), value: Some(silence) })),
        (
            "journal-acknowledgement",
            event("by hand", Fact::Acknowledgement { episode: episode(), value: remark() }),
        ),
        ("journal-resolution", event("by hand", Fact::Resolution { episode: episode(), value: remark() })),
        (
            "journal-alert-defaults",
            event("set", Fact::AlertDefaults { id: "default".parse().unwrap(), value: Some(defaults) }),
        ),
        (
            "journal-maintenance",
            event("made", Fact::Maintenance { id: "m1".parse().unwrap(), value: Some(weekly()) }),
        ),
    ]
}

fn weekly() -> WeeklyMaintenance {
    WeeklyMaintenance {
        author: "alice".to_owned(),
        reason: "backup".to_owned(),
        zone: "Europe/Berlin".to_owned(),
        days: [6, 7].into(),
        begin: "22:00".to_owned(),
        end: "06:00".to_owned(),
        matchers: vec![Matcher::Tag("db".to_owned())],
    }
}

fn episode() -> EpisodeRef {
    EpisodeRef {
        rule: "disks".to_owned(),
        host: "web-1".to_owned(),
        series: "{mount=\"/\"}".to_owned(),
        episode: 4_711,
    }
}

pub(crate) fn alert_event() -> AlertEvent {
    AlertEvent {
        v: 1,
        id: "0123456789abcdef0123456789abcdef".to_owned(),
        team: "default".parse().unwrap(),
        episode_id: episode().id().unwrap(),
        episode: episode(),
        transition: TransitionWord::Resolved,
        level: Severity::Warning,
        reason: Some("ok".to_owned()),
        sequence: 4_800,
        ordinal: 0,
        time: UnixMs(1_790_000_300_000),
        since: UnixMs(1_790_000_000_000),
        value: Some(79.5),
        peak: Some(97.25),
        duration_ms: Some(300_000),
        shadow: false,
        retro: false,
        rule_then: Some(RuleThen {
            revision: 12,
            name: "Disks".to_owned(),
            text: "disk.used_pct > 90".to_owned(),
        }),
        samples: vec![SampleThen { time: UnixMs(1_790_000_299_990), value: Some(79.5) }],
        muted_by: vec!["silence s1".to_owned()],
        evidence: Some(Evidence {
            time: UnixMs(1_790_000_299_990),
            values: vec![EvidenceValue {
                metric: "disk.used_pct".to_owned(),
                row: "/".to_owned(),
                value: 79.5,
            }],
        }),
    }
}

pub(crate) fn intent() -> Intent {
    let team = "default".parse().unwrap();
    Intent {
        v: 1,
        id: intent_id(&team, &episode(), NoticeWord::Firing, 1, "ops"),
        team,
        episode_id: episode().id().unwrap(),
        episode: episode(),
        notice: NoticeWord::Firing,
        n: 1,
        receiver: "ops".to_owned(),
        level: Severity::Warning,
        reason: None,
        since: UnixMs(1_790_000_000_000),
        value: Some(91.0),
        peak: Some(97.25),
        duration_ms: None,
        short_episodes: 0,
        shadow: false,
        rule_then: Some(RuleThen {
            revision: 12,
            name: "Disks".to_owned(),
            text: "disk.used_pct > 90".to_owned(),
        }),
        sequence: 4_711,
        time: UnixMs(1_790_000_120_000),
    }
}

pub(crate) fn notice_event() -> NoticeEvent {
    let notice = |notice, state, duration_ms| EventNotice {
        episode: episode().id().unwrap(),
        rule: "Disks".to_owned(),
        host: Some("Front door".to_owned()),
        series: "/srv".to_owned(),
        notice,
        level: Severity::Critical,
        state,
        what: "97.2 % (> 90 %)".to_owned(),
        since: UnixMs(1_790_000_000_000),
        duration_ms,
        peak: "98.1 %".to_owned(),
        note: String::new(),
        link: "https://watch.example.org/alerts".to_owned(),
    };
    let data = NoticeData {
        v: 1,
        team: "acme".parse().unwrap(),
        team_name: "Acme <&> Sons".to_owned(),
        receiver: "ops".parse().unwrap(),
        possible_repeat: true,
        silent: false,
        notices: vec![
            notice(NoticeWord::Firing, NoticeState::Open, None),
            notice(NoticeWord::Resolved, NoticeState::Over, Some(90_000)),
        ],
        left_out: 3,
        link: "https://watch.example.org/alerts".to_owned(),
    };
    let (source, id) = ("/teams/acme/receivers/ops".to_owned(), "00ff".to_owned());
    NoticeEvent::new(NOTICE_EVENT_TYPE, source, id, UnixMs(1_790_000_120_000), data)
}

pub(crate) fn test_event() -> TestEvent {
    let data = TestData {
        v: 1,
        team: "acme".parse().unwrap(),
        team_name: "Acme".to_owned(),
        receiver: "ops".parse().unwrap(),
        by: "alice".to_owned(),
        link: "https://watch.example.org/receivers/ops".to_owned(),
    };
    let (source, id) = ("/teams/acme/receivers/ops".to_owned(), "00fe".to_owned());
    TestEvent::new(TEST_EVENT_TYPE, source, id, UnixMs(1_790_000_120_000), data)
}

pub(crate) fn audit_entry() -> AuditEntry {
    AuditEntry {
        v: 1,
        number: 7,
        previous: Hash::of(b"the entry before").to_string(),
        time: UnixMs(1_790_000_000_000),
        deed: Deed {
            action: Action::HostChange,
            outcome: Outcome::Done,
            actor: Some("alice".parse().unwrap()),
            via: Via::Session,
            from: Some("192.0.2.7".to_owned()),
            object: "web-1".to_owned(),
            before: Some(json!({ "name": "Front door" })),
            after: Some(json!({ "name": "Back door" })),
        },
    }
}

fn check_both_ways<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, value: &T) {
    let file = format!("golden/{name}.json");
    check_json(&file, &serde_json::to_value(value).unwrap());
    let decoded: T = serde_json::from_str(&fs::read_to_string(path(&file)).unwrap()).unwrap();
    assert_eq!(decoded, *value, "{name}");
}

#[test]
fn parked_events_and_journal_events_decode_for_ever() {
    check_both_ways("parked", &parked());
    check_both_ways("audit-entry", &audit_entry());
    check_both_ways("alert-event", &alert_event());
    check_both_ways("notice-intent", &intent());
    check_both_ways("notice-test", &test_notice());
    check_both_ways("notice-attempt", &attempt());
    check_both_ways("notice-answer", &answer());
    check_both_ways("notice-result", &result());
    check_both_ways("notice-event", &notice_event());
    check_both_ways("notice-test-event", &test_event());
    // From before intents told the rule.
    let before = fs::read_to_string(path("golden/notice-intent-first.json")).unwrap();
    let decoded: Intent = serde_json::from_str(&before).unwrap();
    assert_eq!(decoded, Intent { rule_then: None, ..intent() });
    check_both_ways("tick", &Tick::at(42));
    for (name, event) in journal() {
        check_both_ways(name, &event);
    }
}
