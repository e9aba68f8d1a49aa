//! The streams as the programs see them: with their own credentials, through the library they use.

use crate::server::Server;
use async_nats::jetstream::{self, Context, kv, stream};
use std::time::Duration;
use watchkeeper_nats::Program;
use watchkeeper_schemas::subjects;

const SAMPLE_BYTES_MAX: i32 = 8192;

/// JetStream with the credential of a program.
pub(crate) async fn of(server: &Server, program: Program) -> Context {
    let options = async_nats::ConnectOptions::with_credentials(&server.program(program))
        .unwrap()
        .custom_inbox_prefix(format!("_INBOX.{program}"))
        .request_timeout(Some(Duration::from_secs(5)));
    jetstream::new(options.connect(&server.address).await.unwrap())
}

/// The streams and buckets that attacks aim at, made by the processors.
pub(crate) async fn streams(server: &Server) -> Context {
    let js = of(server, Program::Processors).await;
    js.create_stream(samples()).await.unwrap();
    let logs = [
        ("JOURNAL", subjects::JOURNAL_FILTER),
        ("AUDIT", subjects::AUDIT_FILTER),
        ("ALERTS", subjects::ALERTS_FILTER),
    ];
    for (name, filter) in logs {
        let config =
            stream::Config { name: name.into(), subjects: vec![filter.into()], ..Default::default() };
        js.create_stream(config).await.unwrap();
    }
    for bucket in ["LATEST", "SESSIONS", "SECRETS"] {
        js.create_key_value(kv::Config { bucket: bucket.into(), ..Default::default() }).await.unwrap();
    }
    js
}

/// SAMPLES with the limits that its confinement rests on.
fn samples() -> stream::Config {
    stream::Config {
        name: "SAMPLES".into(),
        subjects: subjects::SAMPLES_FILTERS.map(str::to_owned).to_vec(),
        max_message_size: SAMPLE_BYTES_MAX,
        max_age: Duration::from_secs(24 * 60 * 60),
        duplicate_window: Duration::from_millis(100),
        allow_direct: true,
        deny_delete: true,
        deny_purge: true,
        ..Default::default()
    }
}

/// How many messages a stream holds.
pub(crate) async fn count(js: &Context, stream: &str) -> u64 {
    js.get_stream(stream).await.unwrap().cached_info().state.messages
}

/// The bodies SAMPLES holds on one subject, in order.
pub(crate) async fn stored(js: &Context, subject: &str) -> Vec<String> {
    let stream = js.get_stream("SAMPLES").await.unwrap();
    let mut bodies = Vec::new();
    for sequence in 1..=stream.cached_info().state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        if message.subject.as_str() == subject {
            bodies.push(String::from_utf8_lossy(&message.payload).into_owned());
        }
    }
    bodies
}
