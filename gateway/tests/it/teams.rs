//! Teams and members: the last owner, invitations, what a removal takes along.

use crate::asking::ask;
use crate::stand::{Stand, bearer};
use reqwest::Method;
use serde_json::{Value, json};

async fn revision(stand: &Stand, user: &str) -> Value {
    let members = stand.json("/api/v1/members").await;
    let member = members["items"].as_array().unwrap().iter().find(|it| it["user"] == user).cloned();
    member.map_or(Value::Null, |member| member["revision"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_owners_who_demote_each_other_at_once_leave_one() {
    let stand = Stand::new().await;
    let owner = stand.http.clone();
    let oscar = bearer(&stand.invite(&owner, "oscar", "owner").await);
    for _ in 0..10 {
        let (of_olga, of_oscar) = (revision(&stand, "olga").await, revision(&stand, "oscar").await);
        let demote = |revision: &Value| Some(json!({"role": "admin", "revision": revision}));
        let (one, other) = tokio::join!(
            ask(&stand, &oscar, (Method::PUT, "/api/v1/members/olga"), demote(&of_olga)),
            ask(&stand, &owner, (Method::PUT, "/api/v1/members/oscar"), demote(&of_oscar)),
        );
        let members = stand.json("/api/v1/members").await;
        let owners: Vec<&Value> =
            members["items"].as_array().unwrap().iter().filter(|it| it["role"] == "owner").collect();
        assert_eq!(owners.len(), 1, "{} {}", one.body, other.body);
        assert!((one.status == 200) != (other.status == 200), "{} {}", one.status, other.status);
        let (again, who) = if owners[0]["user"] == "olga" { ("oscar", &owner) } else { ("olga", &oscar) };
        let restored = json!({"role": "owner", "revision": revision(&stand, again).await});
        ask(&stand, who, (Method::PUT, &format!("/api/v1/members/{again}")), Some(restored)).await.is(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_owner_stays_and_others_may_leave() {
    let stand = Stand::new().await;
    let owner = stand.http.clone();
    let own = revision(&stand, "olga").await;
    stand.delete(&format!("/api/v1/members/olga?revision={own}")).await.is(409);
    stand.change("/api/v1/members/olga", json!({"role": "viewer", "revision": own})).await.is(409);
    let vera = bearer(&stand.invite(&owner, "vera", "viewer").await);
    let refused =
        ask(&stand, &vera, (Method::DELETE, &format!("/api/v1/members/olga?revision={own}")), None).await;
    refused.is(403);
    let of_vera = revision(&stand, "vera").await;
    ask(&stand, &vera, (Method::DELETE, &format!("/api/v1/members/vera?revision={of_vera}")), None)
        .await
        .is(204);
    ask(&stand, &vera, (Method::GET, "/api/v1/hosts"), None).await.is(404);
    let audit = stand.json("/api/v1/audit?kind=member_delete").await;
    let items = audit["items"].as_array().unwrap();
    assert_eq!((&items[0]["outcome"], &items[1]["outcome"]), (&"done".into(), &"refused".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_works_once_and_not_once_it_was_taken_back() {
    let stand = Stand::new().await;
    let owner = stand.http.clone();
    let adam = bearer(&stand.invite(&owner, "adam", "admin").await);
    let invite = async |role: &str| {
        ask(&stand, &adam, (Method::POST, "/api/v1/invitations"), Some(json!({"role": role}))).await
    };
    invite("owner").await.is(403);
    let made = invite("viewer").await.is(201);
    let token = made["token"].as_str().unwrap();
    assert_eq!(made["link"], format!("http://127.0.0.1:7171/#/join/{token}"));
    let listed = stand.json("/api/v1/invitations").await;
    assert_eq!((&listed["items"][0]["by"], &listed["items"][0]["role"]), (&"adam".into(), &"viewer".into()));
    assert!(!listed.to_string().contains(token));
    let path = format!("/api/v1/invitations/{}", made["id"].as_str().unwrap());
    stand.delete(&path).await.is(204);
    stand.delete(&path).await.is(404);
    let asked = json!({"token": token, "user": "vera", "password": crate::stand::PASSWORD});
    ask(&stand, &stand.anonymous, (Method::POST, "/api/v1/auth/accept"), Some(asked)).await.is(404);
    assert_eq!(stand.json("/api/v1/invitations").await["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_team_takes_everything_along() {
    let stand = Stand::new().await;
    let made = stand.post("/api/v1/teams", json!({"name": "Second"})).await.is(201);
    let team = made["team"].as_str().unwrap();
    let at = |path: &str| format!("/api/v1/{path}?team={team}");
    stand.post(&at("hosts"), json!({"name": "a"})).await.is(201);
    let renamed =
        stand.change(&at("team"), json!({"name": "Two", "revision": made["revision"]})).await.is(200);
    stand.change(&at("team"), json!({"name": "Three", "revision": made["revision"]})).await.is(409);
    let end = |confirm: &str| json!({"revision": renamed["revision"], "confirm": confirm});
    let refused = ask(&stand, &stand.http, (Method::DELETE, &at("team")), Some(end("default"))).await.is(400);
    assert_eq!(refused["errors"][0]["field"], "confirm");
    ask(&stand, &stand.http, (Method::DELETE, &at("team")), Some(end(team))).await.is(204);
    for path in ["team", "hosts", "hosts/a", "members", "live"] {
        assert_eq!(stand.get(&at(path)).await.status(), 404, "{path}");
    }
    assert_eq!(stand.json("/api/v1/team").await["team"], "default");
}
