//! A team that is made while everything runs: an account of its own, hosts of its own, and nobody else's ears.

use crate::enrolment::{Agent, Watched, goes_on};
use crate::load::{fleet_connection, frame, sample};
use crate::running::{Running, WITHOUT_AGENT, as_of_team, start};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::time::Duration;
use watchkeeper_schemas::subjects::public_feed;

#[test]
fn a_new_team_has_its_account_at_once_and_no_other_team_hears_of_its_hosts() {
    let running = start(&WITHOUT_AGENT);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (status, made) = running.post("/api/v1/teams", &json!({"name": "Night watch"}));
    assert_eq!(status, 201, "{made}");
    let team = made["team"].as_str().unwrap();
    assert_ne!(team, "default");

    let mut feed = runtime.block_on(async {
        let reader = as_of_team(&running, &running.creds().reader, "default", "reader").await;
        let feed = reader.client.subscribe(public_feed(&"default".parse().unwrap())).await.unwrap();
        reader.client.flush().await.unwrap();
        feed
    });
    let watched = Watched::new(&running, "Lantern", team);
    let _agent = Agent::run(&watched.folder);
    goes_on(&running, &watched.path, "the first samples of the new team");
    assert_eq!(running.get(&watched.path)["team"], team);
    assert_eq!(hosts(&running, team), [watched.host.as_str()]);

    assert_eq!(hosts(&running, "default"), [""; 0]);
    let (status, _) = running.try_get(&format!("/api/v1/hosts/{}?team=default", watched.host)).unwrap();
    assert_eq!(status, 404);
    // What the other team hears next, after all that, is a host of its own.
    let heard = runtime.block_on(async {
        let fleet = fleet_connection(&running.nats_url(), &running.creds().fleet).await;
        let (subject, bytes) = frame(&sample("own", 1));
        fleet.client.publish(subject, bytes.into()).await.unwrap();
        tokio::time::timeout(Duration::from_secs(20), feed.next()).await
    });
    let heard: Value = serde_json::from_slice(&heard.expect("the feed is silent").unwrap().payload).unwrap();
    assert_eq!((&heard["team"], &heard["host"]), (&json!("default"), &json!("own")), "{heard}");
}

fn hosts(running: &Running, team: &str) -> Vec<String> {
    let list = running.get(&format!("/api/v1/hosts?team={team}"));
    let hosts = list["items"].as_array().unwrap().iter();
    hosts.map(|host| host["host"].as_str().unwrap().to_owned()).collect()
}
