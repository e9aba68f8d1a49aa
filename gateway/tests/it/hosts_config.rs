//! Hosts as people configure them: limits, conflicts, what is shown and what is gone.

use crate::sse::Listener;
use crate::stand::{Stand, until};
use serde_json::{Value, json};

async fn listed(stand: &Stand) -> Vec<(String, String)> {
    let list = stand.json("/api/v1/hosts").await;
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    list["items"].as_array().unwrap().iter().map(|it| (word(&it["host"]), word(&it["status"]))).collect()
}

fn edit(name: &str, revision: &Value) -> Value {
    json!({"name": name, "tags": [], "interval_ms": 5000, "mounts": [], "without": [], "paused": false, "revision": revision})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_made_changed_paused_and_removed() {
    let mut stand = Stand::new().await;
    let mut client = Listener::open(&stand, "", None).await;
    assert_eq!(client.next().await.hosts().len(), 0);
    for id in ["web", "web-2"] {
        let made = stand.post("/api/v1/hosts", json!({"name": "Web"})).await.is(201);
        assert_eq!(made["host"]["host"], id);
        let told = client.next().await;
        assert_eq!((told.data["host"].as_str(), told.data["status"].as_str()), (Some(id), Some("waiting")));
        assert_eq!(told.data["received"], Value::Null);
    }
    let taken = stand.post("/api/v1/hosts", json!({"name": "x", "id": "web"})).await.is(409);
    let before = stand.json("/api/v1/hosts/web").await;
    assert_eq!(taken["revision"], before["revision"]);
    let mut wanted = edit("Front", &before["revision"]);
    wanted["tags"] = json!(["eu", "prod"]);
    wanted["without"] = json!(["temperatures"]);
    wanted["paused"] = json!(true);
    let after = stand.change("/api/v1/hosts/web", wanted.clone()).await.is(200);
    assert_eq!(
        (&after["name"], &after["tags"], &after["paused"]),
        (&"Front".into(), &json!(["eu", "prod"]), &true.into())
    );
    let told = client.next().await;
    assert_eq!(
        (&told.data["name"], &told.data["status"], &told.data["tags"]),
        (&"Front".into(), &"paused".into(), &json!(["eu", "prod"]))
    );
    let shown = stand.json("/api/v1/hosts/web").await;
    assert_eq!(
        (&shown["config"]["without"], &shown["revision"]),
        (&json!(["temperatures"]), &after["revision"])
    );
    let late = stand.change("/api/v1/hosts/web", wanted).await.is(409);
    assert_eq!(late["revision"], after["revision"], "the present revision is told");
    stand.delete(&format!("/api/v1/hosts/web?revision={}", before["revision"])).await.is(409);
    stand.delete(&format!("/api/v1/hosts/web?revision={}", after["revision"])).await.is(204);
    assert_eq!(client.next().await.name, "reset");
    assert_eq!(client.next().await.hosts(), [("web-2".into(), 0)]);
    assert_eq!(listed(&stand).await, [("web-2".to_owned(), "waiting".to_owned())]);
    for path in ["/api/v1/hosts/web", "/api/v1/hosts/web/history?metric=cpu.usage_pct"] {
        assert_eq!(stand.get(path).await.status(), 404, "{path}");
    }
    stand.put("web").await;
    let seen = stand.put("web-2").await;
    stand.shows("web-2", seen).await;
    assert_eq!(listed(&stand).await.len(), 1, "whatever an agent of it still sends stays hidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_edit_one_host_at_once_one_is_told_of_the_other() {
    let stand = Stand::new().await;
    let made = stand.post("/api/v1/hosts", json!({"name": "a"})).await.is(201);
    let (one, other) = (edit("one", &made["host"]["revision"]), edit("other", &made["host"]["revision"]));
    let (one, other) =
        tokio::join!(stand.change("/api/v1/hosts/a", one), stand.change("/api/v1/hosts/a", other));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let won = if one.status == 200 { one.body } else { other.body };
    assert_eq!(stand.json("/api/v1/hosts/a").await["name"], won["name"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_its_field() {
    let stand = Stand::new().await;
    let made = stand.post("/api/v1/hosts", json!({"name": "a"})).await.is(201);
    let revision = made["host"]["revision"].clone();
    let many: Vec<String> = (0..65).map(|n| format!("/{n}")).collect();
    for (field, value) in [
        ("name", json!("")),
        ("name", json!("x".repeat(129))),
        ("name", json!("a\u{202e}b")),
        ("name", json!(7)),
        ("tags", json!(many)),
        ("tags", json!(["x".repeat(65)])),
        ("interval_ms", json!(999)),
        ("interval_ms", json!(3_600_001)),
        ("interval_ms", json!(-5)),
        ("interval_ms", json!(1.5)),
        ("interval_ms", json!("5s")),
        ("mounts", json!(many)),
        ("mounts", json!(["var"])),
        ("without", json!(["gpus"])),
        ("paused", json!("yes")),
        ("revision", json!(-1)),
        ("team", json!("default")),
    ] {
        let mut wanted = edit("a", &revision);
        wanted[field] = value.clone();
        let refused = stand.change("/api/v1/hosts/a", wanted).await.is(400);
        let named = refused["errors"][0]["field"].as_str().unwrap().to_owned();
        assert!(
            named.starts_with(field) || refused.to_string().contains(field),
            "{field}: {value}: {refused}"
        );
    }
    let text = stand.http.post(stand.url("/api/v1/hosts")).header("content-type", "application/json");
    let refused = text.body("{\"name\":\"b\",\"interval_ms\":1e400}").send().await.unwrap();
    assert_eq!(refused.status(), 400);
    assert_eq!(stand.json("/api/v1/hosts/a").await["revision"], revision, "nothing was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_stands_in_the_audit_and_the_chain_is_whole() {
    let stand = Stand::new().await;
    let made = stand.post("/api/v1/hosts", json!({"name": "a"})).await.is(201);
    let changed = stand.change("/api/v1/hosts/a", edit("b", &made["host"]["revision"])).await.is(200);
    stand.delete(&format!("/api/v1/hosts/a?revision={}", changed["revision"])).await.is(204);
    let audit = stand.json("/api/v1/audit").await;
    let items = audit["items"].as_array().unwrap();
    let actions: Vec<&str> = items.iter().map(|it| it["action"].as_str().unwrap()).collect();
    assert!(actions.starts_with(&["host_delete", "host_change", "host_create"]), "{actions:?}");
    let change = &items[1];
    assert_eq!(
        (&change["actor"], &change["via"], &change["from"]),
        (&"olga".into(), &"session".into(), &"127.0.0.1".into())
    );
    assert_eq!((&change["before"]["name"], &change["after"]["name"]), (&"a".into(), &"b".into()));
    assert!(!audit.to_string().contains(made["enrolment"]["token"].as_str().unwrap()));
    let export = stand.get("/api/v1/audit/export").await;
    assert_eq!(export.headers()["content-type"], "application/x-ndjson");
    let text = export.text().await.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), items.len());
    let mut head = watchkeeper_schemas::audit::Head::default();
    for line in lines.iter().rev() {
        head.follow(line.as_bytes()).unwrap();
    }
    let page = stand.json("/api/v1/audit?limit=1").await;
    let next = stand.json(&format!("/api/v1/audit?limit=1&before={}", page["next_page"])).await;
    assert_eq!(next["items"][0]["action"], "host_change");
    let of_a_kind = stand.json("/api/v1/audit?kind=host_create").await;
    assert_eq!(of_a_kind["items"].as_array().unwrap().len(), 1);
    until("the log-in of the first owner is there, too", async || {
        let text = stand.json("/api/v1/audit?kind=set_up").await.to_string();
        if text.contains("olga") { Ok(()) } else { Err(text) }
    })
    .await;
}
