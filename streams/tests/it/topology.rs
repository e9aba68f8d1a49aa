//! The table is made once, changed where that loses nothing, and refused where it would.

use crate::stack::{Server, until};
use async_nats::jetstream::kv::Operation;
use async_nats::jetstream::stream::{Config, StorageType};
use std::time::Duration;
use watchkeeper_nats::Program;
use watchkeeper_streams::runner::jetstream;
use watchkeeper_streams::topology::{CONSUMERS, LATEST, Limits, SAMPLES, ensure, streams};

#[tokio::test]
async fn everything_is_made_once_and_a_second_time_changes_nothing() {
    let server = Server::start();
    let context = server.ready().await;
    let mut made = Vec::new();
    for config in streams(&Limits::default()) {
        made.push(context.get_stream(&config.name).await.unwrap().cached_info().clone());
    }
    let (second, limits) = (server.connect(Program::Processors).await, Limits::default());
    ensure(&jetstream(second.client.clone()), &limits).await.unwrap();
    for before in made {
        let after = context.get_stream(&before.config.name).await.unwrap().cached_info().clone();
        assert_eq!((after.created, after.config), (before.created, before.config));
    }
    for consumer in CONSUMERS {
        let stream = context.get_stream(consumer.stream).await.unwrap();
        assert_eq!(stream.consumer_info(consumer.processor).await.unwrap().name, consumer.processor);
    }
    assert_eq!(second.events.errors(), 0, "something was refused");
}

#[tokio::test]
async fn another_age_is_applied() {
    let server = Server::start();
    let context = server.ready().await;
    let samples_age = Duration::from_secs(48 * 3600);
    ensure(&context, &Limits { samples_age, ..Limits::default() }).await.unwrap();
    assert_eq!(context.get_stream(SAMPLES).await.unwrap().cached_info().config.max_age, samples_age);
}

#[tokio::test]
async fn another_storage_is_refused_with_what_is_there_and_what_is_wanted() {
    let server = Server::start();
    let context = jetstream(server.connect(Program::Processors).await.client);
    let samples = streams(&Limits::default()).into_iter().find(|config| config.name == SAMPLES).unwrap();
    context
        .create_stream(Config { storage: StorageType::Memory, max_bytes: 1 << 20, ..samples })
        .await
        .unwrap();
    let told = ensure(&context, &Limits::default()).await.unwrap_err().to_string();
    assert!(told.contains("SAMPLES") && told.contains("storage is Memory, wanted File"), "{told}");
}

#[tokio::test]
async fn a_bucket_serves_as_key_value_store_to_any_client() {
    let server = Server::start();
    let context = server.ready().await;
    let store = context.get_key_value(LATEST).await.unwrap();
    let first = store.create("default.web-1", "a".into()).await.unwrap();
    let second = store.update("default.web-1", "b".into(), first).await.unwrap();
    store.update("default.web-1", "c".into(), first).await.expect_err("a stale revision is refused");
    let entry = store.entry("default.web-1").await.unwrap().unwrap();
    assert_eq!((entry.revision, &entry.value[..], entry.operation), (second, &b"b"[..], Operation::Put));
    store.delete("default.web-1").await.unwrap();
    until("the key is gone", || async {
        match store.get("default.web-1").await.unwrap() {
            None => Ok(()),
            Some(value) => Err(format!("it is {value:?}")),
        }
    })
    .await;
}
