//! The walk along the table: a route without a need, a description or a strict body fails here.

use super::*;
use crate::api::description::openapi;
use crate::identity::tests::Alone;
use axum::body::Body as Bytes;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use std::collections::BTreeSet;

/// Routes that anybody may ask. One more is a decision: it is made here, too.
const OPEN: [&str; 13] = [
    "GET /api/v1/auth/state",
    "POST /api/v1/auth/setup",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/auth/logout",
    "POST /api/v1/auth/register",
    "POST /api/v1/auth/invitation",
    "POST /api/v1/auth/accept",
    "POST /api/v1/enrol",
    "POST /api/v1/enrol/renew",
    "GET /healthz",
    "GET /readyz",
    "GET /api/v1/openapi.json",
];

fn word(method: &HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
        HttpMethod::Put => "PUT",
        HttpMethod::Delete => "DELETE",
        HttpMethod::Options | HttpMethod::Head | HttpMethod::Patch | HttpMethod::Trace => {
            panic!("none of ours")
        }
    }
}

fn name(route: &Route) -> String {
    assert_eq!(route.methods.len(), 1, "{}", route.path);
    format!("{} {}", word(&route.methods[0]), route.path)
}

fn document() -> Value {
    serde_json::to_value(openapi()).unwrap()
}

#[test]
fn every_route_is_described_with_exactly_what_its_query_may_hold() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    for route in table() {
        let operation = &document["paths"][&route.path][word(&route.methods[0]).to_lowercase()];
        let name = name(&route);
        assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{name}");
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let of = |place: &str| -> BTreeSet<String> {
            let here = parameters.iter().filter(|it| it["in"] == place);
            here.map(|it| it["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(of("query"), route.query.iter().map(ToString::to_string).collect(), "{name}");
        let in_path = route.path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'));
        assert_eq!(of("path"), in_path.map(str::to_owned).collect(), "{name}");
        assert_eq!(operation["security"].is_array(), route.access != Access::Open, "{name}");
    }
    let described: usize =
        document["paths"].as_object().unwrap().values().map(|it| it.as_object().unwrap().len()).sum();
    assert_eq!(described, table().len());
}

#[test]
fn a_route_takes_a_body_only_of_a_form_that_refuses_unknown_fields() {
    let document = document();
    for route in table() {
        let body = &document["paths"][&route.path][word(&route.methods[0]).to_lowercase()]["requestBody"];
        assert_eq!(body.is_object(), route.body, "{}", name(&route));
        if route.body {
            let reference = body["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
            let schema = document.pointer(reference.trim_start_matches('#')).unwrap();
            assert_eq!(
                schema["additionalProperties"],
                false,
                "{}: {reference} takes unknown fields",
                name(&route)
            );
        }
    }
}

#[test]
fn only_what_shows_nothing_of_a_team_is_open() {
    let open: BTreeSet<String> =
        table().iter().filter(|route| route.access == Access::Open).map(name).collect();
    assert_eq!(open, OPEN.into_iter().map(str::to_owned).collect());
}

#[test]
fn every_reference_of_the_description_leads_somewhere() {
    let document = document();
    let text = document.to_string();
    let references = text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap());
    let mut count = 0;
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference}");
        count += 1;
    }
    assert!(count > 10, "{count}");
}

/// Asks the whole gateway on a route, with nothing in the body.
async fn status(app: &Router, route: &Route, query: &str, headers: &[(&str, &str)]) -> u16 {
    let path =
        route.path.replace("{id}", "nobody-s").replace("{user}", "nobody").replace("{name}", "nobody-s");
    assert!(!path.contains('{'), "{path}: say here what stands for it");
    let mut request = Request::builder().method(word(&route.methods[0])).uri(format!("{path}{query}"));
    for (name, value) in [("host", "localhost"), ("content-type", "application/json")].iter().chain(headers) {
        request = request.header(*name, *value);
    }
    let service = TowerToHyperService::new(app.clone());
    service.call(request.body(Bytes::from("{\"no_such_field\":1}")).unwrap()).await.unwrap().status().as_u16()
}

fn is_safe(route: &Route) -> bool {
    route.methods == [HttpMethod::Get]
}

