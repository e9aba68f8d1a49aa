//! What an agent must not be able to do to others: the attacks on the bus, raw, against the shipped configuration.

use crate::client::{Client, Heard, all_refused};
use crate::jetstream::{count, stored, streams};
use crate::server::{Server, host};
use async_nats::jetstream::Context;
use watchkeeper_schemas::ids::Shard;

/// One row of the table that the attack suite prints: what was tried, and what was seen.
#[expect(clippy::print_stdout, reason = "the table is made for people")]
pub(crate) fn seen(attack: &str, tried: &str, seen: &str) {
    println!("{attack:<4}| {tried:<70}| {seen}");
}

/// Two teams; `attacker` and `victim` are hosts of team a and know each other's ids.
struct Scene {
    server: Server,
    js: Context,
    attacker: Client,
    victim: Client,
    /// The attacker's own live subject.
    own: String,
    /// The victim's live subject.
    foreign: String,
}

const OWN_INBOX: &str = "_INBOX.a.attacker.1";

impl Scene {
    async fn new() -> Self {
        let server = Server::start(&["a", "b"]);
        let js = streams(&server).await;
        let mut attacker = Client::connect(&server.address, &server.agent("a", "attacker")).unwrap();
        attacker.subscribe("_INBOX.a.attacker.>");
        let mut victim = Client::connect(&server.address, &server.agent("a", "victim")).unwrap();
        victim.subscribe("_INBOX.a.victim.>");
        victim.subscribe(&format!("cmd.v1.a.{}.victim", shard("victim")));
        assert_eq!((attacker.flush(), victim.flush()), (vec![], vec![]));
        let [own, foreign] = ["attacker", "victim"].map(|id| format!("sample.v1.a.{}.{id}", shard(id)));
        Self { server, js, attacker, victim, own, foreign }
    }

    /// A sample of the attacker's own, stored and answered: whatever was sent before has been handled by then.
    async fn fence(&mut self) {
        self.attacker.publish(&self.own, OWN_INBOX, "fence");
        loop {
            match self.attacker.next() {
                Heard::Message(on, body) if on == OWN_INBOX && body.contains("SAMPLES") => break,
                Heard::Message(..) | Heard::Refused(_) => {}
                Heard::Closed | Heard::Pong => panic!("the attacker was cut off before its fence"),
            }
        }
        self.js.publish("$KV.LATEST.fence", "fence".into()).await.unwrap().await.unwrap();
    }
}

fn shard(id: &str) -> Shard {
    Shard::of(&host(id))
}

