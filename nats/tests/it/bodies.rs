//! T12: what an agent may put into a message of its own, and what comes of it: parked with its reason and counted for
//! its host, or kept as the harmless text it is; nobody else notices.

use crate::attacks::seen;
use crate::client::Client;
use crate::jetstream;
use crate::keepers::{Enrolled, Journal, Keepers, SOON};
use crate::server::Server;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Instant;
use watchkeeper_nats::Program;
use watchkeeper_schemas::codec::{self, ENVELOPE_BYTES};
use watchkeeper_schemas::ids::BootId;
use watchkeeper_schemas::parked::Parked;
use watchkeeper_schemas::quantity::{Num, Text};
use watchkeeper_schemas::sample::{Inventory, Sample, Temperature};
use watchkeeper_schemas::subjects::SampleSubject;
use watchkeeper_streams::rebuild::{self, Begin};
use watchkeeper_streams::topology::PARKED;

/// A name of sixteen letters that evil ones are written over.
const MARK: &str = "Qz7-mark-of-test";

fn subject(team: &str, host: &str) -> SampleSubject {
    SampleSubject::live(team.parse().unwrap(), host.parse().unwrap())
}

fn sample(subject: &SampleSubject, seq: u64) -> Sample {
    let mut sample = Sample::empty(subject, BootId([7; 16]), seq, crate::keepers::now(), 5_000);
    sample.inventory = Some(Box::new(Inventory { hostname: Text::fit(MARK), ..Inventory::default() }));
    sample
}

fn frame(sample: &Sample) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(sample, &mut bytes).unwrap();
    bytes
}

/// A frame around any body, as a hostile agent would write it: length and checksum are right.
fn around(body: &[u8]) -> Vec<u8> {
    let mut bytes = b"WK\x01\x01".to_vec();
    bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes[2..8]), body);
    bytes.extend(checksum.to_le_bytes());
    bytes.extend(body);
    bytes
}

/// A good sample whose host's name is `evil`, byte for byte.
fn named(good: &[u8], length: &[u8], evil: &[u8]) -> Vec<u8> {
    let body = &good[ENVELOPE_BYTES..];
    let at = body.windows(MARK.len()).position(|part| part == MARK.as_bytes()).unwrap();
    around(&[&body[..at - 1], length, evil, &body[at + MARK.len()..]].concat())
}

/// Sixteen bytes that begin like this.
fn evil(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(MARK.len(), b'.');
    bytes
}

