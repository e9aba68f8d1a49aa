//! Messages to Telegram as its double receives them: form, limits, buttons, and every answer that it can give.

#![expect(clippy::unwrap_used, reason = "in tests a failed expectation is the message")]

use std::time::{Duration, Instant};
use teloxide_core::Bot;
use watchkeeper_processors::notifier::channel::Reply;
use watchkeeper_processors::notifier::channel::telegram::Chat;
use watchkeeper_processors::notifier::message::{Body, Line, Message};
use watchkeeper_processors::notifier::outgoing::ANSWER_MAX;
use watchkeeper_processors::notifier::telegram::pace::Pace;
use watchkeeper_schemas::notice::{AnswerWord, NoticeWord};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::rule::Severity;
use watchkeeper_tests::telegram::html::{found_links, parse};
use watchkeeper_tests::telegram::{Double, Entry, Fault, Wrong};

const TOKEN: &str = "700100:AAF-a_secret-of-the-bot";
const BOT: i64 = 700_100;
const PAGE: &str = "https://watch.example.org";

struct Told {
    double: Double,
    runtime: tokio::runtime::Runtime,
    bot: Bot,
}

impl Told {
    fn start() -> Self {
        let double = Double::start(([127, 0, 0, 1], 0).into()).unwrap();
        double.with(|it| it.add_token(TOKEN));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bot = Bot::new(TOKEN).set_api_url(double.url().parse().unwrap());
        Self { double, runtime, bot }
    }

    /// A chat that the bot may write to; each with a pace of its own, so that chats need not wait here.
    fn chat(&self, chat: i64) -> Chat {
        self.double.with(|it| it.say(BOT, chat, chat, "A chat", "hello"));
        Chat { bot: self.bot.clone(), pace: Pace::default(), chat, is_group: chat < 0 }
    }

    fn send(&self, chat: &Chat, message: &Message) -> Reply {
        let begun = Instant::now();
        let reply = self.runtime.block_on(chat.send(message));
        assert!(begun.elapsed() < ANSWER_MAX + Duration::from_millis(500), "{:?}", begun.elapsed());
        assert!(!format!("{reply:?} {chat:?}").contains("AAF"), "the token is told: {reply:?}");
        reply
    }

    fn last(&self) -> Entry {
        self.double.journal("sendMessage").pop().unwrap()
    }

    fn fault(&self, what: Wrong, retry_after: u64) {
        self.double.with(|it| it.fault(Fault { method: None, chat: None, what, times: 1, retry_after }));
    }
}

fn line(n: u64) -> Line {
    Line {
        episode: format!("cpu~web-1~{n}~e3b0c44298fc1c14").parse().unwrap(),
        notice: NoticeWord::Firing,
        level: Severity::Critical,
        is_over: false,
        rule: "CPU high".to_owned(),
        host: Some("web-1".to_owned()),
        series: String::new(),
        what: "97.2 % (> 90 %)".to_owned(),
        since: UnixMs(1_790_000_000_000),
        duration_ms: None,
        peak: "99 %".to_owned(),
        note: String::new(),
        link: format!("{PAGE}/alerts/cpu~web-1~{n}~e3b0c44298fc1c14"),
    }
}

fn message(lines: Vec<Line>) -> Message {
    Message {
        id: "0123456789abcdef0123456789abcdef".to_owned(),
        team: "default".parse().unwrap(),
        team_name: "Night & <Watch>".to_owned(),
        receiver: "phone".parse().unwrap(),
        possible_repeat: false,
        silent: false,
        time: UnixMs(1_790_000_100_000),
        body: Body::Alerts { lines, link: format!("{PAGE}/alerts") },
    }
}

