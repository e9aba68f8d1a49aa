//! Rules, silences and alerts over HTTP: refused with the place of the mistake, changed only from what is newest, told
//! as they change.

use crate::asking::ask;
use crate::sse::Listener;
use crate::stand::{PASSWORD, Stand, bearer, until};
use reqwest::Method;
use serde_json::{Value, json};
use watchkeeper_schemas::alerting::EpisodeRef;
use watchkeeper_schemas::subjects::alert;

async fn send(stand: &Stand, method: Method, path: &str, body: Value) -> (u16, Value) {
    let body = Some(body).filter(|body| !body.is_null());
    let answer = ask(stand, &stand.http, (method, path), body).await;
    (answer.status, answer.body)
}

async fn post(stand: &Stand, path: &str, body: Value) -> (u16, Value) {
    send(stand, Method::POST, path, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_no_rule_is_refused_with_the_place_and_the_nearest_name() {
    let stand = Stand::new().await;
    let text = "disk.used_pct > 90 and cpu.usag_pct > 5";
    let (status, checked) = post(&stand, "/api/v1/rules/check", json!({ "text": text })).await;
    assert_eq!((status, &checked["valid"], &checked["error"]["column"]), (200, &json!(false), &json!(24)));
    assert_eq!(checked["error"]["nearest"], "cpu.usage_pct", "{checked}");
    let (status, refused) = post(&stand, "/api/v1/rules", json!({"name": "x", "text": text})).await;
    let error = &refused["errors"][0];
    assert_eq!((status, &error["field"]), (400, &json!("text")), "{refused}");
    let expected = error["expected"].as_str().unwrap();
    assert!(expected.contains("column 24") && expected.contains("cpu.usage_pct"), "{refused}");
    let (_, checked) =
        post(&stand, "/api/v1/rules/check", json!({"text": "cpu.usage_pct>90 severity critical"})).await;
    assert_eq!(
        (&checked["text"], &checked["severity"]),
        (&json!("cpu.usage_pct > 90 severity critical"), &json!("critical"))
    );
    assert!(checked["tree"]["condition"]["threshold"].is_object(), "{checked}");
    let rule = json!({
        "name": "\u{202e}", "text": "cpu.usage_pct > 1", "receivers": ["No Such"], "scope": {"tags": [""]},
        "policy": [{"receivers": [], "wait_ms": 1}],
    });
    let (status, refused) = post(&stand, "/api/v1/rules", rule).await;
    let fields: Vec<_> =
        refused["errors"].as_array().unwrap().iter().map(|it| it["field"].as_str().unwrap()).collect();
    assert_eq!(status, 400);
    assert_eq!(fields, ["name", "scope.tags", "receivers", "policy.receivers", "policy.wait_ms"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_changed_only_from_what_is_newest_and_switched_by_one_call() {
    let stand = Stand::new().await;
    let (status, made) =
        post(&stand, "/api/v1/rules", json!({"name": "Disk full", "text": "disk.used_pct>90"})).await;
    assert_eq!(
        (status, &made["id"], &made["text"]),
        (201, &json!("disk-full"), &json!("disk.used_pct > 90"))
    );
    assert_eq!((&made["tells_nobody"], &made["built_in"]), (&json!(true), &json!(false)));
    let path = "/api/v1/rules/disk-full";
    let edit = |revision: &Value| {
        json!({
            "name": "Disk full", "text": "disk.used_pct > 95", "scope": {"tags": ["web"]}, "receivers": ["ops"],
            "policy": [], "state": "live", "revision": revision,
        })
    };
    let (status, changed) = send(&stand, Method::PUT, path, edit(&made["revision"])).await;
    assert_eq!((status, &changed["tells_nobody"]), (200, &json!(false)), "{changed}");
    let (status, late) = send(&stand, Method::PUT, path, edit(&made["revision"])).await;
    assert_eq!((status, &late["revision"]), (409, &changed["revision"]));
    let shadow = json!({"state": "shadow", "revision": changed["revision"]});
    let (status, switched) = post(&stand, &format!("{path}/state"), shadow).await;
    assert_eq!(
        (status, &switched["state"], &switched["text"]),
        (200, &json!("shadow"), &json!("disk.used_pct > 95"))
    );
    let (status, taken) =
        post(&stand, "/api/v1/rules", json!({"name": "x", "id": "disk-full", "text": "cpu.usage_pct > 1"}))
            .await;
    assert_eq!((status, &taken["revision"]), (409, &switched["revision"]));
    let removal = format!("{path}?revision={}", switched["revision"]);
    assert_eq!(send(&stand, Method::DELETE, &removal, Value::Null).await.0, 204);
    assert_eq!(send(&stand, Method::GET, path, Value::Null).await.0, 404);
    let audit = stand.json("/api/v1/audit?kind=rule_change").await;
    assert_eq!(audit["items"].as_array().unwrap().len(), 2, "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_built_in_rule_is_there_and_can_be_switched_off_and_back() {
    let stand = Stand::new().await;
    let list = stand.json("/api/v1/rules").await;
    let silent =
        list["items"].as_array().unwrap().iter().find(|it| it["id"] == "host_silent").unwrap().clone();
    assert_eq!(
        (&silent["built_in"], &silent["revision"], &silent["state"], &silent["severity"]),
        (&json!(true), &json!(0), &json!("live"), &json!("critical"))
    );
    let path = "/api/v1/rules/host_silent";
    let off = json!({"state": "disabled", "revision": 0});
    let (status, off) = post(&stand, &format!("{path}/state"), off).await;
    assert_eq!((status, &off["state"]), (200, &json!("disabled")));
    let text = json!({
        "name": "x", "text": "cpu.usage_pct > 1", "scope": "all", "receivers": [], "policy": [], "state": "live",
        "revision": off["revision"],
    });
    assert_eq!(send(&stand, Method::PUT, path, text).await.0, 400, "a built-in rule took a text");
    let removal = format!("{path}?revision={}", off["revision"]);
    assert_eq!(send(&stand, Method::DELETE, &removal, Value::Null).await.0, 204);
    assert_eq!(stand.json(path).await["state"], "live");
    let (status, _) =
        post(&stand, "/api/v1/rules", json!({"name": "x", "id": "blind", "text": "cpu.usage_pct > 1"})).await;
    assert_eq!(status, 409, "somebody took the id of a built-in rule");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_names_what_it_holds_back_and_for_how_long() {
    let stand = Stand::new().await;
    let silence =
        |matchers: Value, until: &str| json!({"reason": "new disks", "until": until, "matchers": matchers});
    for (matchers, until, field) in [
        (json!([]), "2100-01-01T00:00:00Z", "matchers"),
        (json!([{"host": "web-1"}]), "2000-01-01T00:00:00Z", "until"),
        (json!([{"tag": ""}]), "2026-12-31T00:00:00Z", "matchers.tag"),
    ] {
        let (status, refused) = post(&stand, "/api/v1/silences", silence(matchers, until)).await;
        let named: Vec<_> = refused["errors"].as_array().unwrap().iter().map(|it| &it["field"]).collect();
        assert_eq!(status, 400);
        assert!(named.contains(&&json!(field)), "{field}: {refused}");
    }
    let from = "2099-12-31T00:00:00.000Z";
    let mut asked = silence(
        json!([{"host": "web-1"}, {"label": {"name": "mount", "value": "/"}}]),
        "2100-01-01T00:00:00.000Z",
    );
    asked["from"] = json!(from);
    let (status, made) = post(&stand, "/api/v1/silences", asked.clone()).await;
    assert_eq!((status, &made["author"], &made["from"]), (201, &json!("olga"), &json!(from)), "{made}");
    let path = format!("/api/v1/silences/{}", made["id"].as_str().unwrap());
    asked["revision"] = made["revision"].clone();
    asked["reason"] = json!("still");
    let (status, changed) = send(&stand, Method::PUT, &path, asked.clone()).await;
    assert_eq!((status, &changed["reason"]), (200, &json!("still")));
    assert_eq!(send(&stand, Method::PUT, &path, asked).await.0, 409);
    let removal = format!("{path}?revision={}", changed["revision"]);
    assert_eq!(send(&stand, Method::DELETE, &removal, Value::Null).await.0, 204);
    assert_eq!(stand.json("/api/v1/silences").await["items"], json!([]));
}

/// Publishes a transition, as the processor does.
async fn decide(stand: &Stand, team: &str, number: u64, transition: &str) -> String {
    let (rule, host) = ("busy".to_owned(), "web-1".to_owned());
    let episode = EpisodeRef { rule, host, series: String::new(), episode: number };
    let event = json!({
        "v": 1, "id": format!("{team}-{number}-{transition}"), "team": team, "episode_id": episode.id(), "rule": "busy",
        "host": "web-1", "series": "", "episode": number, "transition": transition, "level": "warning", "reason": null,
        "sequence": number, "ordinal": 0, "time": "2026-01-01T00:00:00.000Z", "since": "2026-01-01T00:00:00.000Z",
        "value": 91.5, "peak": 91.5, "duration_ms": null, "shadow": false, "retro": false, "rule_then": null, "samples": [], "muted_by": [],
        "evidence": null,
    });
    let subject =
        alert(&team.parse().unwrap(), Some(&"web-1".parse().unwrap()), &"busy".parse().unwrap(), false);
    let body = serde_json::to_vec(&event).unwrap();
    stand.processors.publish(subject, body.into()).await.unwrap().await.unwrap();
    episode.id().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_what_is_open_and_what_changes_and_nothing_of_other_teams() {
    let stand = Stand::new().await;
    let asked = json!({"user": "otto", "password": PASSWORD, "team_name": "Theirs", "bearer": true});
    let registered =
        ask(&stand, &stand.anonymous, (Method::POST, "/api/v1/auth/register"), Some(asked)).await;
    let otto = bearer(registered.is(201)["access_token"].as_str().unwrap());
    let theirs = ask(&stand, &otto, (Method::GET, "/api/v1/team"), None).await.is(200)["team"].clone();
    let theirs = theirs.as_str().unwrap();

    let first = decide(&stand, "default", 1, "fired").await;
    until("the alert is listed", async || {
        let list = stand.json("/api/v1/alerts?state=open&rule=busy&host=web-1&level=warning").await;
        if list["items"][0]["id"] == first.as_str() { Ok(()) } else { Err(list.to_string()) }
    })
    .await;
    let mut client = Listener::open(&stand, "", None).await;
    let open = client.next_named("alerts").await.data["open"].clone();
    assert_eq!((open.as_array().unwrap().len(), &open[0]["id"]), (1, &json!(first)));
    decide(&stand, theirs, 2, "fired").await;
    decide(&stand, "default", 1, "resolved").await;
    let second = decide(&stand, "default", 3, "fired").await;
    let told = client.next_named("alert").await.data;
    assert_eq!((&told["id"], &told["state"]), (&json!(first), &json!("resolved")), "{told}");
    assert_eq!(client.next_named("alert").await.data["id"], second.as_str());

    let list = stand.json("/api/v1/alerts?limit=1").await;
    assert_eq!((list["items"].as_array().unwrap().len(), &list["next_page"]), (1, &json!(2)));
    let answer = ask(&stand, &otto, (Method::GET, &format!("/api/v1/alerts/{first}")), None).await;
    answer.is(404);
    let (status, over) =
        post(&stand, &format!("/api/v1/alerts/{first}/acknowledgement"), json!({"note": ""})).await;
    assert_eq!(status, 409, "an alert that is over was acknowledged: {over}");
    let acknowledged =
        post(&stand, &format!("/api/v1/alerts/{second}/acknowledgement"), json!({"note": "on it"})).await;
    assert_eq!(acknowledged.0, 204);
}
