//! `account`: who is disabled is out within a second, and in again; a team keeps an owner; a forgotten password is no end.

use crate::browser::Browser;
use crate::sse::Listener;
use crate::stand::{FIRST_OWNER, PASSWORD, Stand, bearer, until};
use clap::Parser as _;
use std::time::{Duration, Instant};
use watchkeeper_gateway::command::account::account;
use watchkeeper_gateway::config::{Cli, Command};

/// What is revoked is of no use any more after this.
const REVOKED_MAX: Duration = Duration::from_secs(1);

/// What the command says, or what it fails with.
async fn command(stand: &Stand, words: &[&str], input: &str) -> Result<String, String> {
    let own = [
        ("--nats", stand.nats_url()),
        ("--nats-creds", stand.nats().join("gateway/gateway.creds").display().to_string()),
        ("--nats-dir", stand.nats().display().to_string()),
        ("--secrets-dir", stand.secrets().display().to_string()),
    ];
    let words = ["watchkeeper-gateway", "account"].iter().chain(words).map(ToString::to_string);
    let own = own.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
    let Command::Account(asked) = Cli::try_parse_from(words.chain(own)).unwrap().command else {
        panic!("another command");
    };
    let mut out = Vec::new();
    let done = account(asked, &mut input.as_bytes(), &mut out).await;
    done.map(|()| String::from_utf8(out).unwrap()).map_err(|error| format!("{error:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_disabled_is_out_within_a_second_until_enabled_again() {
    let stand = Stand::new().await;
    let base = stand.url("");
    let token = stand.invite(&stand.http, "viewer", "viewer").await;
    let viewer = bearer(&token);
    let mut listener = Listener::of(viewer.get(stand.url("/api/v1/live")).send().await.unwrap());
    assert_eq!(listener.event().await.map(|event| event.name).as_deref(), Some("snapshot"));
    let followed = tokio::spawn(async move {
        while let Some(event) = listener.event().await {
            if event.name == "end" {
                return (event.data["reason"].clone(), Instant::now());
            }
        }
        panic!("the stream ended without a word");
    });
    let asked = Instant::now();
    let told = command(&stand, &["disable", "viewer"], "").await.unwrap();
    let done = Instant::now();
    assert_eq!(told, "viewer is disabled\n");
    let (reason, ended) = followed.await.unwrap();
    assert!(
        reason.is_string() && ended.saturating_duration_since(done) < REVOKED_MAX,
        "{reason} {:?}",
        asked.elapsed()
    );
    assert_eq!(viewer.get(stand.url("/api/v1/hosts")).send().await.unwrap().status(), 401);
    Browser::default().log_in(&base, "viewer", PASSWORD).await.is(401);
    let list = command(&stand, &["list"], "").await.unwrap();
    assert!(list.contains("viewer\tdisabled\t") && list.contains("owner of default"), "{list}");

    assert_eq!(command(&stand, &["enable", "viewer"], "").await.unwrap(), "viewer is enabled\n");
    assert_eq!(command(&stand, &["enable", "viewer"], "").await.unwrap(), "viewer was enabled already\n");
    until("the account can log in", async || {
        let status = Browser::default().log_in(&base, "viewer", PASSWORD).await.status;
        if status == 200 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_owner_of_a_team_is_not_disabled_and_nobody_is_made_up() {
    let stand = Stand::new().await;
    let refused = command(&stand, &["disable", FIRST_OWNER], "").await.unwrap_err();
    assert!(refused.contains("last owner of team default"), "{refused}");
    stand.invite(&stand.http, "second", "owner").await;
    command(&stand, &["disable", FIRST_OWNER], "").await.unwrap();
    let refused = command(&stand, &["disable", "second"], "").await.unwrap_err();
    assert!(refused.contains("last owner of team default"), "{refused}");
    let refused = command(&stand, &["enable", "nobody"], "").await.unwrap_err();
    assert!(refused.contains("no account nobody"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_is_replaced_and_what_was_open_ends() {
    let stand = Stand::new().await;
    let base = stand.url("");
    let mut open = Browser::logged_in(&stand, FIRST_OWNER).await;
    let refused = command(&stand, &["set-password", FIRST_OWNER], "short\n").await.unwrap_err();
    assert!(refused.contains("password"), "{refused}");
    open.get(&base, "/api/v1/me").await.is(200);
    let told = command(&stand, &["set-password", FIRST_OWNER], "a new long one\n").await.unwrap();
    assert!(told.contains("sessions that ended: 2"), "{told}");
    until("the session is over", async || {
        let status = open.get(&base, "/api/v1/me").await.status;
        if status == 401 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    Browser::default().log_in(&base, FIRST_OWNER, PASSWORD).await.is(401);
    Browser::default().log_in(&base, FIRST_OWNER, "a new long one").await.is(200);
}