#[test]
fn a_message_says_everything_without_colour_and_has_buttons_while_it_is_open() {
    let told = Told::start();
    let (one, two) = (told.chat(1), told.chat(2));
    let reply = told.send(&one, &message(vec![line(1)]));
    assert_eq!((reply.answer, reply.retry_after), (AnswerWord::Delivered, None));
    let sent = told.last();
    assert_eq!(reply.message, sent.answer["result"]["message_id"].as_i64().map(|it| it.to_string()));
    let expected = "‼ CRITICAL web-1 CPU high\n97.2 % (> 90 %), peak 99 %\nsince 21 Sep 14:13:20 UTC\nOpen";
    assert_eq!(sent.text.as_deref(), Some(expected));
    let rows = &sent.body["reply_markup"]["inline_keyboard"];
    let labels: Vec<_> = rows.as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap()).collect();
    let labels: Vec<_> = labels.iter().map(|it| it["text"].as_str().unwrap()).collect();
    assert_eq!(labels, ["Acknowledge", "Silence 1 h", "Open"]);
    assert_eq!(rows[1][0]["url"].as_str().unwrap(), line(1).link);
    assert_eq!(sent.body["disable_notification"], false);
    assert_eq!(sent.body["link_preview_options"]["is_disabled"], true);

    let over = Line {
        notice: NoticeWord::Resolved,
        is_over: true,
        duration_ms: Some(250_000),
        note: "no longer reported".to_owned(),
        link: "http://127.0.0.1:7171/alerts/x".to_owned(),
        ..line(1)
    };
    let quiet = Message { silent: true, possible_repeat: true, ..message(vec![over]) };
    told.send(&two, &quiet);
    let sent = told.last();
    let expected = "(possible repeat: an earlier one may have arrived)\n✓ OVER (critical) web-1 CPU high\n\
                    97.2 % (> 90 %), peak 99 %\nsince 21 Sep 14:13:20 UTC, lasted 4 min 10 s\nno longer reported\n\
                    http://127.0.0.1:7171/alerts/x";
    assert_eq!(sent.text.as_deref(), Some(expected));
    assert!(sent.body["reply_markup"].is_null() && sent.links.is_empty());
    assert_eq!(sent.body["disable_notification"], true);
    assert_eq!(told.double.violations(), Vec::<String>::new());
}

#[test]
fn many_lines_are_counted_where_they_do_not_fit_and_a_test_says_who_asked() {
    let told = Told::start();
    told.send(&told.chat(1), &message((1..=100).map(line).collect()));
    let sent = told.last();
    let text = sent.text.unwrap();
    let shown = text.matches("‼ CRITICAL").count();
    assert!(shown >= 9 && text.contains(&format!("and {} more", 100 - shown)), "{text}");
    assert!(text.starts_with("100 alerts of Night & <Watch>\n") && text.ends_with("All alerts"), "{text}");
    let buttons = &sent.body["reply_markup"]["inline_keyboard"];
    assert_eq!(buttons[0][0]["text"], "Acknowledge the first 9");
    told.send(&told.chat(2), &message((1..=3).map(line).collect()));
    assert_eq!(told.last().body["reply_markup"]["inline_keyboard"][0][1]["text"], "Silence all 1 h");
    let body = Body::Test { by: "<i>olga</i>".to_owned(), link: format!("{PAGE}/receivers/phone") };
    told.send(&told.chat(3), &Message { body, ..message(Vec::new()) });
    let text = told.last().text.unwrap();
    assert_eq!(text, "Test: messages of Night & <Watch> arrive here. Asked for by <i>olga</i>\nReceiver");
}

#[test]
fn every_answer_of_telegram_becomes_one_of_four() {
    let told = Told::start();
    let check = |chat: i64, what: Wrong, answer: AnswerWord, after_s: Option<u64>| {
        let chat = told.chat(chat);
        told.fault(what, 7);
        let reply = told.send(&chat, &message(vec![line(1)]));
        assert_eq!(
            (reply.answer, reply.retry_after.map(|it| it.as_secs())),
            (answer, after_s),
            "{what:?}: {reply:?}"
        );
        reply
    };
    check(1, Wrong::TooMany, AnswerWord::NotNow, Some(7));
    check(2, Wrong::Failed, AnswerWord::NotNow, None);
    check(3, Wrong::BadGateway, AnswerWord::NotNow, None);
    check(4, Wrong::Hang, AnswerWord::Unknown, None);
    check(5, Wrong::Reset, AnswerWord::Unknown, None);
    assert!(check(6, Wrong::Bad, AnswerWord::Refused, None).detail.contains("chat not found"));
    assert!(check(7, Wrong::Blocked, AnswerWord::Refused, None).detail.contains("blocked by the user"));
    // What wakes people does not depend on how it looks.
    check(8, Wrong::Entities, AnswerWord::Delivered, None);
    let sent = told.last();
    assert!(sent.body["parse_mode"].is_null() && sent.text.unwrap().starts_with("‼ CRITICAL web-1 CPU high"));

    let other = Chat { chat: 12_345, ..told.chat(9) };
    assert_eq!(told.send(&other, &message(vec![line(1)])).answer, AnswerWord::Refused);
    let revoked = Chat { bot: Bot::new("1:AAF-none").set_api_url(told.bot.api_url()), ..told.chat(9) };
    let reply = told.send(&revoked, &message(vec![line(1)]));
    assert!(reply.answer == AnswerWord::Refused && reply.detail.contains("Unauthorized"), "{reply:?}");
    let nowhere = Bot::new(TOKEN).set_api_url("http://127.0.0.1:1".parse().unwrap());
    let reply = told.send(&Chat { bot: nowhere, ..told.chat(9) }, &message(vec![line(1)]));
    assert_eq!(reply.answer, AnswerWord::NotNow, "{reply:?}");

    let group = told.chat(-10);
    told.double.with(|it| it.migrate(BOT, -10, -1_000_000_000_010, false));
    assert_eq!(told.send(&group, &message(vec![line(1)])).answer, AnswerWord::Delivered);
    assert_eq!(told.double.messages(-1_000_000_000_010).len(), 1);
}

