//! The live stream: snapshot, changes, resume, reset, clients that do not read.

use crate::sse::Listener;
use crate::stand::{Stand, until};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// Clients that read nothing.
const DEAD_CLIENTS: usize = 50;
/// Changes that they miss.
const MISSED_CHANGES: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_gets_only_what_changed() {
    let mut stand = Stand::new().await;
    for host in ["a", "b", "c"] {
        stand.put(host).await;
    }
    stand.shows("c", 3).await;
    let mut first = Listener::open(&stand, "", None).await;
    let snapshot = first.next().await;
    assert_eq!(snapshot.hosts(), [("a".into(), 1), ("b".into(), 2), ("c".into(), 3)]);
    assert!(snapshot.data["lag"]["processors"].is_array());
    stand.put("b").await;
    let change = first.next().await;
    assert_eq!(change.host(), ("b".into(), 4));
    drop(first);
    stand.put("c").await;
    stand.put("a").await;
    stand.put("c").await;
    stand.shows("c", 7).await;
    let mut back = Listener::open(&stand, "", change.id.as_deref()).await;
    assert_eq!([back.next().await.host(), back.next().await.host()], [("a".into(), 6), ("c".into(), 7)]);
    let mut stranger = Listener::open(&stand, "", Some("1-1")).await;
    assert_eq!(stranger.next().await.name, "reset");
    assert_eq!(stranger.next().await.hosts().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_and_the_whole_view() {
    let mut stand = Stand::new().await;
    stand.put("a").await;
    stand.put("b").await;
    stand.shows("b", 2).await;
    let mut client = Listener::open(&stand, "?detail=full&hosts=b,not-there", None).await;
    let snapshot = client.next().await;
    assert_eq!(snapshot.hosts(), [("b".into(), 2)]);
    let host = &snapshot.data["hosts"][0];
    assert_eq!(
        (&host["status"], &host["cpu"]["usage_pct"], &host["v"]),
        (&"active".into(), &0.2.into(), &1.into())
    );
    stand.put("a").await;
    stand.put("b").await;
    assert_eq!(client.next().await.host(), ("b".into(), 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_bucket_is_a_reset_and_hosts_stay_shown() {
    let mut stand = Stand::new().await;
    stand.put("a").await;
    stand.put("b").await;
    stand.shows("b", 2).await;
    let mut client = Listener::open(&stand, "", None).await;
    assert_eq!(client.next().await.name, "snapshot");
    stand.restart_server().await;
    assert_eq!(client.next().await.name, "reset");
    let snapshot = client.next().await;
    assert_eq!(snapshot.hosts(), [("a".into(), 1), ("b".into(), 2)], "shown until newer is known");
    stand.put("b").await;
    let change = client.next().await;
    assert_eq!(change.host(), ("b".into(), 3));
    assert_ne!(snapshot.id.unwrap().split('-').next(), None);
    assert_eq!(stand.shown("a").await, Some(1));
    let mut back = Listener::open(&stand, "", change.id.as_deref()).await;
    stand.put("a").await;
    assert_eq!(back.next().await.host(), ("a".into(), 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_host_disappears() {
    let mut stand = Stand::new().await;
    stand.put("a").await;
    stand.put("b").await;
    stand.shows("b", 2).await;
    let mut client = Listener::open(&stand, "", None).await;
    assert_eq!(client.next().await.hosts().len(), 2);
    stand.remove("a").await;
    assert_eq!(client.next().await.name, "reset");
    assert_eq!(client.next().await.hosts(), [("b".into(), 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_read_nothing_slow_nobody() {
    let mut stand = Stand::new().await;
    stand.put("a").await;
    stand.shows("a", 1).await;
    let address = stand.url("").trim_start_matches("http://").to_owned();
    let mut dead = Vec::new();
    for _ in 0..DEAD_CLIENTS {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let asked = format!(
            "GET /api/v1/live?detail=full HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
            stand.token
        );
        stream.write_all(asked.as_bytes()).await.unwrap();
        dead.push(stream);
    }
    until("all are clients", async || {
        let text = stand.scrape().await;
        let clients =
            text.lines().find(|line| line.starts_with("watchkeeper_gateway_live_clients ")).unwrap();
        if clients.ends_with(&format!(" {DEAD_CLIENTS}")) { Ok(()) } else { Err(clients.to_owned()) }
    })
    .await;
    let mut reading = Listener::open(&stand, "", None).await;
    assert_eq!(reading.next().await.name, "snapshot");
    for _ in 0..MISSED_CHANGES {
        stand.put("a").await;
    }
    let last = stand.put("a").await;
    let put = Instant::now();
    while reading.next().await.host().1 < last {}
    assert!(put.elapsed() < Duration::from_secs(1), "{:?}", put.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_streams_end_and_the_gateway_with_them() {
    let mut stand = Stand::new().await;
    stand.put("a").await;
    stand.shows("a", 1).await;
    let mut client = Listener::open(&stand, "", None).await;
    client.next().await;
    let asked = Instant::now();
    stand.end_gateway().await;
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    while client.event().await.is_some() {}
}
