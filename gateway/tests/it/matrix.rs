//! Every route of the table, asked by everybody, about what is theirs, what is another's and what never was.
//!
//! The routes come from the table: one without an expectation here fails. What is another's must read, byte for byte,
//! like what never was.

use crate::asking::{Answer, ask};
use crate::stand::{FIRST_OWNER, PASSWORD, Stand, bearer, until};
use nkeys::KeyPair;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use watchkeeper_gateway::api::table::{Access, Route, table};
use watchkeeper_schemas::alerting::EpisodeRef;
use watchkeeper_schemas::journal::Role;
use watchkeeper_schemas::subjects::alert;

/// An id that nothing ever had.
const MISSING: &str = "never-was";
/// What only the other team's things are called.
const THEIRS: &str = "theirs-x7";
/// What only the first team's things are called.
const OURS: &str = "ours-q4";
/// A user of the other team only.
const STRANGER: &str = "otto";

/// What the id in a path is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Nothing,
    Host,
    Member,
    Invitation,
    Reader,
    Session,
    Token,
    Rule,
    Alert,
    Silence,
    Maintenance,
    Receiver,
}

/// A route: what its id is of, the rest of its query, and what whoever may do it gets about their own.
type Expected = (&'static str, Of, &'static str, &'static [u16]);

/// Edits name a revision that is over, so that they are refused as late by whoever may make them, and change nothing.
const EXPECTED: &[Expected] = &[
    ("GET /api/v1/hosts", Of::Nothing, "", &[200]),
    ("POST /api/v1/hosts", Of::Nothing, "", &[201]),
    ("GET /api/v1/hosts/{id}", Of::Host, "", &[200]),
    ("PUT /api/v1/hosts/{id}", Of::Host, "", &[409]),
    ("POST /api/v1/hosts/{id}/enrolment", Of::Host, "", &[409]),
    ("DELETE /api/v1/hosts/{id}", Of::Host, "revision=1", &[409]),
    // There is no database in these tests; whose host it is is decided before.
    ("GET /api/v1/hosts/{id}/history", Of::Host, "metric=cpu.usage_pct", &[503]),
    ("GET /api/v1/history", Of::Nothing, "metric=cpu.usage_pct", &[503]),
    ("GET /api/v1/metrics", Of::Nothing, "", &[200]),
    ("GET /api/v1/rules", Of::Nothing, "", &[200]),
    ("POST /api/v1/rules", Of::Nothing, "", &[201]),
    ("POST /api/v1/rules/check", Of::Nothing, "", &[200]),
    // There is no processor in these tests; whose rule it is an edit of is decided before.
    ("POST /api/v1/rules/backtest", Of::Nothing, "", &[503]),
    ("GET /api/v1/rules/{id}", Of::Rule, "", &[200]),
    ("PUT /api/v1/rules/{id}", Of::Rule, "", &[409]),
    ("POST /api/v1/rules/{id}/state", Of::Rule, "", &[409]),
    ("DELETE /api/v1/rules/{id}", Of::Rule, "revision=1", &[409]),
    ("GET /api/v1/rules/{id}/history", Of::Rule, "", &[200]),
    ("GET /api/v1/alert-defaults", Of::Nothing, "", &[200]),
    ("PUT /api/v1/alert-defaults", Of::Nothing, "", &[409]),
    ("GET /api/v1/alerts", Of::Nothing, "", &[200]),
    ("POST /api/v1/alerts/bulk", Of::Nothing, "", &[200]),
    ("GET /api/v1/alerts/{id}", Of::Alert, "", &[200]),
    ("POST /api/v1/alerts/{id}/acknowledgement", Of::Alert, "", &[204]),
    ("DELETE /api/v1/alerts/{id}/acknowledgement", Of::Alert, "", &[204]),
    ("POST /api/v1/alerts/{id}/resolution", Of::Alert, "", &[204]),
    ("GET /api/v1/silences", Of::Nothing, "", &[200]),
    ("POST /api/v1/silences", Of::Nothing, "", &[201]),
    ("PUT /api/v1/silences/{id}", Of::Silence, "", &[409]),
    ("DELETE /api/v1/silences/{id}", Of::Silence, "revision=1", &[409]),
    ("GET /api/v1/maintenance", Of::Nothing, "", &[200]),
    ("POST /api/v1/maintenance", Of::Nothing, "", &[201]),
    ("PUT /api/v1/maintenance/{id}", Of::Maintenance, "", &[409]),
    ("DELETE /api/v1/maintenance/{id}", Of::Maintenance, "revision=1", &[409]),
    ("GET /api/v1/receivers", Of::Nothing, "", &[200]),
    ("POST /api/v1/receivers", Of::Nothing, "", &[201]),
    ("GET /api/v1/receivers/{id}", Of::Receiver, "", &[200]),
    ("PUT /api/v1/receivers/{id}", Of::Receiver, "", &[409]),
    ("DELETE /api/v1/receivers/{id}", Of::Receiver, "revision=1", &[409]),
    ("GET /api/v1/receivers/{id}/deliveries", Of::Receiver, "", &[200]),
    // One waits once somebody has asked: there is no notifier in these tests.
    ("POST /api/v1/receivers/{id}/test", Of::Receiver, "", &[202, 409]),
    ("POST /api/v1/receivers/{id}/link", Of::Receiver, "", &[409]),
    ("DELETE /api/v1/receivers/{id}/link", Of::Receiver, "", &[204]),
    ("GET /api/v1/telegram", Of::Nothing, "", &[200]),
    ("PUT /api/v1/telegram", Of::Nothing, "", &[409]),
    ("DELETE /api/v1/telegram", Of::Nothing, "revision=1", &[409]),
    ("GET /api/v1/live", Of::Nothing, "hosts=", &[200]),
    ("GET /api/v1/system", Of::Nothing, "", &[200]),
    ("GET /api/v1/team", Of::Nothing, "", &[200]),
    ("POST /api/v1/teams", Of::Nothing, "", &[201]),
    ("PUT /api/v1/team", Of::Nothing, "", &[409]),
    ("DELETE /api/v1/team", Of::Nothing, "", &[400, 409]),
    ("GET /api/v1/members", Of::Nothing, "", &[200]),
    ("PUT /api/v1/members/{user}", Of::Member, "", &[409]),
    ("DELETE /api/v1/members/{user}", Of::Member, "revision=1", &[403, 409]),
    ("GET /api/v1/invitations", Of::Nothing, "", &[200]),
    ("POST /api/v1/invitations", Of::Nothing, "", &[201]),
    // Taken back by the first who may.
    ("DELETE /api/v1/invitations/{id}", Of::Invitation, "", &[204, 404]),
    ("GET /api/v1/readers", Of::Nothing, "", &[200]),
    ("POST /api/v1/readers", Of::Nothing, "", &[201]),
    ("DELETE /api/v1/readers/{name}", Of::Reader, "revision=1", &[409]),
    ("GET /api/v1/audit", Of::Nothing, "", &[200]),
    ("GET /api/v1/audit/export", Of::Nothing, "", &[200]),
    ("GET /api/v1/me", Of::Nothing, "", &[200]),
    ("PUT /api/v1/me", Of::Nothing, "", &[409]),
    ("POST /api/v1/me/password", Of::Nothing, "", &[400, 401, 403, 429]),
    ("GET /api/v1/me/sessions", Of::Nothing, "", &[200]),
    ("DELETE /api/v1/me/sessions/{id}", Of::Session, "", &[204]),
    ("DELETE /api/v1/me/sessions", Of::Nothing, "", &[200, 204]),
    ("GET /api/v1/me/tokens", Of::Nothing, "", &[200]),
    ("POST /api/v1/me/tokens", Of::Nothing, "", &[201]),
    ("DELETE /api/v1/me/tokens/{id}", Of::Token, "", &[204]),
    // Open to everybody: nothing in them is anybody's.
    ("GET /api/v1/auth/state", Of::Nothing, "", &[200]),
    ("POST /api/v1/auth/setup", Of::Nothing, "", &[410]),
    ("POST /api/v1/auth/login", Of::Nothing, "", &[401, 429]),
    ("POST /api/v1/auth/refresh", Of::Nothing, "", &[401]),
    ("POST /api/v1/auth/logout", Of::Nothing, "", &[204]),
    ("POST /api/v1/auth/register", Of::Nothing, "", &[409, 429]),
    ("POST /api/v1/auth/invitation", Of::Nothing, "", &[404, 429]),
    ("POST /api/v1/auth/accept", Of::Nothing, "", &[404, 429]),
    ("POST /api/v1/enrol", Of::Nothing, "", &[401]),
    ("POST /api/v1/enrol/renew", Of::Nothing, "", &[400]),
    ("GET /healthz", Of::Nothing, "", &[200]),
    ("GET /readyz", Of::Nothing, "", &[200]),
    ("GET /api/v1/openapi.json", Of::Nothing, "", &[200]),
];

/// A body that whoever may do it could send; `mark` makes names unlike.
fn body(name: &str, mark: usize, team: &str) -> Option<Value> {
    let edit = json!({"name": "x", "tags": [], "interval_ms": 5000, "mounts": [], "without": [], "paused": false, "revision": 1});
    Some(match name {
        "POST /api/v1/hosts" => json!({"name": format!("made {mark}")}),
        "PUT /api/v1/hosts/{id}" => edit,
        "POST /api/v1/hosts/{id}/enrolment" => json!({"revision": 1}),
        "POST /api/v1/rules" => json!({"name": format!("made {mark}"), "text": "cpu.usage_pct > 90"}),
        "POST /api/v1/rules/check" => json!({"text": "cpu.usage_pct > 90"}),
        "POST /api/v1/rules/backtest" => json!({"text": "cpu.usage_pct > 90", "from": "-1h"}),
        "PUT /api/v1/rules/{id}" => {
            json!({"name": "x", "text": "cpu.usage_pct > 90", "scope": "all", "receivers": [], "policy": [], "state": "live", "revision": 1})
        }
        "POST /api/v1/rules/{id}/state" => json!({"state": "disabled", "revision": 1}),
        "PUT /api/v1/alert-defaults" => json!({"receivers": ["x"], "policy": [], "revision": 1}),
        "POST /api/v1/alerts/{id}/acknowledgement" | "POST /api/v1/alerts/{id}/resolution" => {
            json!({"note": "x"})
        }
        "POST /api/v1/silences" => {
            json!({"reason": "x", "until": "2100-01-01T00:00:00Z", "from": "2099-12-31T00:00:00Z", "matchers": [{"severity": "info"}]})
        }
        "PUT /api/v1/silences/{id}" => {
            json!({"reason": "x", "until": "2100-01-01T00:00:00Z", "from": "2099-12-31T00:00:00Z", "matchers": [{"severity": "info"}], "revision": 1})
        }
        "POST /api/v1/maintenance" | "PUT /api/v1/maintenance/{id}" => {
            let revision = name.starts_with("PUT").then_some(("revision", json!(1)));
            let weekly = [
                ("reason", json!("x")),
                ("zone", json!("Europe/Berlin")),
                ("days", json!([7])),
                ("begin", json!("22:00")),
                ("end", json!("06:00")),
                ("matchers", json!([{"severity": "info"}])),
            ];
            weekly.into_iter().chain(revision).map(|(key, value)| (key.to_owned(), value)).collect()
        }
        // What an id inside a body reaches is asked in `alerting.rs`.
        "POST /api/v1/alerts/bulk" => {
            json!({"alerts": [format!("never~was~7~{}", "0".repeat(16))], "action": "resolve"})
        }
        "POST /api/v1/teams" => json!({"name": format!("zz {mark}")}),
        "PUT /api/v1/team" => json!({"name": "x", "revision": 1}),
        "DELETE /api/v1/team" => json!({"revision": 1, "confirm": team}),
        "PUT /api/v1/members/{user}" => json!({"role": "viewer", "revision": 1}),
        "POST /api/v1/invitations" => json!({"role": "viewer"}),
        "POST /api/v1/readers" => json!({"name": format!("made-{mark}")}),
        "PUT /api/v1/me" => json!({"display_name": "x", "revision": 1}),
        "POST /api/v1/me/password" => {
            json!({"current": "not-the-password", "new": "another-horse-8-battery"})
        }
        "POST /api/v1/me/tokens" => json!({"name": "t", "scope": "read", "expires_days": 1}),
        "POST /api/v1/auth/setup" => {
            json!({"code": "AAAA-AAAA-AAAA-AAAA", "user": "eve", "password": PASSWORD})
        }
        "POST /api/v1/auth/login" => json!({"user": "nobody", "password": "not-the-password"}),
        "POST /api/v1/auth/refresh" => json!({"refresh_token": "A".repeat(43)}),
        "POST /api/v1/auth/logout" => json!({}),
        "POST /api/v1/auth/register" => json!({"user": FIRST_OWNER, "password": PASSWORD, "team_name": "x"}),
        "POST /api/v1/auth/invitation" => json!({"token": "A".repeat(43)}),
        "POST /api/v1/auth/accept" => json!({"token": "A".repeat(43), "user": "eve", "password": PASSWORD}),
        "POST /api/v1/enrol" => {
            json!({"token": "A".repeat(43), "public_key": KeyPair::new_user().public_key(), "facts": {}})
        }
        "POST /api/v1/enrol/renew" => {
            json!({"jwt": "x", "public_key": KeyPair::new_user().public_key(), "time": 0, "signature": "x"})
        }
        _ => return body_of_receivers(name, mark),
    })
}

/// The same about receivers.
fn body_of_receivers(name: &str, mark: usize) -> Option<Value> {
    Some(match name {
        "POST /api/v1/receivers" => json!({"name": format!("made {mark}"), "channel": {"type": "telegram"}}),
        "PUT /api/v1/receivers/{id}" => json!({"name": "x", "channel": {"type": "webhook"}, "revision": 1}),
        "POST /api/v1/receivers/{id}/link" => json!({"group": false}),
        "PUT /api/v1/telegram" => {
            json!({"token": "123456789:AAE-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "revision": 1})
        }
        _ => return None,
    })
}

/// Whoever asks this is signed out, and could ask nothing more.
fn ends_the_session(name: &str) -> bool {
    name == "POST /api/v1/auth/logout"
}

/// Somebody who asks.
struct Asker {
    name: &'static str,
    client: Client,
    /// What they may do in the first team.
    role: Option<Role>,
    signed_in: bool,
    /// A second session, and a token of theirs.
    session: String,
    token: String,
}

/// The ids of one team's things.
#[derive(Default)]
struct Things {
    team: String,
    host: String,
    member: String,
    invitation: String,
    reader: String,
    rule: String,
    alert: String,
    silence: String,
    maintenance: String,
    receiver: String,
}

impl Things {
    fn id(&self, of: Of) -> &str {
        match of {
            Of::Host => &self.host,
            Of::Member => &self.member,
            Of::Invitation => &self.invitation,
            Of::Reader => &self.reader,
            Of::Rule => &self.rule,
            Of::Alert => &self.alert,
            Of::Silence => &self.silence,
            Of::Maintenance => &self.maintenance,
            Of::Receiver => &self.receiver,
            Of::Nothing | Of::Session | Of::Token => "",
        }
    }
}

struct World {
    stand: Stand,
    ours: Things,
    theirs: Things,
    askers: Vec<Asker>,
}

async fn things(stand: &mut Stand, client: &Client, mark: &str, member: &str) -> Things {
    let team = ask(stand, client, (Method::GET, "/api/v1/team"), None).await.is(200);
    let post = async |path, body| ask(stand, client, (Method::POST, path), Some(body)).await.is(201);
    let host = post("/api/v1/hosts", json!({"name": mark, "tags": [mark]})).await["host"]["host"].clone();
    let reader = post("/api/v1/readers", json!({"name": mark})).await["name"].clone();
    let invitation = post("/api/v1/invitations", json!({"role": "viewer", "note": mark})).await["id"].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (team, host) = (text(&team["team"]), text(&host));
    let rule = post("/api/v1/rules", json!({"name": mark, "text": "cpu.usage_pct > 90"})).await["id"].clone();
    let asked = json!({"reason": mark, "from": "2099-12-31T00:00:00Z", "until": "2100-01-01T00:00:00Z", "matchers": [{"host": mark}]});
    let silence = post("/api/v1/silences", asked).await["id"].clone();
    let asked = json!({"reason": mark, "zone": "Europe/Berlin", "days": [7], "begin": "22:00", "end": "06:00", "matchers": [{"host": mark}]});
    let maintenance = text(&post("/api/v1/maintenance", asked).await["id"]);
    let hook = json!({"type": "webhook", "url": format!("https://{mark}.example/hook")});
    let made = post("/api/v1/receivers", json!({"name": mark, "channel": hook})).await;
    let receiver = text(&made["receiver"]["id"]);
    stand.put_of(&team, &host).await;
    let (rule, alert) = (text(&rule), fire(stand, client, (&team, &host, &text(&rule))).await);
    let (invitation, reader, silence) = (text(&invitation), text(&reader), text(&silence));
    Things {
        team,
        host,
        member: member.to_owned(),
        invitation,
        reader,
        rule,
        alert,
        silence,
        maintenance,
        receiver,
    }
}

/// Opens an alert, as the processor does; its id, once the gateway shows it.
async fn fire(stand: &Stand, client: &Client, (team, host, rule): (&str, &str, &str)) -> String {
    let episode =
        EpisodeRef { rule: rule.to_owned(), host: host.to_owned(), series: String::new(), episode: 7 };
    let event = json!({
        "v": 1, "id": format!("{team}-{host}"), "team": team, "episode_id": episode.id(), "rule": rule, "host": host,
        "series": "", "episode": 7, "transition": "fired", "level": "warning", "reason": null, "sequence": 7,
        "ordinal": 0, "time": "2026-01-01T00:00:00.000Z", "since": "2026-01-01T00:00:00.000Z", "value": 91.5,
        "peak": 91.5, "duration_ms": null, "shadow": false, "retro": false, "rule_then": null, "samples": [], "muted_by": [], "evidence": null,
    });
    let subject = alert(&team.parse().unwrap(), Some(&host.parse().unwrap()), &rule.parse().unwrap(), false);
    let body = serde_json::to_vec(&event).unwrap();
    stand.processors.publish(subject, body.into()).await.unwrap().await.unwrap();
    let id = episode.id().unwrap().to_string();
    until("the alert is shown", async || {
        let shown = ask(stand, client, (Method::GET, &format!("/api/v1/alerts/{id}")), None).await;
        if shown.status == 200 { Ok(()) } else { Err(shown.body.to_string()) }
    })
    .await;
    id
}

impl World {
    async fn new() -> Self {
        let mut stand = Stand::new().await;
        let owner = stand.http.clone();
        let (vera, adam) =
            (stand.invite(&owner, "vera", "viewer").await, stand.invite(&owner, "adam", "admin").await);
        let asked = json!({"user": STRANGER, "password": PASSWORD, "team_name": THEIRS, "bearer": true});
        let registered =
            ask(&stand, &stand.anonymous, (Method::POST, "/api/v1/auth/register"), Some(asked)).await.is(201);
        let otto = registered["access_token"].as_str().unwrap().to_owned();
        let (agent, stranger) = (agent_credential(&stand).await, bearer(&otto));
        let ours = things(&mut stand, &owner, OURS, "vera").await;
        // The keys of a new team are made by a processor, which is not here; nothing in this test needs them.
        let theirs = things(&mut stand, &stranger, THEIRS, STRANGER).await;
        let mut askers = Vec::new();
        for (name, client, role) in [
            ("viewer", bearer(&vera), Some(Role::Viewer)),
            ("admin", bearer(&adam), Some(Role::Admin)),
            ("owner", owner, Some(Role::Owner)),
            ("stranger", stranger, None),
        ] {
            askers.push(Asker::with_things(&stand, name, client, role).await);
        }
        let nobody = |name, client| {
            let (session, token) = (MISSING.to_owned(), MISSING.to_owned());
            Asker { name, client, role: None, signed_in: false, session, token }
        };
        askers.push(nobody("anonymous", stand.anonymous.clone()));
        askers.push(nobody("agent", bearer(&agent)));
        Self { stand, ours, theirs, askers }
    }
}

impl Asker {
    async fn with_things(stand: &Stand, name: &'static str, client: Client, role: Option<Role>) -> Self {
        let user = match name {
            "viewer" => "vera",
            "admin" => "adam",
            "owner" => FIRST_OWNER,
            _ => STRANGER,
        };
        let before = ask(stand, &client, (Method::GET, "/api/v1/me/sessions"), None).await.is(200);
        stand.sign_in(user).await;
        let after = ask(stand, &client, (Method::GET, "/api/v1/me/sessions"), None).await.is(200);
        let ids = |list: &Value| -> BTreeSet<String> {
            list["items"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
        };
        let session = ids(&after).difference(&ids(&before)).next().unwrap().clone();
        let asked = json!({"name": name, "scope": "read", "expires_days": 1});
        let token = ask(stand, &client, (Method::POST, "/api/v1/me/tokens"), Some(asked)).await.is(201);
        let token = token["id"].as_str().unwrap().to_owned();
        Self { name, client, role, signed_in: true, session, token }
    }

    fn own<'a>(&'a self, of: Of, things: &'a Things) -> &'a str {
        match of {
            Of::Session => &self.session,
            Of::Token => &self.token,
            Of::Nothing
            | Of::Host
            | Of::Member
            | Of::Invitation
            | Of::Reader
            | Of::Rule
            | Of::Alert
            | Of::Silence
            | Of::Maintenance
            | Of::Receiver => things.id(of),
        }
    }
}

/// The credential of a host's agent: an NKey JWT, which is nothing here.
async fn agent_credential(stand: &Stand) -> String {
    let made = stand.post("/api/v1/hosts", json!({"name": "agent"})).await.is(201);
    let asked = json!({"token": made["enrolment"]["token"], "public_key": KeyPair::new_user().public_key(), "facts": {}});
    let enrolled = ask(stand, &stand.anonymous, (Method::POST, "/api/v1/enrol"), Some(asked)).await.is(200);
    enrolled["jwt"].as_str().unwrap().to_owned()
}

/// One question: its name for whoever reads a failure, the path, the body.
struct Case<'a> {
    what: String,
    path: String,
    body: Option<Value>,
    client: &'a Client,
    method: Method,
}

impl Case<'_> {
    async fn ask(&self, stand: &Stand) -> Answer {
        if self.path.starts_with("/api/v1/live") {
            // A stream has no end.
            let answer = self.client.get(stand.url(&self.path)).send().await.unwrap();
            if answer.status() == 200 {
                return Answer { status: 200, body: Value::Null };
            }
        }
        ask(stand, self.client, (self.method.clone(), &self.path), self.body.clone()).await
    }
}

fn name_of(route: &Route) -> (Method, String) {
    let method = serde_json::to_value(&route.methods[0]).unwrap().as_str().unwrap().to_uppercase();
    (method.parse().unwrap(), format!("{method} {}", route.path))
}

fn path(route: &Route, id: &str, query: &str, team: Option<&str>) -> String {
    let path: Vec<&str> =
        route.path.split('/').map(|part| if part.starts_with('{') { id } else { part }).collect();
    let team = team.map(|team| format!("team={team}"));
    let query: Vec<&str> =
        [query, team.as_deref().unwrap_or("")].into_iter().filter(|it| !it.is_empty()).collect();
    [path.join("/"), query.join("&")].join("?").trim_end_matches('?').to_owned()
}

/// Asks everything of one route; the number of questions.
async fn walk(world: &World, route: &Route, failures: &mut Vec<String>) -> usize {
    let (method, name) = name_of(route);
    let Some((_, of, query, allowed)) = EXPECTED.iter().find(|(expected, ..)| *expected == name) else {
        failures.push(format!("{name}: no expectation"));
        return 0;
    };
    let mut count = 0;
    for (index, asker) in world.askers.iter().enumerate() {
        let (own, foreign, home) = match asker.role {
            None if asker.signed_in => (&world.theirs, &world.ours, &world.theirs),
            Some(_) | None => (&world.ours, &world.theirs, &world.ours),
        };
        let someone = &world.askers[(index + 1) % 4];
        let case = |what: &str, id: &str, team: Option<&str>, body: Option<Value>| Case {
            what: format!("{name} by {} about {what}", asker.name),
            path: path(route, id, query, team),
            body,
            client: &asker.client,
            method: method.clone(),
        };
        let usual = |mark| body(&name, mark, &home.team);
        let mark = count * 10 + index;
        if route.access == Access::Open {
            if ends_the_session(&name) && asker.signed_in {
                continue;
            }
            let asked = case("nothing", "", None, usual(mark));
            let answer = asked.ask(&world.stand).await;
            expect(failures, &asked.what, &answer, allowed, [foreign]);
            count += 1;
            continue;
        }
        let foreign_id =
            if matches!(of, Of::Session | Of::Token) { someone.own(*of, foreign) } else { foreign.id(*of) };
        let mut asked = vec![case("their own", asker.own(*of, own), None, usual(mark))];
        if *of != Of::Nothing {
            asked.push(case("another's", foreign_id, None, usual(mark)));
            asked.push(case("what never was", MISSING, None, usual(mark)));
        }
        if matches!(route.access, Access::Role(_)) {
            asked.push(case("another's team", asker.own(*of, own), Some(&foreign.team), usual(mark + 1)));
            asked.push(case("another's in their team", foreign_id, Some(&foreign.team), usual(mark + 2)));
            asked.push(case("a team that never was", asker.own(*of, own), Some(MISSING), usual(mark + 3)));
        }
        if let Some(Value::Object(fields)) = usual(mark + 4) {
            let mut with_id = fields;
            let is_token = name == "POST /api/v1/me/tokens";
            with_id.insert("team".to_owned(), foreign.team.clone().into());
            asked.push(case(
                "another's id in the body",
                asker.own(*of, own),
                None,
                Some(with_id.clone().into()),
            ));
            if is_token {
                with_id.insert("team".to_owned(), MISSING.into());
                asked.push(case("an id that never was in the body", "", None, Some(with_id.into())));
            }
        }
        let mut answers = Vec::new();
        for asked in &asked {
            answers.push((asked.what.clone(), asked.ask(&world.stand).await));
        }
        count += answers.len();
        judge(failures, route, asker, (foreign, allowed), &answers);
    }
    count
}

fn find<'a>(answers: &'a [(String, Answer)], what: &str) -> Option<(&'a str, &'a Answer)> {
    answers
        .iter()
        .find(|(name, _)| name.ends_with(&format!("about {what}")))
        .map(|(name, answer)| (name.as_str(), answer))
}

fn judge(
    failures: &mut Vec<String>,
    route: &Route,
    asker: &Asker,
    (foreign, allowed): (&Things, &[u16]),
    answers: &[(String, Answer)],
) {
    if !asker.signed_in {
        let texts: BTreeSet<String> = answers.iter().map(|(_, answer)| answer.body.to_string()).collect();
        for (what, answer) in answers {
            expect(failures, what, answer, &[401], [foreign]);
        }
        if texts.len() > 1 {
            failures.push(format!("{} by {}: the refusals differ: {texts:?}", route.path, asker.name));
        }
        return;
    }
    let enough = match (route.access, asker.role) {
        (Access::Role(needed), Some(role)) => role >= needed,
        (Access::Role(_), None) | (Access::SignedIn(_) | Access::Open, _) => true,
    };
    for (what, answer) in answers {
        let team_is_not_theirs = ["another's team", "another's in their team", "a team that never was"];
        let refused = if team_is_not_theirs.iter().any(|it| what.ends_with(&format!("about {it}"))) {
            &[404][..]
        } else if !enough {
            &[403]
        } else if what.ends_with("in the body") {
            // Whoever may not do it for somebody else is told so first.
            &[400, 403, 404]
        } else if what.ends_with("their own") {
            allowed
        } else if route.path == "/api/v1/members/{user}"
            && asker.role < Some(Role::Owner)
            && asker.role.is_some()
        {
            &[403]
        } else {
            &[404]
        };
        expect(failures, what, answer, refused, [foreign]);
    }
    for (theirs, never) in [
        ("another's", "what never was"),
        ("another's team", "a team that never was"),
        ("another's in their team", "a team that never was"),
        ("another's id in the body", "an id that never was in the body"),
    ] {
        if let (Some((what, theirs)), Some((_, never))) = (find(answers, theirs), find(answers, never))
            && theirs != never
        {
            failures.push(format!("{what} reads unlike what never was: {} and {}", theirs.body, never.body));
        }
    }
}

fn expect<'a>(
    failures: &mut Vec<String>,
    what: &str,
    answer: &Answer,
    statuses: &[u16],
    foreign: impl IntoIterator<Item = &'a Things>,
) {
    if !statuses.contains(&answer.status) {
        failures.push(format!("{what}: {} where {statuses:?} is expected: {}", answer.status, answer.body));
    }
    let text = answer.body.to_string();
    // What was sent in a body comes back in a refusal of it.
    for things in foreign.into_iter().filter(|_| answer.status < 400) {
        let of_alerts = [&things.rule, &things.alert, &things.silence, &things.receiver];
        for secret in
            [&things.host, &things.reader, &things.invitation, &things.team].into_iter().chain(of_alerts)
        {
            if !secret.is_empty() && secret != "default" && text.contains(secret.as_str()) {
                failures.push(format!("{what}: tells {secret} of another team: {text:.300}"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_gives_everybody_what_is_theirs_and_nothing_else() {
    let world = World::new().await;
    let (mut failures, mut count) = (Vec::new(), 0);
    let routes = table();
    let names: BTreeSet<String> = routes.iter().map(|route| name_of(route).1).collect();
    for (name, ..) in EXPECTED.iter().filter(|(name, ..)| !names.contains(*name)) {
        failures.push(format!("{name}: expected, but not in the table"));
    }
    for route in &routes {
        count += walk(&world, route, &mut failures).await;
    }
    eprintln!("{} routes × {} identities: {count} cases", routes.len(), world.askers.len());
    assert!(failures.is_empty(), "{} of {count} cases:\n{}", failures.len(), failures.join("\n"));
}