/// What is sent, and why it is parked; nothing where it is kept.
fn bodies(own: &SampleSubject) -> Vec<(&'static str, Vec<u8>, Option<&'static str>)> {
    let good = frame(&sample(own, 1));
    let changed = |place: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[place] = value;
        bytes
    };
    let with_name = |text: &str| named(&good, &[16], &evil(text));
    let (mut bare, mut nan) = (sample(own, 2), sample(own, 3));
    bare.inventory = None;
    let bare = frame(&bare);
    let mut rows = bare[ENVELOPE_BYTES..bare.len() - 2].to_vec();
    rows.extend([0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    nan.temperatures = vec![Temperature { sensor: Text::fit("core"), celsius: Num(f32::NAN) }];
    vec![
        ("PubAck JSON", br#"{"stream":"SAMPLES","seq":1}"#.to_vec(), Some("not_a_frame")),
        ("nothing", Vec::new(), Some("not_a_frame")),
        ("another host's sample", frame(&sample(&subject("a", "victim"), 9)), Some("wrong_host")),
        ("another team's sample", frame(&sample(&subject("b", "attacker"), 9)), Some("wrong_host")),
        ("wrong CRC", changed(good.len() - 1, good[good.len() - 1] ^ 1), Some("bad_checksum")),
        ("length 2^32-1 in the envelope", changed(7, 0xff), Some("wrong_length")),
        ("2^40 rows", around(&rows), Some("bad_body")),
        ("half a body", around(&good[ENVELOPE_BYTES..good.len() / 2]), Some("bad_body")),
        ("bytes after the body", around(&[&good[ENVELOPE_BYTES..], b"x"].concat()), Some("bad_body")),
        ("a name of 64 kB, so it says", named(&good, &[0xc1, 0, 0], MARK.as_bytes()), Some("bad_body")),
        ("a name beyond the limit", named(&good, &[128], &[b'x'; 129]), Some("bad_body")),
        ("a newline in a name", with_name("a\nb"), Some("bad_body")),
        ("NUL in a name", with_name("a\0b"), Some("bad_body")),
        ("right-to-left in a name", with_name("a\u{202e}b"), Some("bad_body")),
        ("broken UTF-8 in a name", named(&good, &[16], &[0xff; 16]), Some("bad_body")),
        ("quotes in a name", with_name("\",\"x\":\"'`"), None),
        ("<script> in a name", with_name("<script>1</script"), None),
        ("NaN in a value", frame(&nan), None),
    ]
}

/// Publishes; whether the broker stored it.
fn stored(client: &mut Client, agent: &Enrolled, body: &[u8]) -> bool {
    let head = format!("PUB {} {} {}\r\n", agent.subject, agent.inbox, body.len());
    assert!(client.send_raw(&[head.as_bytes(), body, b"\r\n"].concat()));
    let answer = client.answer_on(&agent.inbox);
    answer["stream"] == "SAMPLES" && answer["error"].is_null()
}

/// The newest view of a host, once it is that of number `seq`.
async fn view(js: &async_nats::jetstream::Context, key: &str, seq: u64) -> Value {
    let (latest, deadline) = (js.get_key_value("LATEST").await.unwrap(), Instant::now() + SOON);
    loop {
        let found = latest.get(key).await.unwrap();
        let view = found.map_or(Value::Null, |view| serde_json::from_slice(&view).unwrap());
        if view["seq"] == seq {
            return view;
        }
        assert!(Instant::now() < deadline, "{key} is not at {seq}: {view}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t12_a_body_is_parked_with_its_reason_or_harmless() {
    let server = Server::start(&["other"]);
    let _keepers = Keepers::start_with_latest(&server).await;
    let mut journal = Journal::open(&server).await;
    for team in ["a", "b"] {
        journal.team(&server, team).await;
    }
    let (attacker, quiet) =
        (journal.host(&server, "a", "attacker").await, journal.host(&server, "b", "quiet").await);
    let (mut client, mut beside) = (attacker.connect(), quiet.connect());
    let (own, other) = (subject("a", "attacker"), subject("b", "quiet"));
    let bodies = bodies(&own);
    for (round, (tried, body, _)) in (1..).zip(&bodies) {
        assert!(stored(&mut client, &attacker, body), "{tried} was not stored");
        assert!(stored(&mut beside, &quiet, &frame(&sample(&other, round))), "beside {tried}");
    }
    let last = sample(&own, 100);
    assert!(stored(&mut client, &attacker, &frame(&last)));

    let js = jetstream::of(&server, Program::Processors).await;
    let (theirs, others) =
        (view(&js, "a.attacker", 100).await, view(&js, "b.quiet", bodies.len() as u64).await);
    let refused = bodies.iter().filter(|(_, _, reason)| reason.is_some()).count();
    assert_eq!((&theirs["unreadable_samples"], &others["unreadable_samples"]), (&refused.into(), &0.into()));
    let reasons = parked(&js, &attacker.subject, refused).await;
    for (sequence, (tried, _, reason)) in (1..).step_by(2).zip(&bodies) {
        assert_eq!(reasons.get(&sequence).map(String::as_str), *reason, "{tried}");
        seen(
            "T12",
            &format!("body: {tried}"),
            &reason.map_or("kept, as text or without the value".into(), |it| format!("parked: {it}")),
        );
    }
    assert_eq!(reasons.len(), refused);
    let counted =
        format!("{refused} counted for its host, 0 for the host of the other team, which lost nothing");
    seen("T12", "what the views say afterwards", &counted);
    the_size_is_refused(&server, attacker).await;
}

/// Reasons by place in SAMPLES, all of one subject.
async fn parked(js: &async_nats::jetstream::Context, subject: &str, count: usize) -> BTreeMap<u64, String> {
    let (mut parked, deadline) = (Vec::new(), Instant::now() + SOON);
    // A batch shows its views before it parks.
    while parked.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} are parked", parked.len());
        parked.clear();
        rebuild::read(js, PARKED, &[], Begin::First, |event| parked.push(event.payload)).await.unwrap();
    }
    let parked = parked.iter().map(|payload| serde_json::from_slice::<Parked>(payload).unwrap());
    parked
        .map(|parked| {
            assert_eq!(parked.subject, subject, "an event of somebody else was parked: {parked:?}");
            assert!(!parked.detail.is_empty(), "{parked:?}");
            (parked.sequence, parked.reason)
        })
        .collect()
}

/// 64 kB are refused before they are stored.
async fn the_size_is_refused(server: &Server, attacker: Enrolled) {
    let js = jetstream::of(server, Program::Processors).await;
    let before = jetstream::count(&js, "SAMPLES").await;
    let mut client = attacker.connect();
    client.publish(&attacker.subject, &attacker.inbox, &"x".repeat(64 << 10));
    let heard = client.flush();
    assert!(format!("{heard:?}").contains("Maximum Payload Violation"), "{heard:?}");
    assert_eq!(jetstream::count(&js, "SAMPLES").await, before);
    seen("T12", "body: 64 kB", "refused by the server, the connection cut");
}
