//! Third-party tools: a credential of their own, shown once, listed, taken back.

use crate::stand::Stand;
use serde_json::json;
use watchkeeper_nats::creds;

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_is_made_listed_and_taken_back() {
    let stand = Stand::new().await;
    let made = stand.post("/api/v1/readers", json!({"name": "grafana"})).await.is(201);
    assert_eq!(
        (&made["subject"], &made["nats_url"]),
        (&"public.v1.default.>".into(), &stand.nats_url().into())
    );
    let text = made["creds"].as_str().unwrap();
    let credential = creds::parse(text).unwrap();
    assert_eq!(
        (credential.claims.name.as_str(), credential.claims.expires),
        ("reader.default.grafana", None)
    );
    let seed = text.lines().find(|line| line.starts_with("SU")).unwrap();
    let listed = stand.json("/api/v1/readers").await;
    assert_eq!((&listed["items"][0]["name"], &listed["items"][0]["by"]), (&"grafana".into(), &"olga".into()));
    for path in ["/api/v1/readers", "/api/v1/audit"] {
        assert!(!stand.json(path).await.to_string().contains(seed), "{path}");
    }
    let again = stand.post("/api/v1/readers", json!({"name": "grafana"})).await.is(409);
    assert_eq!(again["revision"], made["revision"]);
    for bad in ["", "A", "a.b", "*", &"x".repeat(33)] {
        stand.post("/api/v1/readers", json!({"name": bad})).await.is(400);
    }
    stand.delete("/api/v1/readers/grafana?revision=1").await.is(409);
    stand.delete("/api/v1/readers/grafana").await.is(400);
    stand.delete(&format!("/api/v1/readers/grafana?revision={}", made["revision"])).await.is(204);
    assert_eq!(stand.json("/api/v1/readers").await["items"], json!([]));
    let anew = stand.post("/api/v1/readers", json!({"name": "grafana"})).await.is(201);
    assert_ne!(anew["creds"], made["creds"]);
}
