//! Plain answers: hosts, health, the catalogue, the page, and every kind of refusal.

use crate::stand::{Stand, until};
use reqwest::Response;
use serde_json::Value;

async fn problem(answer: Response, status: u16) -> Value {
    assert_eq!(answer.status(), status);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["status"], status);
    problem
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_listed_and_shown() {
    let mut stand = Stand::new().await;
    assert_eq!(stand.json("/api/v1/hosts").await, serde_json::json!({"items": [], "next_page": null}));
    stand.put("web-1").await;
    stand.put("web-2").await;
    stand.shows("web-2", 2).await;
    let page = stand.json("/api/v1/hosts?limit=1").await;
    assert_eq!((&page["items"][0]["host"], &page["next_page"]), (&"web-1".into(), &2.into()));
    let host = stand.json("/api/v1/hosts/web-1").await;
    assert_eq!(
        (&host["status"], &host["sequence"], &host["team"]),
        (&"active".into(), &1.into(), &"default".into())
    );
    for unknown in [
        "/api/v1/hosts/web-3",
        "/api/v1/hosts/%2e%2e",
        "/api/v1/hosts/WEB-1",
        "/api/v1/hosts/web-3/history?metric=cpu.usage_pct",
    ] {
        problem(stand.get(unknown).await, 404).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_parameters_are_named_with_what_was_expected() {
    let mut stand = Stand::new().await;
    stand.put("a").await;
    stand.shows("a", 1).await;
    let of_host = "/api/v1/hosts/a/history";
    for (query, field) in [
        ("/api/v1/hosts?limit=0", "limit"),
        ("/api/v1/hosts?offset=1", "offset"),
        ("/api/v1/hosts/a?x=", "x"),
        (&format!("{of_host}?metric=cpu.usage_pct&step=abc"), "step"),
        (&format!("{of_host}?metric=cpu.usage_pct&from=-48h"), "from"),
        (&format!("{of_host}?metric=cpu.usage_pct&from=-1h&step=1s"), "step"),
        (&format!("{of_host}?metric=cpu.nothing"), "metric"),
        (of_host, "metric"),
        ("/api/v1/history?metric=disk.used_pct", "metric"),
        ("/api/v1/live?detail=all", "detail"),
        ("/api/v1/live?hosts=A", "hosts"),
    ] {
        let problem = problem(stand.get(query).await, 400).await;
        assert_eq!(problem["errors"][0]["field"], field, "{query}: {problem}");
        assert!(!problem["errors"][0]["expected"].as_str().unwrap().is_empty(), "{query}");
    }
    let both = problem(stand.get(&format!("{of_host}?metric=x&step=y")).await, 400).await;
    assert_eq!(both["errors"].as_array().unwrap().len(), 2, "{both}");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_without_its_database_says_when_to_come_again() {
    let mut stand = Stand::new().await;
    stand.put("a").await;
    stand.shows("a", 1).await;
    for path in
        ["/api/v1/hosts/a/history?metric=cpu.usage_pct", "/api/v1/history?metric=cpu.usage_pct&step=60s"]
    {
        let answer = stand.get(path).await;
        assert_eq!(answer.headers()["retry-after"], "5");
        let problem = problem(answer, 503).await;
        assert!(problem["detail"].as_str().unwrap().contains("QuestDB"), "{problem}");
    }
    let ready = stand.json("/readyz").await;
    assert_eq!(ready["ready"], true, "live values do not need QuestDB: {ready}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_tells_versions_lag_and_sizes() {
    let mut stand = Stand::new().await;
    stand.put("a").await;
    until("the system is known", async || {
        let system = stand.json("/api/v1/system").await;
        let nats =
            system["parts"].as_array().unwrap().iter().find(|part| part["name"] == "nats-server").unwrap();
        let known = nats["version"].as_str().is_some_and(|version| version.starts_with("2."))
            && system["processors"].as_array().unwrap().len() == 3
            && system["streams"]
                .as_array()
                .unwrap()
                .iter()
                .any(|it| it["name"] == "KV_LATEST" && it["messages"] == 1);
        if known { Ok(()) } else { Err(system.to_string()) }
    })
    .await;
    until("processors that are not there are down", async || {
        let system = stand.json("/api/v1/system").await;
        let down = system["processors"].as_array().unwrap().iter().all(|it| it["state"] == "down");
        if down { Ok(()) } else { Err(system.to_string()) }
    })
    .await;
    let text = stand.scrape().await;
    for line in ["watchkeeper_gateway_hosts{status=\"active\"} 1", "watchkeeper_gateway_parked_events 0"] {
        assert!(text.contains(line), "{text}");
    }
    assert!(
        text.contains("watchkeeper_gateway_requests_total{route=\"/api/v1/system\",status=\"200\"}"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_server_the_gateway_lives_and_shows_what_it_knew() {
    let mut stand = Stand::new().await;
    stand.put("a").await;
    stand.shows("a", 1).await;
    stand.kill_server();
    until("the gateway is not ready", async || {
        let status = stand.get("/readyz").await.status().as_u16();
        if status == 503 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    assert_eq!(stand.get("/healthz").await.text().await.unwrap(), "ok");
    assert_eq!(stand.shown("a").await, Some(1));
    stand.restart_server().await;
    stand.ready().await;
    let next = stand.put("a").await;
    stand.shows("a", next).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_security_headers() {
    let stand = Stand::new().await;
    for path in ["/", "/hosts/a", "/api/v1/hosts", "/api/v1/nothing", "/api/docs/", "/healthz", "/no.js"] {
        let answer = stand.get(path).await;
        let header = |name: &str| {
            answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        assert!(header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{path}");
        let cache = if path.starts_with("/api/v1") { "no-store" } else { "no-" };
        assert!(header("cache-control").starts_with(cache), "{path}: {}", header("cache-control"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_offered_is_refused_in_the_same_form() {
    let stand = Stand::new().await;
    problem(stand.get("/api/v2/hosts").await, 404).await;
    problem(stand.get("/nothing.js").await, 404).await;
    problem(stand.http.put(stand.url("/api/v1/hosts")).send().await.unwrap(), 405).await;
    problem(stand.http.delete(stand.url("/")).send().await.unwrap(), 405).await;
    problem(stand.get(&format!("/api/v1/hosts?limit={}", "1".repeat(20_000))).await, 414).await;
    let elsewhere =
        stand.http.get(stand.url("/api/v1/hosts")).header("Host", "evil.example").send().await.unwrap();
    problem(elsewhere, 421).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_describes_itself_and_can_be_browsed_without_a_network() {
    let stand = Stand::new().await;
    let document = stand.json("/api/v1/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/api/v1/hosts/{id}"].is_object());
    let page = stand.get("/api/docs/").await;
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let start = stand.get("/api/docs/swagger-initializer.js").await.text().await.unwrap();
    assert!(start.contains("/api/v1/openapi.json"), "{start}");
    assert!(!start.contains("http"), "nothing from elsewhere: {start}");
    let metrics = stand.json("/api/v1/metrics").await;
    assert!(metrics["items"].as_array().unwrap().len() > 50);
}