#[test]
fn limits_are_kept_here_before_telegram_has_to_say_so() {
    let told = Told::start();
    let group = told.chat(-1);
    let replies: Vec<Reply> = (0..3).map(|_| told.send(&group, &message(vec![line(1)]))).collect();
    assert!(replies.iter().all(|it| it.answer == AnswerWord::Delivered), "{replies:?}");
    for n in 0..17 {
        assert!(
            group.pace.take(-1, true, tokio::time::Instant::now() + Duration::from_secs(2 + 2 * n)).is_ok()
        );
    }
    let reply = told.send(&group, &message(vec![line(1)]));
    assert!(
        reply.answer == AnswerWord::NotNow && reply.retry_after > Some(Duration::from_secs(10)),
        "{reply:?}"
    );
    assert_eq!(told.double.violations(), Vec::<String>::new());
}

/// The same numbers each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn name(&mut self) -> String {
        const PIECES: [&str; 40] = [
            "<",
            ">",
            "&",
            "\"",
            "'",
            "<b>",
            "</b>",
            "</code>",
            "<code>",
            "<script>alert(1)</script>",
            "&lt;",
            "&amp;",
            "&#60;",
            "&",
            "&lt",
            "<a href=\"http://evil.com\">",
            "http://evil.com",
            "https://t.me/x",
            "@someone",
            "/ack all",
            "#tag",
            "$USD",
            "evil.com",
            "a@b.org",
            "tg://resolve?domain=x",
            "\n",
            "\r\n",
            "\t",
            "\0",
            "\u{202e}",
            "\u{200b}",
            "\u{feff}",
            "😀",
            "👨‍👩‍👧‍👦",
            "ß",
            "漢字",
            "\u{301}",
            "*_`[]",
            "web-1",
            " ",
        ];
        let most = if self.roll(20) == 0 { 400 } else { 12 };
        let pieces = 1 + self.roll(most);
        (0..pieces).map(|_| PIECES[self.roll(PIECES.len())]).collect()
    }
}

#[test]
fn ten_thousand_hostile_names_render_nothing_and_are_cut_within_nothing() {
    let told = Told::start();
    let mut dice = Dice(0x5eed);
    let bot = told.bot.clone();
    for n in 0..10_000_u64 {
        let hostile = |dice: &mut Dice| Line {
            rule: dice.name(),
            host: Some(dice.name()),
            series: dice.name(),
            what: dice.name(),
            peak: dice.name(),
            note: dice.name(),
            link: format!("{PAGE}/{}", dice.name()),
            ..line(n)
        };
        let count = 1 + dice.roll(4);
        let lines = (0..count).map(|_| hostile(&mut dice)).collect();
        let message = Message { team_name: dice.name(), ..message(lines) };
        let html = watchkeeper_processors::notifier::channel::telegram::html(&bot, &message);
        let parsed = parse(&html).unwrap_or_else(|error| panic!("{error}: {html}"));
        assert!(html.encode_utf16().count() <= 4096, "{n}: {}", html.len());
        assert_eq!(found_links(&parsed), Vec::<String>::new(), "{html}");
        let leads = parsed.entities.iter().filter_map(|it| it.href.as_deref());
        assert!(leads.clone().all(|href| href.starts_with(PAGE)), "{html}");
        let tags: Vec<&str> = parsed.entities.iter().map(|it| it.tag.as_str()).collect();
        assert!(tags.iter().all(|tag| ["b", "code", "a"].contains(tag)), "{tags:?}");
        let odd = parsed.text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(odd, None, "{html}");
        assert!(parsed.text.lines().count() <= 4 + 8 * count, "a name breaks no line: {}", parsed.text);
        if n % 500 == 0 {
            let chat = told.chat(i64::try_from(n).unwrap() + 1);
            assert_eq!(told.send(&chat, &message).answer, AnswerWord::Delivered, "{html}");
        }
    }
    assert_eq!(told.double.violations(), Vec::<String>::new());
}
