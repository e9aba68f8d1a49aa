//! What each credential is for: that work succeeds.

use crate::client::{Client, Heard, all_refused};
use crate::jetstream::{self, count, stored, streams};
use crate::server::{Server, host};
use async_nats::jetstream::consumer;
use futures_util::StreamExt;
use std::time::Duration;
use tokio::time::timeout;
use watchkeeper_nats::Program;
use watchkeeper_schemas::ids::Shard;
use watchkeeper_schemas::subjects;

const ANSWER_MAX: Duration = Duration::from_secs(10);

#[test]
fn every_credential_connects() {
    let server = Server::start(&["default"]);
    for program in [Program::Processors, Program::Gateway] {
        Client::connect(&server.address, &server.program(program)).unwrap();
    }
    server.sys();
    for creds in
        [server.agent("default", "web-1"), server.reader("default", "screen"), server.fleet("default")]
    {
        Client::connect(&server.address, &creds).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_publishes_its_two_subjects_and_is_answered() {
    let server = Server::start(&["default"]);
    let js = streams(&server).await;
    let mut agent = Client::connect(&server.address, &server.agent("default", "web-1")).unwrap();
    agent.subscribe("_INBOX.default.web-1.>");
    let shard = Shard::of(&host("web-1"));
    for (sequence, lane) in [(1, "sample"), (2, "backfill")] {
        agent.publish(&format!("{lane}.v1.default.{shard}.web-1"), "_INBOX.default.web-1.a", "body");
        let answer = agent.answer_on("_INBOX.default.web-1.a");
        assert_eq!((answer["stream"].as_str(), answer["seq"].as_u64()), (Some("SAMPLES"), Some(sequence)));
    }
    assert_eq!(stored(&js, &format!("backfill.v1.default.{shard}.web-1")).await, ["body"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_use_an_ordinary_client_library() {
    let server = Server::start(&["default"]);
    let js = streams(&server).await;
    let options = async_nats::ConnectOptions::with_credentials(&server.agent("default", "web-1")).unwrap();
    let options = options.custom_inbox_prefix("_INBOX.default.web-1");
    let client = options.connect(&server.address).await.unwrap();
    let subject = format!("sample.v1.default.{}.web-1", Shard::of(&host("web-1")));
    let answer = client.request(subject, "body".into()).await.unwrap();
    assert_eq!(&answer.payload[..], br#"{"stream":"SAMPLES","seq":1}"#);
    assert_eq!(count(&js, "SAMPLES").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_hears_its_commands() {
    let server = Server::start(&["a", "b"]);
    let mut agents = [("a", "web-1"), ("a", "web-2"), ("b", "web-1")].map(|(team, id)| {
        let mut agent = Client::connect(&server.address, &server.agent(team, id)).unwrap();
        agent.subscribe(&format!("cmd.v1.{team}.{}.{id}", Shard::of(&host(id))));
        assert_eq!(agent.flush(), []);
        agent
    });
    let mut core = server.core_user(&["cmd.v1.>"]);
    let subject = format!("cmd.v1.a.{}.web-1", Shard::of(&host("web-1")));
    core.publish(&subject, "", "sooner");
    assert_eq!(core.flush(), []);
    assert_eq!(agents[0].next(), Heard::Message(subject, "sooner".into()));
    assert_eq!(agents[1].flush(), []);
    assert_eq!(agents[2].flush(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_publishes_for_every_host_of_its_team_only() {
    let server = Server::start(&["a", "b"]);
    let js = streams(&server).await;
    let mut fleet = Client::connect(&server.address, &server.fleet("a")).unwrap();
    fleet.subscribe("_INBOX.a.fleet.>");
    for id in ["sim-1", "sim-2"] {
        fleet.publish(&format!("sample.v1.a.{}.{id}", Shard::of(&host(id))), "_INBOX.a.fleet.1", id);
        assert_eq!(fleet.answer_on("_INBOX.a.fleet.1")["stream"], "SAMPLES");
    }
    fleet.publish("sample.v1.b.00.sim-1", "_INBOX.a.fleet.1", "x");
    fleet.publish("tick.v1", "_INBOX.a.fleet.1", "x");
    fleet.subscribe("_INBOX.a.web-1.>");
    let heard = fleet.flush();
    assert!(all_refused(&heard, 3), "{heard:?}");
    assert_eq!(count(&js, "SAMPLES").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_hears_its_own_team_and_can_publish_nothing() {
    let server = Server::start(&["a", "b"]);
    let js = streams(&server).await;
    let mut reader = Client::connect(&server.address, &server.reader("a", "screen")).unwrap();
    reader.subscribe("public.v1.a.>");
    assert_eq!(reader.flush(), []);
    for subject in ["public.v1.b.host.web-1", "public.v1.a.host.web-1"] {
        js.client().publish(subject, subject.into()).await.unwrap();
    }
    js.client().flush().await.unwrap();
    let mine = "public.v1.a.host.web-1";
    assert_eq!(reader.next(), Heard::Message(mine.into(), mine.into()));

    let forbidden = [
        "public.v1.a.host.web-1",
        "sample.v1.a.00.web-1",
        "journal.v1.a.x.y",
        "cmd.v1.a.00.web-1",
        "x",
        "x..y",
    ];
    for subject in forbidden {
        reader.publish(subject, "", "x");
    }
    for subject in ["public.v1.b.>", "public.v1.>", "public.v1.*.host.*", "_INBOX.>", ">", "$SYS.>"] {
        reader.subscribe(subject);
    }
    let heard = reader.flush();
    assert!(all_refused(&heard, forbidden.len() + 6), "{heard:?}");
    for reply in ["sample.v1.a.00.web-1", "journal.v1.a.host.web-1", "public.v1.a.host.web-1"] {
        reader.publish(subjects::DEAD, reply, "x");
    }
    let heard = reader.flush();
    assert!(!heard.iter().any(|heard| matches!(heard, Heard::Refused(_))), "{heard:?}");
    assert_eq!((count(&js, "SAMPLES").await, count(&js, "JOURNAL").await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_processors_keep_the_topology_and_consume() {
    let server = Server::start(&["default"]);
    let js = streams(&server).await;
    let mut config = js.get_stream("SAMPLES").await.unwrap().cached_info().config.clone();
    config.max_bytes = 1 << 30;
    js.update_stream(config).await.unwrap();
    js.publish("tick.v1", "t".into()).await.unwrap().await.unwrap();
    js.publish("alert.v1.default.00.web-1.cpu", "fired".into()).await.unwrap().await.unwrap();

    let stream = js.get_stream("SAMPLES").await.unwrap();
    let pull = consumer::pull::Config { durable_name: Some("history".into()), ..Default::default() };
    let history = stream.create_consumer(pull).await.unwrap();
    let mut batch = history.fetch().max_messages(1).messages().await.unwrap();
    let message = timeout(ANSWER_MAX, batch.next()).await.unwrap().unwrap().unwrap();
    message.double_ack().await.unwrap();
    assert_eq!(
        js.get_stream("SAMPLES").await.unwrap().consumer_info("history").await.unwrap().num_ack_pending,
        0
    );

    let latest = js.get_key_value("LATEST").await.unwrap();
    latest.put("default.web-1", "view".into()).await.unwrap();
    assert_eq!(latest.get("default.web-1").await.unwrap().unwrap(), "view");
    js.publish("journal.v1.default.flag.web-1", "flag".into()).await.unwrap().await.unwrap();
    assert_eq!(first_of(&js, "JOURNAL").await, "flag");
    js.publish("journal.v1.default.silence.m1", "window".into()).await.unwrap().await.unwrap();
    stream.delete_consumer("history").await.unwrap();
}

/// The first message of a stream, read as a follower reads.
async fn first_of(js: &async_nats::jetstream::Context, stream: &str) -> String {
    let stream = js.get_stream(stream).await.unwrap();
    let settings = consumer::pull::Config { ack_policy: consumer::AckPolicy::None, ..Default::default() };
    let mut messages = stream.create_consumer(settings).await.unwrap().messages().await.unwrap();
    let first = timeout(ANSWER_MAX, messages.next()).await.unwrap().unwrap().unwrap();
    String::from_utf8_lossy(&first.payload).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_reads_views_and_writes_the_journal() {
    let server = Server::start(&["default"]);
    let processors = streams(&server).await;
    processors.publish("tick.v1", "t".into()).await.unwrap().await.unwrap();
    let durable = consumer::pull::Config { durable_name: Some("latest".into()), ..Default::default() };
    processors.get_stream("SAMPLES").await.unwrap().create_consumer(durable).await.unwrap();
    let latest = processors.get_key_value("LATEST").await.unwrap();
    latest.put("default.web-1", "old".into()).await.unwrap();

    let js = jetstream::of(&server, Program::Gateway).await;
    let mut watch = js.get_key_value("LATEST").await.unwrap().watch_all_from_revision(1).await.unwrap();
    assert_eq!(timeout(ANSWER_MAX, watch.next()).await.unwrap().unwrap().unwrap().value, "old");
    latest.put("default.web-1", "new".into()).await.unwrap();
    assert_eq!(timeout(ANSWER_MAX, watch.next()).await.unwrap().unwrap().unwrap().value, "new");

    js.publish("journal.v1.default.host.web-1", "fact".into()).await.unwrap().await.unwrap();
    js.publish("audit.v1.default", "entry".into()).await.unwrap().await.unwrap();
    for stream in ["JOURNAL", "AUDIT"] {
        let found = first_of(&js, stream).await;
        assert!(matches!(found.as_str(), "fact" | "entry"), "{stream}: {found}");
    }
    for bucket in ["SESSIONS", "SECRETS"] {
        let bucket = js.get_key_value(bucket).await.unwrap();
        bucket.put("default.x", "sealed".into()).await.unwrap();
        assert_eq!(bucket.get("default.x").await.unwrap().unwrap(), "sealed");
        let mut watch = bucket.watch_with_history(">").await.unwrap();
        assert_eq!(timeout(ANSWER_MAX, watch.next()).await.unwrap().unwrap().unwrap().value, "sealed");
    }
    let samples = js.get_stream("SAMPLES").await.unwrap();
    assert_eq!(samples.consumer_info("latest").await.unwrap().num_pending, 1);
    assert_eq!(samples.get_raw_message(1).await.unwrap().subject.as_str(), "tick.v1");
    assert_eq!(samples.direct_get(1).await.unwrap().subject.as_str(), "tick.v1");
}

#[test]
fn a_back_test_is_asked_heeded_and_told() {
    let server = Server::start(&["a"]);
    let mut processors = Client::connect(&server.address, &server.program(Program::Processors)).unwrap();
    let mut gateway = Client::connect(&server.address, &server.program(Program::Gateway)).unwrap();
    let (team, run) = ("a".parse().unwrap(), "run".parse().unwrap());
    let told = subjects::backtest_told(&team, &run);
    gateway.subscribe(&told);
    processors.subscribe(subjects::BACKTEST_ASKS);
    processors.subscribe(&subjects::backtest_heed(&team, &run));
    assert_eq!((gateway.flush(), processors.flush()), (vec![], vec![]));
    for subject in [subjects::backtest_ask(&team), subjects::backtest_heed(&team, &run)] {
        gateway.publish(&subject, "", "x");
        assert_eq!(processors.next(), Heard::Message(subject, "x".into()));
    }
    processors.publish(&told, "", "x");
    assert_eq!(gateway.next(), Heard::Message(told, "x".into()));

    let mut agent = Client::connect(&server.address, &server.agent("a", "web-1")).unwrap();
    agent.publish("backtest.v1.ask.a", "", "x");
    agent.subscribe("backtest.v1.told.a.run");
    let heard = agent.flush();
    assert!(all_refused(&heard, 2), "{heard:?}");
}

/// Where the processors may not publish.
const NOT_OF_PROCESSORS: [&str; 17] = [
    "sample.v1.default.00.web-1",
    "journal.v1.default.host.web-1",
    "journal.v1.default.member.flag",
    "journal.v1.default.credential.flag",
    "journal.v1.default.maintenance.silence",
    "journal.v1.flag.host.web-1",
    "journal.v1.default.flag.web-1.x",
    "journal.v1._.user.flag",
    "journal.v1.default.receiver.chat",
    "journal.v1.default.link_offer.chat",
    "$KV.CHANNELS.x",
    "$KV.SESSIONS.x",
    "$KV.SECRETS.x",
    "cmd.v1.default.00.web-1",
    "backtest.v1.ask.default",
    "backtest.v1.heed.default.run",
    "_INBOX.gateway.x",
];

#[tokio::test(flavor = "multi_thread")]
async fn our_programs_have_no_right_that_they_do_not_need() {
    let server = Server::start(&["default"]);
    let js = streams(&server).await;
    let mut processors = Client::connect(&server.address, &server.program(Program::Processors)).unwrap();
    for right in [
        "STREAM.DELETE.SAMPLES",
        "STREAM.PURGE.SAMPLES",
        "STREAM.MSG.DELETE.SAMPLES",
        "STREAM.PURGE.JOURNAL",
        "STREAM.DELETE.AUDIT",
        "CONSUMER.CREATE.AUDIT",
        "CONSUMER.CREATE.KV_SESSIONS",
        "CONSUMER.CREATE.KV_SECRETS",
        "STREAM.MSG.GET.KV_SECRETS",
    ] {
        processors.publish(&format!("$JS.API.{right}"), "", "{}");
    }
    for subject in NOT_OF_PROCESSORS {
        processors.publish(subject, "", "x");
    }
    processors.subscribe("_INBOX.gateway.>");
    let heard = processors.flush();
    assert!(all_refused(&heard, NOT_OF_PROCESSORS.len() + 10), "{heard:?}");

    let mut gateway = Client::connect(&server.address, &server.program(Program::Gateway)).unwrap();
    for right in [
        "STREAM.CREATE.X",
        "STREAM.UPDATE.SAMPLES",
        "STREAM.DELETE.JOURNAL",
        "STREAM.PURGE.AUDIT",
        "STREAM.MSG.DELETE.AUDIT",
        "CONSUMER.CREATE.SAMPLES",
        "CONSUMER.DELETE.SAMPLES.history",
        "CONSUMER.CREATE.KV_CHANNELS",
        "STREAM.MSG.GET.KV_CHANNELS",
    ] {
        gateway.publish(&format!("$JS.API.{right}"), "", "{}");
    }
    for subject in
        ["tick.v1", "alert.v1.default.00.web-1.cpu", "$KV.LATEST.x", "$JS.ACK.SAMPLES.history.1.1.1.1.1"]
    {
        gateway.publish(subject, "", "x");
    }
    gateway.publish("backtest.v1.told.default.run", "", "x");
    gateway.publish("notice.v1.intent.x", "", "x");
    gateway.publish("notice.v1.result.x", "", "x");
    gateway.subscribe("sample.v1.>");
    gateway.subscribe("backtest.v1.ask.>");
    let heard = gateway.flush();
    assert!(all_refused(&heard, 18), "{heard:?}");

    let mut sys = server.sys();
    sys.publish("$SYS.REQ.SERVER.PING.VARZ", "", "");
    sys.publish("$SYS.REQ.SERVER.PING.JSZ", "", "");
    sys.publish("$SYS.REQ.CLAIMS.LIST", "", "");
    sys.subscribe("$SYS.>");
    let heard = sys.flush();
    assert!(all_refused(&heard, 4), "{heard:?}");
    sys.subscribe("_INBOX.sys.>");
    sys.publish("$SYS.REQ.SERVER.PING.CONNZ", "_INBOX.sys.1", "{\"auth\":true}");
    let connections = sys.answer_on("_INBOX.sys.1");
    assert!(connections["data"]["num_connections"].as_u64().unwrap() >= 3, "{connections}");
    assert_eq!(count(&js, "SAMPLES").await, 0);
}
