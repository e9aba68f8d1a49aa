//! People come and go: log-in, refresh, log-out, guesses, passwords, personal tokens.

use crate::asking::ask;
use crate::browser::Browser;
use crate::stand::{FIRST_OWNER, PASSWORD, Stand, bearer};
use futures_util::future::join_all;
use reqwest::Method;
use reqwest::header::SET_COOKIE;
use serde_json::json;
use std::time::{Duration, Instant};

/// Log-ins at one time.
const LOG_INS: usize = 50;
/// What they may cost this process, which also runs the test.
const LOG_INS_BYTES_MAX: u64 = 200 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_keeps_its_session_where_no_script_gets_at_it() {
    let stand = Stand::new().await;
    let asked = json!({"user": FIRST_OWNER, "password": PASSWORD});
    let answer = stand.anonymous.post(stand.url("/api/v1/auth/login")).json(&asked).send().await.unwrap();
    let lines: Vec<_> =
        answer.headers().get_all(SET_COOKIE).iter().map(|it| it.to_str().unwrap().to_owned()).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|it| it.contains("HttpOnly; SameSite=Strict")), "{lines:?}");
    assert!(lines[0].contains("Path=/;") && lines[1].contains("Path=/api/v1/auth;"), "{lines:?}");
    let session: serde_json::Value = answer.json().await.unwrap();
    assert!(session.get("access_token").is_none() && session.get("refresh_token").is_none(), "{session}");
    assert_eq!(session["teams"][0]["role"], "owner");

    let base = stand.url("");
    let state = Browser::default().get(&base, "/api/v1/auth/state").await.is(200);
    assert_eq!((&state["signed_in"], &state["refreshable"]), (&json!(false), &json!(false)), "{state}");
    let mut browser = Browser::default();
    let session = browser.log_in(&base, FIRST_OWNER, PASSWORD).await.is(200);
    assert_eq!(browser.get(&base, "/api/v1/me").await.is(200)["user"], FIRST_OWNER);
    let state = browser.get(&base, "/api/v1/auth/state").await.is(200);
    assert_eq!((&state["signed_in"], &state["refreshable"]), (&json!(true), &json!(true)), "{state}");
    assert_eq!(state["access_expires"], session["access_expires"], "as the log-in said");
    let mut lapsed = Browser { access: None, ..browser.clone() };
    let state = lapsed.get(&base, "/api/v1/auth/state").await.is(200);
    assert_eq!((&state["signed_in"], &state["refreshable"]), (&json!(false), &json!(true)), "{state}");
    assert!(state.get("access_expires").is_none(), "{state}");
    let before = browser.clone();
    browser.post(&base, "/api/v1/auth/refresh", json!({})).await.is(200);
    assert_ne!(browser.refresh, before.refresh);
    browser.post(&base, "/api/v1/auth/logout", json!({})).await.is(204);
    assert_eq!(browser, Browser::default(), "both cookies are taken away");
    let mut stolen = before;
    stolen.get(&base, "/api/v1/me").await.is(401);
    stolen.post(&base, "/api/v1/auth/refresh", json!({})).await.is(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_owner_comes_once() {
    let stand = Stand::new().await;
    let asked = json!({"code": "AAAA-BBBB-CCCC-DDDD", "user": "thief", "password": PASSWORD});
    stand.post("/api/v1/auth/setup", asked).await.is(410);
    assert!(!stand.secrets().join("bootstrap.code").exists());
    let mut stranger = Browser::default();
    let asked = json!({"user": "stranger", "password": PASSWORD, "team_name": "Strangers"});
    let session = stranger.post(&stand.url(""), "/api/v1/auth/register", asked).await.is(201);
    assert_eq!(
        (session["teams"].as_array().unwrap().len(), &session["teams"][0]["role"]),
        (1, &json!("owner"))
    );
    stranger.get(&stand.url(""), "/api/v1/hosts?team=default").await.is(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tabs_refresh_at_once_and_all_stay_logged_in() {
    let stand = Stand::new().await;
    let base = stand.url("");
    let browser = Browser::logged_in(&stand, FIRST_OWNER).await;
    let tabs = (0..10).map(|_| {
        let (mut tab, base) = (browser.clone(), base.clone());
        async move {
            tab.post(&base, "/api/v1/auth/refresh", json!({})).await.is(200);
            tab.get(&base, "/api/v1/me").await.is(200);
            tab
        }
    });
    let tabs = join_all(tabs).await;
    let newer: Vec<_> = tabs.iter().filter(|tab| tab.refresh != browser.refresh).collect();
    assert_eq!(newer.len(), 1, "one tab rotates, the others get access only");
    newer[0].clone().post(&base, "/api/v1/auth/refresh", json!({})).await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_old_token_ends_the_session_and_is_told() {
    let stand = Stand::new().await;
    let base = stand.url("");
    let thief = Browser::logged_in(&stand, FIRST_OWNER).await;
    let mut owner = thief.clone();
    for _ in 0..2 {
        owner.post(&base, "/api/v1/auth/refresh", json!({})).await.is(200);
    }
    owner.get(&base, "/api/v1/me").await.is(200);
    let told = thief.clone().post(&base, "/api/v1/auth/refresh", json!({})).await.is(401);
    assert!(told["detail"].as_str().unwrap().contains("used twice"), "{told}");
    owner.get(&base, "/api/v1/me").await.is(401);
    owner.post(&base, "/api/v1/auth/refresh", json!({})).await.is(401);
    let audit = stand.json("/api/v1/audit").await.to_string();
    assert!(audit.contains("token_reuse"), "{audit}");
    stand.get("/api/v1/me").await.error_for_status().expect("another session of the same user lives on");
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_wait_and_tell_nothing_and_keep_nobody_out() {
    let stand = Stand::new().await;
    let base = stand.url("");
    let mut at_home = Browser::at("192.0.2.1");
    at_home.log_in(&base, FIRST_OWNER, PASSWORD).await.is(200);
    let mut stranger = Browser::at("198.51.100.1");
    let wrong = stranger.log_in(&base, FIRST_OWNER, "wrong-wrong-wrong").await.is(401);
    assert_eq!(stranger.log_in(&base, "nobody-here", "wrong-wrong-wrong").await.is(401), wrong);
    assert_eq!(stranger.log_in(&base, "Not an Id", "wrong-wrong-wrong").await.is(401), wrong);
    for address in ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"] {
        Browser::at(address).log_in(&base, FIRST_OWNER, "wrong-wrong-wrong").await.is(401);
    }
    // The account has failed five times, from five addresses: a sixth waits even with the right password.
    let told = Browser::at("203.0.113.5").log_in(&base, FIRST_OWNER, PASSWORD).await.is(429);
    assert!(told["detail"].as_str().unwrap().contains("too many"), "{told}");
    at_home.log_in(&base, FIRST_OWNER, PASSWORD).await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_ends_every_other_session() {
    let stand = Stand::new().await;
    let base = stand.url("");
    let mut other = Browser::logged_in(&stand, FIRST_OWNER).await;
    let mut own = Browser::logged_in(&stand, FIRST_OWNER).await;
    let change = |current: &str, new: &str| json!({"current": current, "new": new});
    own.post(&base, "/api/v1/me/password", change("not-my-password", "a new long one")).await.is(400);
    for easy in ["short", "password123", "i-am-olga-myself"] {
        let told = own.post(&base, "/api/v1/me/password", change(PASSWORD, easy)).await.is(400);
        assert_eq!(told["errors"][0]["field"], "password", "{told}");
    }
    own.post(&base, "/api/v1/me/password", change(PASSWORD, "a new long one")).await.is(204);
    own.get(&base, "/api/v1/me").await.is(200);
    other.get(&base, "/api/v1/me").await.is(401);
    other.post(&base, "/api/v1/auth/refresh", json!({})).await.is(401);
    Browser::default().log_in(&base, FIRST_OWNER, PASSWORD).await.is(401);
    Browser::default().log_in(&base, FIRST_OWNER, "a new long one").await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_personal_token_does_what_it_says_until_it_is_revoked() {
    let stand = Stand::new().await;
    let made = stand
        .post("/api/v1/me/tokens", json!({"name": "ci", "scope": "read", "expires_days": 1}))
        .await
        .is(201);
    let client = bearer(made["token"].as_str().unwrap());
    ask(&stand, &client, (Method::GET, "/api/v1/hosts"), None).await.is(200);
    let new_host = json!({"name": "web-1"});
    ask(&stand, &client, (Method::POST, "/api/v1/hosts"), Some(new_host)).await.is(403);
    ask(&stand, &client, (Method::GET, "/api/v1/me/tokens"), None).await.is(403);
    let list = stand.json("/api/v1/me/tokens").await;
    assert_eq!((&list["items"][0]["name"], list["items"][0].get("token")), (&json!("ci"), None));
    let forged = format!("wkt_{}_{}", made["id"].as_str().unwrap(), "A".repeat(43));
    ask(&stand, &bearer(&forged), (Method::GET, "/api/v1/hosts"), None).await.is(401);
    stand.delete(&format!("/api/v1/me/tokens/{}", made["id"].as_str().unwrap())).await.is(204);
    ask(&stand, &client, (Method::GET, "/api/v1/hosts"), None).await.is(401);
    for (field, body) in [
        ("expires_days", json!({"name": "x", "scope": "read", "expires_days": 0})),
        ("expires_days", json!({"name": "x", "scope": "read", "expires_days": 367})),
        ("scope", json!({"name": "x", "scope": "admin", "expires_days": 1})),
        ("user", json!({"name": "x", "scope": "read", "expires_days": 1, "user": "another"})),
    ] {
        let told = stand.post("/api/v1/me/tokens", body).await.is(400);
        assert_eq!(told["errors"][0]["field"], field, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_log_ins_at_once_take_little_memory_and_keep_nobody_waiting() {
    let stand = Stand::new().await;
    let before = resident_bytes();
    let log_ins = join_all((0..LOG_INS).map(|_| async {
        let base = stand.url("");
        Browser::default().log_in(&base, FIRST_OWNER, PASSWORD).await.status
    }));
    let mut log_ins = std::pin::pin!(log_ins);
    let (mut most, mut slowest) = (0, Duration::ZERO);
    let statuses = loop {
        let asked = Instant::now();
        let look = async {
            stand.get("/api/v1/hosts").await.error_for_status().unwrap();
        };
        tokio::select! {
            biased;
            statuses = &mut log_ins => break statuses,
            () = look => {
                slowest = slowest.max(asked.elapsed());
                most = most.max(resident_bytes());
            }
        }
    };
    let of = |status: u16| statuses.iter().filter(|it| **it == status).count();
    assert_eq!(of(200) + of(503), LOG_INS, "{statuses:?}");
    assert!(of(200) >= 32, "as many as may wait are served: {statuses:?}");
    let grown = most.saturating_sub(before);
    assert!(grown < LOG_INS_BYTES_MAX, "{} MiB", grown >> 20);
    assert!(slowest < Duration::from_secs(2), "an answer took {slowest:?}");
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
