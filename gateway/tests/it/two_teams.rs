//! The live stream of two teams: whatever happens, no event of one reaches the other.

use crate::asking::ask;
use crate::sse::Listener;
use crate::stand::{PASSWORD, Stand, bearer, until};
use reqwest::{Client, Method};
use serde_json::json;

/// Changes of each team; `TWO_TEAMS_CHANGES=50000` makes the 100,000 events of a whole proof, which takes two minutes.
const CHANGES: u64 = 2_000;
/// Hosts of each team; one id is the same in both.
const OURS: [&str; 3] = ["same", "ours-1", "ours-2"];
const THEIRS: [&str; 3] = ["same", "theirs-1", "theirs-2"];

async fn listen(stand: &Stand, client: &Client, query: &str) -> Listener {
    let answer = client.get(stand.url(&format!("/api/v1/live{query}"))).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    Listener::of(answer)
}

/// Everything that a client hears until it knows the last change; the number of events.
async fn hears(mut client: Listener, own: &[&str], until: u64) -> usize {
    let mut count = 0;
    loop {
        let event = client.next().await;
        count += 1;
        let hosts = if event.name == "snapshot" { event.hosts() } else { vec![event.host()] };
        for (host, sequence) in &hosts {
            assert!(own.contains(&host.as_str()), "{host}: {:?}", event.data);
            // Even sequences are ours, odd ones theirs.
            assert!(*sequence == 0 || sequence % 2 == until % 2, "{host} at {sequence}");
        }
        if hosts.iter().any(|(_, sequence)| *sequence == until) {
            return count;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_of_one_team_reaches_the_other() {
    let asked = std::env::var("TWO_TEAMS_CHANGES").ok();
    let changes = asked.map_or(CHANGES, |changes| changes.parse().unwrap());
    let mut stand = Stand::new().await;
    let asked = json!({"user": "otto", "password": PASSWORD, "team_name": "Theirs", "bearer": true});
    let session =
        ask(&stand, &stand.anonymous, (Method::POST, "/api/v1/auth/register"), Some(asked)).await.is(201);
    let otto = bearer(session["access_token"].as_str().unwrap());
    let team = session["teams"][0]["team"].as_str().unwrap().to_owned();
    let (ours, theirs) = (OURS.join(","), THEIRS.join(","));
    let olga = stand.http.clone();
    let mut clients = Vec::new();
    for query in ["".to_owned(), "?detail=full".to_owned(), format!("?hosts={ours},{theirs}")] {
        clients.push((listen(&stand, &olga, &query).await, OURS, 2 * changes));
        clients.push((listen(&stand, &otto, &query).await, THEIRS, 2 * changes + 1));
    }
    // Empty is none, and so is what belongs to others.
    let mut silent =
        [listen(&stand, &olga, "?hosts=").await, listen(&stand, &olga, "?hosts=theirs-1,theirs-2").await];
    let listeners: Vec<_> = clients
        .into_iter()
        .map(|(client, own, last)| tokio::spawn(async move { hears(client, &own, last).await }))
        .collect();
    for change in 1..=changes {
        let which = change as usize % OURS.len();
        // The numbers go up by one: theirs are odd, ours even.
        stand.put_of(&team, THEIRS[which]).await;
        stand.put_of("default", OURS[which]).await;
    }
    stand.put_of(&team, THEIRS[0]).await;
    let mut events = 0;
    for listener in listeners {
        events += listener.await.unwrap();
    }
    assert!(events > 6, "{events}");
    for client in &mut silent {
        assert!(client.next().await.hosts().is_empty());
    }
    until("the list of each shows its own", async || {
        for (client, own) in [(&olga, OURS), (&otto, THEIRS)] {
            let list = ask(&stand, client, (Method::GET, "/api/v1/hosts"), None).await.is(200);
            let items = list["items"].as_array().unwrap();
            if items.len() != 3 || !items.iter().all(|it| own.contains(&it["host"].as_str().unwrap())) {
                return Err(list.to_string());
            }
        }
        Ok(())
    })
    .await;
}
