//! What ends, ends everywhere within a second: two gateways of one folder, open streams; and restarts end nothing.

use crate::browser::Browser;
use crate::sse::Listener;
use crate::stand::{FIRST_OWNER, Stand, bearer, until};
use serde_json::json;
use std::time::{Duration, Instant};

/// What is revoked is of no use any more after this.
const REVOKED_MAX: Duration = Duration::from_secs(1);

/// Reads until the stream says why it ends; that reason.
async fn farewell(mut listener: Listener) -> String {
    while let Some(event) = listener.event().await {
        if event.name == "end" {
            assert!(listener.event().await.is_none(), "nothing comes behind the end");
            return event.data["reason"].as_str().unwrap().to_owned();
        }
    }
    panic!("the stream ended without a word");
}

async fn stream(browser: &Browser, base: &str) -> Listener {
    let request = reqwest::Client::new().get(format!("{base}/api/v1/live"));
    Listener::of(browser.with_cookies(request).send().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_out_reaches_every_gateway_and_every_stream() {
    let stand = Stand::new().await;
    let (one, other) = (stand.url(""), stand.another().await);
    let mut browser = Browser::logged_in(&stand, FIRST_OWNER).await;
    until("the other gateway knows the session", async || {
        let status = browser.clone().get(&other.base, "/api/v1/hosts").await.status;
        if status == 200 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    let streams = [stream(&browser, &one).await, stream(&browser, &other.base).await];
    let kept = browser.clone();
    browser.post(&one, "/api/v1/auth/logout", json!({})).await.is(204);
    let ended = Instant::now();
    kept.clone().get(&one, "/api/v1/me").await.is(401);
    let [here, there] = streams;
    let (here, there) = tokio::join!(farewell(here), farewell(there));
    assert_eq!((here.as_str(), there.as_str()), ("signed_out", "signed_out"));
    kept.clone().get(&other.base, "/api/v1/me").await.is(401);
    assert!(ended.elapsed() < REVOKED_MAX, "{:?}", ended.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_acts_at_once_and_ends_what_was_opened_with_another() {
    let stand = Stand::new().await;
    let token = stand.invite(&stand.http, "viewer", "viewer").await;
    let viewer = bearer(&token);
    let open = async || Listener::of(viewer.get(stand.url("/api/v1/live")).send().await.unwrap());
    let make = async || {
        let asked = viewer.post(stand.url("/api/v1/hosts")).json(&json!({"name": "web-1"}));
        asked.send().await.unwrap().status().as_u16()
    };
    let listener = open().await;
    assert_eq!(make().await, 403);
    let members = stand.json("/api/v1/members").await;
    let member =
        members["items"].as_array().unwrap().iter().find(|it| it["user"] == "viewer").unwrap().clone();
    let asked = Instant::now();
    let change = json!({"role": "admin", "revision": member["revision"]});
    let changed = stand.change("/api/v1/members/viewer", change).await.is(200);
    assert_eq!(farewell(listener).await, "role_changed");
    assert!(asked.elapsed() < REVOKED_MAX, "{:?}", asked.elapsed());
    assert_eq!(make().await, 201);
    let listener = open().await;
    stand.delete(&format!("/api/v1/members/viewer?revision={}", changed["revision"])).await;
    assert_eq!(farewell(listener).await, "role_changed");
    assert_eq!(viewer.get(stand.url("/api/v1/hosts")).send().await.unwrap().status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_restarts_of_nats_and_of_the_gateway() {
    let mut stand = Stand::new().await;
    let mut browser = Browser::logged_in(&stand, FIRST_OWNER).await;
    stand.kill_server();
    until("the gateway has noticed", async || {
        let status = stand.get("/readyz").await.status().as_u16();
        if status == 503 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    browser.get(&stand.url(""), "/api/v1/me").await.is(200);
    let told = browser.clone().post(&stand.url(""), "/api/v1/auth/logout", json!({})).await;
    assert_eq!(told.status, 503, "an end that is not kept is not promised: {}", told.body);
    stand.restart_server().await;
    until("sessions can go on", async || {
        let answer = browser.post(&stand.url(""), "/api/v1/auth/refresh", json!({})).await;
        if answer.status == 200 { Ok(()) } else { Err(answer.body.to_string()) }
    })
    .await;
    stand.end_gateway().await;
    let gateway = stand.another().await;
    until("the new gateway knows the session", async || {
        let answer = browser.clone().get(&gateway.base, "/api/v1/me").await;
        if answer.status == 200 { Ok(()) } else { Err(answer.body.to_string()) }
    })
    .await;
    browser.post(&gateway.base, "/api/v1/auth/refresh", json!({})).await.is(200);
    browser.post(&gateway.base, "/api/v1/auth/logout", json!({})).await.is(204);
}
