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
    stand.receiver("ops").await;
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

#[tokio::test(flavor = "multi_thread")]
async fn silences_come_in_pages_the_one_that_ends_last_first() {
    let stand = Stand::new().await;
    for year in [2090, 2100, 2095] {
        let asked = json!({
            "reason": format!("until {year}"), "from": format!("{}-06-01T00:00:00Z", year - 1),
            "until": format!("{year}-01-01T00:00:00Z"), "matchers": [{"host": "web-1"}],
        });
        assert_eq!(post(&stand, "/api/v1/silences", asked).await.0, 201);
    }
    let reasons = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|it| it["reason"].as_str().unwrap().to_owned()).collect()
    };
    let first = stand.json("/api/v1/silences?state=current&limit=2").await;
    assert_eq!(
        (reasons(&first), &first["next_page"]),
        (vec!["until 2100".into(), "until 2095".into()], &json!(2))
    );
    let second = stand.json("/api/v1/silences?state=current&limit=2&page=2").await;
    assert_eq!((reasons(&second), &second["next_page"]), (vec!["until 2090".into()], &Value::Null));
    assert!(reasons(&stand.json("/api/v1/silences?state=over").await).is_empty());
    let (status, refused) = send(&stand, Method::GET, "/api/v1/silences?state=past", Value::Null).await;
    assert_eq!((status, &refused["errors"][0]["field"]), (400, &json!("state")), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn weekly_maintenance_says_its_next_windows_and_is_changed_only_from_what_is_newest() {
    let stand = Stand::new().await;
    let path = "/api/v1/maintenance";
    let nonsense = json!({
        "reason": "", "zone": "Europe/Atlantis", "days": [0], "begin": "25:00", "end": "x", "matchers": [],
    });
    let (status, refused) = post(&stand, path, nonsense).await;
    let named: Vec<_> =
        refused["errors"].as_array().unwrap().iter().map(|it| it["field"].as_str().unwrap()).collect();
    assert_eq!((status, named), (400, vec!["reason", "matchers", "zone", "begin", "end", "days"]));
    let mut asked = json!({
        "reason": "backup", "zone": "Europe/Berlin", "days": [1, 2, 3, 4, 5, 6, 7], "begin": "22:00", "end": "06:00",
        "matchers": [{"tag": "db"}],
    });
    let (status, made) = post(&stand, path, asked.clone()).await;
    assert_eq!((status, &made["author"], &made["days"]), (201, &json!("olga"), &asked["days"]), "{made}");
    assert_eq!(made["windows"].as_array().unwrap().len(), 3, "{made}");
    let one = format!("{path}/{}", made["id"].as_str().unwrap());
    asked["revision"] = made["revision"].clone();
    asked["days"] = json!([6, 7]);
    let (status, changed) = send(&stand, Method::PUT, &one, asked.clone()).await;
    assert_eq!((status, &changed["days"]), (200, &json!([6, 7])), "{changed}");
    assert_eq!(send(&stand, Method::PUT, &one, asked).await.0, 409);
    assert_eq!(stand.json(path).await["items"], json!([changed]));
    let removal = format!("{one}?revision={}", changed["revision"]);
    assert_eq!(send(&stand, Method::DELETE, &removal, Value::Null).await.0, 204);
    assert_eq!(stand.json(path).await["items"], json!([]));
    let audit = stand.json("/api/v1/audit").await;
    let deeds: Vec<_> =
        audit["items"].as_array().unwrap().iter().map(|it| it["action"].as_str().unwrap()).collect();
    assert_eq!(deeds[..3], ["maintenance_delete", "maintenance_change", "maintenance_create"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_a_rule_says_who_changed_what_and_outlives_it() {
    let stand = Stand::new().await;
    stand.receiver("ops").await;
    stand.receiver("boss").await;
    let (_, made) =
        post(&stand, "/api/v1/rules", json!({"name": "Busy", "text": "cpu.usage_pct > 90"})).await;
    let path = "/api/v1/rules/busy";
    let edit = json!({
        "name": "Busy", "text": "cpu.usage_pct > 95", "scope": {"tags": ["web"]}, "receivers": ["ops"],
        "policy": [{"receivers": ["boss"], "wait_ms": 600_000}], "state": "live", "revision": made["revision"],
    });
    let (_, changed) = send(&stand, Method::PUT, path, edit).await;
    let removal = format!("{path}?revision={}", changed["revision"]);
    assert_eq!(send(&stand, Method::DELETE, &removal, Value::Null).await.0, 204);
    let history = stand.json(&format!("{path}/history?limit=2")).await;
    let items = history["items"].as_array().unwrap();
    assert_eq!((items.len(), &history["next_page"]), (2, &json!(2)), "{history}");
    assert_eq!((&items[0]["cause"], &items[0]["after"]), (&json!("removed"), &Value::Null));
    let change = &items[1];
    assert_eq!((&change["author"], &change["revision"]), (&json!("olga"), &changed["revision"]));
    assert_eq!(
        (&change["before"]["text"], &change["after"]["text"]),
        (&json!("cpu.usage_pct > 90"), &json!("cpu.usage_pct > 95"))
    );
    assert_eq!(change["after"]["policy"][0]["wait_ms"], 600_000);
    let first = stand.json(&format!("{path}/history?limit=2&page=2")).await["items"][0].clone();
    assert_eq!((&first["cause"], &first["before"]), (&json!("made"), &Value::Null));
    assert_eq!(stand.json("/api/v1/rules/blind/history").await["items"], json!([]));
    assert_eq!(send(&stand, Method::GET, "/api/v1/rules/never-was/history", Value::Null).await.0, 404);
}

/// In an hour.
fn soon() -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)).to_string()
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

#[tokio::test(flavor = "multi_thread")]
async fn many_alerts_are_spoken_of_at_once_each_with_its_own_result_and_none_of_another_team() {
    let stand = Stand::new().await;
    let asked = json!({"user": "otto", "password": PASSWORD, "team_name": "Theirs", "bearer": true});
    let registered =
        ask(&stand, &stand.anonymous, (Method::POST, "/api/v1/auth/register"), Some(asked)).await;
    let otto = bearer(registered.is(201)["access_token"].as_str().unwrap());
    let theirs = ask(&stand, &otto, (Method::GET, "/api/v1/team"), None).await.is(200)["team"].clone();
    let (first, second) =
        (decide(&stand, "default", 1, "fired").await, decide(&stand, "default", 2, "fired").await);
    let over = decide(&stand, "default", 3, "fired").await;
    decide(&stand, "default", 3, "resolved").await;
    let foreign = decide(&stand, theirs.as_str().unwrap(), 4, "fired").await;
    let missing = foreign.replace("~4~", "~5~");
    until("every alert is listed", async || {
        let (ours, other) = (
            stand.json("/api/v1/alerts").await,
            ask(&stand, &otto, (Method::GET, "/api/v1/alerts"), None).await,
        );
        let known = ours["items"].as_array().unwrap().len() == 3
            && other.body["items"].as_array().unwrap().len() == 1;
        let over = stand.json("/api/v1/alerts?state=resolved").await["items"].as_array().unwrap().len() == 1;
        if known && over { Ok(()) } else { Err(ours.to_string()) }
    })
    .await;
    let path = "/api/v1/alerts/bulk";
    let ids = json!([first, second, first, over, foreign, missing]);
    let asked = json!({"alerts": ids, "action": "acknowledge", "note": "on it"});
    let (status, answer) = post(&stand, path, asked).await;
    let results = answer["items"].as_array().unwrap();
    let done: Vec<_> = results.iter().map(|it| it["done"].as_bool().unwrap()).collect();
    assert_eq!((status, done), (200, vec![true, true, false, false, false]), "{answer}");
    assert!(results[2]["problem"].as_str().unwrap().contains("over"), "{answer}");
    assert_eq!(results[3]["problem"], results[4]["problem"], "another team's alert is told from none");
    let audit = stand.json("/api/v1/audit?kind=alert_acknowledge").await;
    assert_eq!(audit["items"].as_array().unwrap().len(), 2, "{audit}");

    let asked = json!({"alerts": [first, second], "action": "silence", "note": "deploy", "until": soon()});
    let (status, answer) = post(&stand, path, asked).await;
    assert_eq!((status, &answer["items"][0]["done"]), (200, &json!(true)), "{answer}");
    assert_eq!(answer["items"][0]["silence"], answer["items"][1]["silence"], "one series, two silences");
    let silences = stand.json("/api/v1/silences").await["items"].clone();
    assert_eq!(silences.as_array().unwrap().len(), 1, "{silences}");
    assert_eq!(silences[0]["matchers"], json!([{"rule": "busy"}, {"host": "web-1"}]));

    for (body, field) in [
        (json!({"alerts": [], "action": "resolve"}), "alerts"),
        (json!({"alerts": vec![first.as_str(); 101], "action": "resolve"}), "alerts"),
        (json!({"alerts": ["x"], "action": "resolve"}), "alerts[0]"),
        (json!({"alerts": [first], "action": "silence", "note": "x"}), "until"),
        (json!({"alerts": [first], "action": "silence", "until": soon()}), "note"),
        (json!({"alerts": [first], "action": "resolve", "until": soon()}), "until"),
    ] {
        let (status, refused) = post(&stand, path, body).await;
        assert_eq!((status, &refused["errors"][0]["field"]), (400, &json!(field)), "{refused}");
    }
    let sorted = stand.json("/api/v1/alerts?sort=duration&state=open").await;
    assert_eq!(sorted["items"].as_array().unwrap().len(), 2, "{sorted}");
}