#[tokio::test(flavor = "multi_thread")]
async fn t1_foreign_subjects_are_refused() {
    let mut scene = Scene::new().await;
    let other_shard = Shard::all().find(|other| *other != shard("attacker")).unwrap();
    let subjects = [
        scene.foreign.clone(),
        format!("backfill.v1.a.{}.victim", shard("victim")),
        format!("sample.v1.b.{}.attacker", shard("attacker")),
        format!("sample.v1.a.{other_shard}.attacker"),
        format!("{}.x", scene.own),
        "tick.v1".into(),
        "journal.v1.a.host.victim".into(),
        "alert.v1.a.00.victim.cpu".into(),
        "public.v1.a.host.victim".into(),
        format!("cmd.v1.a.{}.victim", shard("victim")),
        "void.v1.x".into(),
        "_INBOX.a.victim.1".into(),
        "$KV.LATEST.a.victim".into(),
        "$JS.ACK.SAMPLES.history.1.1.1.1.1".into(),
        "$SYS.REQ.CLAIMS.UPDATE".into(),
        "$SYS.REQ.USER.INFO".into(),
        "$SYS.REQ.ACCOUNT.PING.CONNZ".into(),
    ];
    for subject in &subjects {
        scene.attacker.publish(subject, "", "forged");
    }
    let heard = scene.attacker.flush();
    assert!(all_refused(&heard, subjects.len()), "{heard:?}");
    scene.fence().await;
    assert_eq!((count(&scene.js, "SAMPLES").await, count(&scene.js, "JOURNAL").await), (1, 0));
    assert_eq!(scene.victim.flush(), []);
    let tried = format!("publish on {} subjects of others and of the system", subjects.len());
    seen("T1", &tried, &format!("{} refused, 0 stored, 0 heard by the victim", heard.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn t2_a_reply_subject_stores_and_delivers_nothing() {
    let mut scene = Scene::new().await;
    let replies = [
        scene.foreign.clone(),
        format!("backfill.v1.a.{}.victim", shard("victim")),
        "sample.v1.b.00.victim".into(),
        "tick.v1".into(),
        "$KV.LATEST.a.victim".into(),
        "journal.v1.a.host.victim".into(),
        "alert.v1.a.00.victim.cpu".into(),
        "public.v1.a.host.victim".into(),
        format!("cmd.v1.a.{}.victim", shard("victim")),
        "$JS.API.STREAM.PURGE.SAMPLES".into(),
        "$JS.API.STREAM.DELETE.ALERTS".into(),
        "$JS.API.STREAM.CREATE.X".into(),
        "$JS.ACK.SAMPLES.history.1.1.1.1.1".into(),
        "$SYS.REQ.CLAIMS.UPDATE".into(),
    ];
    let mut reader = Client::connect(&scene.server.address, &scene.server.reader("a", "screen")).unwrap();
    reader.subscribe("public.v1.a.>");
    assert_eq!(reader.flush(), []);
    for reply in &replies {
        scene.attacker.publish(&scene.own, reply, "own");
    }
    scene.fence().await;
    let own = stored(&scene.js, &scene.own).await.len() as u64;
    assert_eq!(count(&scene.js, "SAMPLES").await, own, "a foreign subject was stored");
    for (stream, messages) in [("KV_LATEST", 1), ("JOURNAL", 0), ("ALERTS", 0)] {
        assert_eq!(count(&scene.js, stream).await, messages, "{stream}");
    }
    assert_eq!(scene.victim.flush(), []);
    assert_eq!(reader.flush(), []);
    let tried =
        format!("own sample with {} reply subjects: stored ones, buckets, commands, API", replies.len());
    seen("T2", &tried, &format!("{own} own samples stored, nothing stored, changed or delivered elsewhere"));
}

#[tokio::test(flavor = "multi_thread")]
async fn t3_a_message_id_suppresses_nobodys_sample() {
    let mut scene = Scene::new().await;
    for id in ["1", "victim:2"] {
        scene.attacker.publish_with(&[("Nats-Msg-Id", id)], &scene.own, OWN_INBOX, "id");
        scene.attacker.answer_on(OWN_INBOX);
    }
    for body in ["1", "2"] {
        scene.victim.publish(&scene.foreign, "_INBOX.a.victim.1", body);
        assert_eq!(scene.victim.answer_on("_INBOX.a.victim.1")["stream"], "SAMPLES");
    }
    assert_eq!(stored(&scene.js, &scene.foreign).await, ["1", "2"]);
    seen("T3", "the victim's message ids, sent first", "both samples of the victim stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn t4_nobody_listens_to_others() {
    let mut scene = Scene::new().await;
    let subjects = [
        "_INBOX.>",
        "_INBOX.*.*.>",
        "_INBOX.a.victim.>",
        "_INBOX.processors.>",
        ">",
        "*",
        "sample.v1.>",
        "cmd.v1.a.>",
        "public.v1.a.>",
        "void.v1.>",
        "$SYS.>",
        "$JS.>",
        "$KV.>",
    ];
    for subject in subjects {
        scene.attacker.subscribe(subject);
    }
    let heard = scene.attacker.flush();
    assert!(all_refused(&heard, subjects.len()), "{heard:?}");
    scene.victim.publish(&scene.foreign, "_INBOX.a.victim.1", "secret");
    scene.victim.answer_on("_INBOX.a.victim.1");
    assert_eq!(scene.attacker.flush(), []);
    let tried = format!("subscribe {} times: inboxes, >, $SYS, $JS, samples, commands, feed", subjects.len());
    seen("T4", &tried, &format!("{} refused, 0 messages heard", heard.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn t4_one_agent_holds_four_subscriptions_and_sends_eight_kib() {
    let mut scene = Scene::new().await;
    for _ in 0..4 {
        scene.attacker.subscribe("_INBOX.a.attacker.>");
    }
    let heard = scene.attacker.flush();
    assert!(
        matches!(&heard[..], [Heard::Refused(why)] if why.contains("maximum subscriptions")),
        "{heard:?}"
    );
    scene.victim.publish(&scene.foreign, "", &"x".repeat(8193));
    let heard = scene.victim.flush();
    assert!(
        matches!(heard.first(), Some(Heard::Refused(why)) if why.contains("Maximum Payload")),
        "{heard:?}"
    );
    scene.fence().await;
    assert_eq!(count(&scene.js, "SAMPLES").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn t5_headers_have_no_effect_on_others() {
    let mut scene = Scene::new().await;
    scene.victim.publish(&scene.foreign, "_INBOX.a.victim.1", "kept");
    scene.victim.answer_on("_INBOX.a.victim.1");
    let refused = [
        ("Nats-Rollup", "all"),
        ("Nats-Rollup", "sub"),
        ("Nats-TTL", "1s"),
        ("Nats-Schedule", "@at 2030-01-01T00:00:00Z"),
        ("Nats-Batch-Id", "b"),
        ("Nats-Expected-Stream", "JOURNAL"),
        ("Nats-Expected-Last-Sequence", "99"),
        ("Nats-Expected-Last-Subject-Sequence", "99"),
        ("Nats-Expected-Last-Msg-Id", "guess"),
    ];
    for (name, value) in refused {
        let mut headers = vec![(name, value)];
        if name == "Nats-Batch-Id" {
            headers.extend([("Nats-Batch-Sequence", "1"), ("Nats-Batch-Commit", "1")]);
        }
        scene.attacker.publish_with(&headers, &scene.own, OWN_INBOX, "trick");
        let answer = scene.attacker.answer_on(OWN_INBOX);
        assert!(answer["error"].is_object(), "{name}: {value} was answered with {answer}");
    }
    scene.fence().await;
    assert_eq!(stored(&scene.js, &scene.foreign).await, ["kept"]);
    assert_eq!(stored(&scene.js, &scene.own).await, ["fence"]);
    let tried = format!("{} headers: roll-up, TTL, schedule, batch, expectations", refused.len());
    seen("T5", &tried, "each refused with an error, the victim's sample kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_trace_headers_deliver_nothing() {
    let mut scene = Scene::new().await;
    let destinations = [
        format!("cmd.v1.a.{}.victim", shard("victim")),
        "_INBOX.a.victim.1".into(),
        scene.foreign.clone(),
        "journal.v1.a.host.victim".into(),
        "$KV.LATEST.a.victim".into(),
    ];
    for destination in &destinations {
        let headers = [("Nats-Trace-Dest", destination.as_str()), ("traceparent", "00-1-1-01")];
        scene.attacker.publish_with(&headers, &scene.own, "", "traced");
    }
    scene.fence().await;
    assert_eq!(scene.victim.flush(), []);
    assert_eq!(stored(&scene.js, &scene.foreign).await, Vec::<String>::new());
    assert_eq!((count(&scene.js, "JOURNAL").await, count(&scene.js, "KV_LATEST").await), (0, 1));
    seen(
        "T6",
        &format!("trace headers to {} foreign subjects", destinations.len()),
        "nothing delivered or stored",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn t7_t8_t10_agents_and_readers_have_no_jetstream() {
    let mut scene = Scene::new().await;
    let reader = Client::connect(&scene.server.address, &scene.server.reader("a", "screen")).unwrap();
    let push = "{\"stream_name\":\"SAMPLES\",\"config\":{\"deliver_subject\":\"cmd.v1.a.00.victim\"}}";
    let requests = [
        ("INFO", ""),
        ("STREAM.NAMES", ""),
        ("STREAM.INFO.SAMPLES", ""),
        ("STREAM.CREATE.X", "{\"name\":\"X\",\"subjects\":[\"x\"]}"),
        ("STREAM.UPDATE.SAMPLES", "{\"name\":\"SAMPLES\"}"),
        ("STREAM.DELETE.SAMPLES", ""),
        ("STREAM.PURGE.SAMPLES", ""),
        ("STREAM.MSG.DELETE.SAMPLES", "{\"seq\":1}"),
        ("STREAM.MSG.GET.SAMPLES", "{\"seq\":1}"),
        ("DIRECT.GET.SAMPLES", "{\"seq\":1}"),
        ("DIRECT.GET.KV_LATEST.$KV.LATEST.b.web-1", ""),
        ("CONSUMER.CREATE.SAMPLES", push),
        ("CONSUMER.CREATE.KV_LATEST.x.$KV.LATEST.>", push),
        ("CONSUMER.DURABLE.CREATE.SAMPLES.x", push),
        ("CONSUMER.MSG.NEXT.SAMPLES.history", "1"),
    ];
    scene.victim.publish(&scene.foreign, "_INBOX.a.victim.1", "kept");
    scene.victim.answer_on("_INBOX.a.victim.1");
    for mut outsider in
        [reader, Client::connect(&scene.server.address, &scene.server.agent("b", "x")).unwrap()]
    {
        for (request, body) in requests {
            outsider.publish(&format!("$JS.API.{request}"), "", if body.len() > 60 { "{}" } else { body });
        }
        let heard = outsider.flush();
        assert!(all_refused(&heard, requests.len()), "{heard:?}");
    }
    for (request, body) in requests {
        scene.attacker.publish(&format!("$JS.API.{request}"), OWN_INBOX, body);
    }
    let heard = scene.attacker.flush();
    assert!(all_refused(&heard, requests.len()), "{heard:?}");
    scene.fence().await;
    assert_eq!(stored(&scene.js, &scene.foreign).await, ["kept"]);
    assert_eq!(scene.victim.flush(), []);
    let refused = format!("{} of {} refused for each of them", heard.len(), requests.len());
    seen("T7", "JetStream API by an agent, another team's agent, a reader: reads of others", &refused);
    seen("T8", "the same: push consumers with a foreign deliver subject", "refused, nothing delivered");
    seen("T10", "the same: purge, delete, update of streams", "refused, the stored sample kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn t10_even_a_program_of_ours_cannot_empty_samples() {
    let scene = Scene::new().await;
    let mut user = scene.server.core_user(&["$JS.API.STREAM.>"]);
    scene.js.publish("tick.v1", "t".into()).await.unwrap().await.unwrap();
    user.subscribe("_INBOX.test.>");
    for request in ["STREAM.PURGE.SAMPLES", "STREAM.MSG.DELETE.SAMPLES"] {
        user.publish(&format!("$JS.API.{request}"), "_INBOX.test.1", "{\"seq\":1}");
        let answer = user.answer_on("_INBOX.test.1");
        assert!(answer["error"].is_object(), "{request}: {answer}");
    }
    assert_eq!(count(&scene.js, "SAMPLES").await, 1);
    seen(
        "T10",
        "purge and delete in SAMPLES by a program of CORE with every stream right",
        "refused by the stream",
    );
}