/// Looks at every route at once: some wait for a server that is not there.
async fn each(alone: &Alone, look: impl AsyncFn(&Router, &Route)) {
    let app = router(App::alone(Arc::clone(&alone.identity)));
    let table = table();
    futures_util::future::join_all(table.iter().map(|route| look(&app, route))).await;
}

#[tokio::test]
async fn whoever_is_not_signed_in_gets_nothing_but_what_is_open() {
    let alone = Alone::peopled().await;
    each(&alone, async |app, route| {
        for headers in [
            &[][..],
            &[("authorization", "Bearer x")],
            &[("authorization", "Basic eDp5")],
            &[("cookie", "wk_access=x")],
        ] {
            let status = status(app, route, "", headers).await;
            assert_eq!(status == 401, route.access != Access::Open, "{} {headers:?}: {status}", name(route));
        }
    })
    .await;
}

#[tokio::test]
async fn every_route_has_the_role_that_it_declares() {
    let alone = Alone::peopled().await;
    for (user, role) in [("viewer", Role::Viewer), ("admin", Role::Admin), ("owner", Role::Owner)] {
        let bearer = format!("Bearer {}", alone.session(user));
        each(&alone, async |app, route| {
            let status = status(app, route, "", &[("authorization", &bearer)]).await;
            let enough = match route.access {
                Access::Role(needed) => role >= needed,
                Access::SignedIn(_) | Access::Open => true,
            };
            assert_ne!(status, 401, "{} as {role:?}", name(route));
            assert_eq!(status == 403, !enough, "{} as {role:?}: {status}", name(route));
        })
        .await;
    }
}

#[tokio::test]
async fn a_team_of_others_reads_like_one_that_is_not_there() {
    let alone = Alone::peopled().await;
    let owner = format!("Bearer {}", alone.session("owner"));
    each(&alone, async |app, route| {
        if !matches!(route.access, Access::Role(_)) {
            return;
        }
        for team in ["theirs", "not-there", "NO.ID", ""] {
            let status = status(app, route, &format!("?team={team}"), &[("authorization", &owner)]).await;
            assert_eq!(status, 404, "{} of {team}", name(route));
        }
    })
    .await;
}

#[tokio::test]
async fn a_token_does_what_its_scope_says_and_nothing_about_the_account() {
    let alone = Alone::peopled().await;
    let [reading, writing] = ["reading", "writing"].map(|id| format!("Bearer {}", alone.token(id)));
    each(&alone, async |app, route| {
        if route.access == Access::Open {
            return;
        }
        let of = async |bearer: &str| status(app, route, "", &[("authorization", bearer)]).await;
        let about_the_account = route.access == Access::SignedIn(SignedIn::Session);
        assert_eq!(of(&writing).await == 403, about_the_account, "{}", name(route));
        assert_eq!(of(&reading).await == 403, about_the_account || !is_safe(route), "{}", name(route));
    })
    .await;
}

#[tokio::test]
async fn a_cookie_changes_nothing_from_anothers_page_and_never_goes_with_a_bearer() {
    let alone = Alone::peopled().await;
    let (cookie, bearer) =
        (format!("wk_access={}", alone.session("owner")), format!("Bearer {}", alone.session("owner")));
    each(&alone, async |app, route| {
        let of = async |headers: &[(&str, &str)]| status(app, route, "", headers).await;
        assert_eq!(of(&[("cookie", &cookie), ("authorization", &bearer)]).await, 400, "{}", name(route));
        for foreign in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "http://evil.example"),
        ] {
            let status = of(&[("cookie", &cookie), foreign]).await;
            assert_eq!(status == 403, !is_safe(route), "{} {foreign:?}: {status}", name(route));
        }
        let unsure = of(&[("cookie", &cookie)]).await;
        assert_eq!(
            unsure == 403,
            !is_safe(route) && route.access != Access::Open,
            "{}: {unsure}",
            name(route)
        );
        let own = of(&[("cookie", &cookie), ("sec-fetch-site", "same-origin")]).await;
        assert!(!matches!(own, 401 | 403), "{}: {own}", name(route));
    })
    .await;
}
