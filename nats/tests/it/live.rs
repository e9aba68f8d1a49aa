//! Accounts of a running server: made, revoked, released and removed while agents are connected.

use crate::client::{Client, Heard};
use crate::server::{Server, host, options};
use nkeys::KeyPair;
use std::collections::BTreeSet;
use std::fs;
use watchkeeper_nats::{
    AccountName, Outcome, Program, UserKey, creds, ensure_account, make_reader, read_agent, remove_team,
    rotate, setup, sign_agent, team_removal,
};
use watchkeeper_schemas::ids::{PublicKey, TeamId};
use watchkeeper_schemas::subjects;

/// Far from now.
const LATER: u64 = 4_000_000_000;

fn team(id: &str) -> TeamId {
    id.parse().unwrap()
}

fn agents(id: &str) -> AccountName {
    AccountName::Agents(team(id))
}

fn public(key: &KeyPair) -> PublicKey {
    key.public_key().parse().unwrap()
}

/// An agent that made its key itself.
fn enrolled(server: &Server, team_id: &str, id: &str) -> (KeyPair, String) {
    let key = KeyPair::new_user();
    let user = UserKey::read(&public(&key)).unwrap();
    let jwt = sign_agent(&server.layout, &team(team_id), &host(id), &user, LATER).unwrap();
    (key, jwt)
}

/// Asks the server as our user of the system account; the answer's code and text.
fn ask(server: &Server, subject: &str, body: &str) -> (u64, String) {
    let mut sys = server.sys();
    sys.subscribe("_INBOX.sys.>");
    sys.publish(subject, "_INBOX.sys.1", body);
    let answer = sys.answer_on("_INBOX.sys.1");
    let said = if answer["error"].is_object() { &answer["error"] } else { &answer["data"] };
    (said["code"].as_u64().unwrap_or(0), answer.to_string())
}

fn push(server: &Server, jwt: &str) {
    let (code, answer) = ask(server, subjects::SYS_PUSH_CLAIMS, jwt);
    assert_eq!(code, 200, "{answer}");
}

fn is_cut(client: &mut Client) -> bool {
    loop {
        match client.next() {
            Heard::Closed => return true,
            Heard::Refused(_) => {}
            Heard::Message(..) | Heard::Pong => return false,
        }
    }
}

#[test]
fn a_flagged_agent_is_cut_off_whatever_is_signed_for_it_and_then_released() {
    let server = Server::start(&["a"]);
    let (key, jwt) = enrolled(&server, "a", "web-1");
    let (other_key, other_jwt) = enrolled(&server, "a", "web-2");
    let mut agent = Client::connect_as(&server.address, &jwt, &key).unwrap();
    let mut other = Client::connect_as(&server.address, &other_jwt, &other_key).unwrap();

    let flagged = BTreeSet::from([public(&key)]);
    let state = ensure_account(&server.layout, &agents("a"), &flagged).unwrap();
    assert_eq!(state.outcome, Outcome::Updated);
    push(&server, &state.jwt);
    assert!(is_cut(&mut agent), "a revoked agent stays connected");
    assert_eq!(other.flush(), []);
    let user = UserKey::read(&public(&key)).unwrap();
    let renewed = sign_agent(&server.layout, &team("a"), &host("web-1"), &user, LATER + 1).unwrap();
    for jwt in [&jwt, &renewed] {
        Client::connect_as(&server.address, jwt, &key).err().expect("a revoked agent came back");
    }
    let again = ensure_account(&server.layout, &agents("a"), &flagged).unwrap();
    assert_eq!((again.outcome, &again.jwt), (Outcome::Kept, &state.jwt));

    let state = ensure_account(&server.layout, &agents("a"), &BTreeSet::new()).unwrap();
    push(&server, &state.jwt);
    Client::connect_as(&server.address, &jwt, &key).unwrap();
    assert_eq!(other.flush(), []);
}

#[test]
fn a_team_is_made_and_removed_while_the_server_runs() {
    let server = Server::start(&["a"]);
    let state = ensure_account(&server.layout, &agents("b"), &BTreeSet::new()).unwrap();
    assert_eq!(state.outcome, Outcome::Created);
    push(&server, &state.jwt);
    let (key, jwt) = enrolled(&server, "b", "web-1");
    let mut agent = Client::connect_as(&server.address, &jwt, &key).unwrap();
    let (stays_key, stays_jwt) = enrolled(&server, "a", "web-1");
    let mut stays = Client::connect_as(&server.address, &stays_jwt, &stays_key).unwrap();
    // What a setup repeats, it leaves as it is.
    let report = setup(&options(&server.layout.dir, &["a"])).unwrap();
    assert!(report.files.iter().all(|(_, outcome)| *outcome == Outcome::Kept), "{report:?}");
    assert_eq!(report.teams, [team("a"), team("b")]);

    let removal = team_removal(&server.layout, &team("b")).unwrap().unwrap();
    for _ in 0..2 {
        let (code, answer) = ask(&server, subjects::SYS_DELETE_CLAIMS, &removal);
        assert_eq!(code, 200, "the answer may be lost, so that it is asked again: {answer}");
    }
    assert!(is_cut(&mut agent), "an agent of a removed team stays connected");
    remove_team(&server.layout, &team("b")).unwrap();
    remove_team(&server.layout, &team("b")).unwrap();
    assert_eq!(team_removal(&server.layout, &team("b")).unwrap(), None);
    Client::connect_as(&server.address, &jwt, &key).err().expect("an agent of a removed team came back");
    assert_eq!(stays.flush(), []);
    let dirs = [server.layout.operator(), server.layout.gateway()];
    let left: Vec<_> =
        dirs.iter().flat_map(|dir| fs::read_dir(dir).unwrap()).map(|it| it.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("agents-b")), "{left:?}");

    // A team of the same name is another one: it knows nothing of the old one's agents.
    push(&server, &ensure_account(&server.layout, &agents("b"), &BTreeSet::new()).unwrap().jwt);
    Client::connect_as(&server.address, &jwt, &key).err().expect("an agent of the old team came back");
    let (key, jwt) = enrolled(&server, "b", "web-1");
    Client::connect_as(&server.address, &jwt, &key).unwrap();
}

#[test]
fn what_a_rotation_revoked_stays_revoked() {
    let server = Server::start(&["a"]);
    let old = rotate(&server.layout, Program::Gateway).unwrap().revoked.unwrap();
    let stray: PublicKey = KeyPair::new_user().public_key().parse().unwrap();
    for revoked in [BTreeSet::from([stray]), BTreeSet::new()] {
        let state = ensure_account(&server.layout, &AccountName::Core, &revoked).unwrap();
        let claims =
            watchkeeper_nats::claims::Claims::<watchkeeper_nats::claims::Account>::verify(&state.jwt);
        let revocations = claims.unwrap().body.revocations;
        assert!(revocations.contains_key(&old), "{revocations:?}");
        assert_eq!(revocations.len(), 1 + revoked.len(), "{revocations:?}");
    }
}

#[test]
fn only_what_we_signed_for_an_agent_reads_as_an_agents() {
    let server = Server::start(&["a", "b"]);
    let (key, jwt) = enrolled(&server, "a", "web-1");
    let read = read_agent(&server.layout, &jwt).unwrap().unwrap();
    assert_eq!(
        (read.team, read.host, read.key, read.expires),
        (team("a"), host("web-1"), public(&key), Some(LATER))
    );

    let forged =
        |signer: &str, change: fn(&mut watchkeeper_nats::claims::Claims<watchkeeper_nats::claims::User>)| {
            let mut claims = watchkeeper_nats::claims::Claims::verify(&jwt).unwrap();
            change(&mut claims);
            claims.sign(&server.key(signer), 1).unwrap()
        };
    let strangers = [
        forged("agents-b.agent.nk", |_| {}),
        forged("agents-a.fleet.nk", |_| {}),
        forged("agents-a.nk", |_| {}),
        forged("agents-a.agent.nk", |claims| claims.name = "agent.b.web-1".into()),
        forged("agents-a.agent.nk", |claims| claims.body.tags[2] = "host:web-2".into()),
        forged("agents-a.agent.nk", |claims| claims.body.permissions.publish.allow.push(">".into())),
        creds::parse(&server.reader("a", "screen")).unwrap().jwt,
        creds::parse(&server.fleet("a")).unwrap().jwt,
        format!("{jwt}A"),
        "a.b.c".into(),
        String::new(),
        "x".repeat(100_000),
    ];
    for jwt in &strangers {
        assert_eq!(read_agent(&server.layout, jwt).unwrap(), None, "{jwt:.60}");
    }
    assert!(read_agent(&server.layout, &forged("agents-a.agent.nk", |_| {})).unwrap().is_some());
}

#[test]
fn a_signature_is_that_of_the_key_and_of_the_message() {
    let (key, other) = (KeyPair::new_user(), KeyPair::new_user());
    let user = UserKey::read(&public(&key)).unwrap();
    let sign =
        |key: &KeyPair, message: &[u8]| data_encoding::BASE64URL_NOPAD.encode(&key.sign(message).unwrap());
    assert!(user.signed(b"renew", &sign(&key, b"renew")));
    for bad in [sign(&key, b"other"), sign(&other, b"renew"), String::new(), "=".into(), "A".repeat(100_000)]
    {
        assert!(!user.signed(b"renew", &bad), "{bad:.60}");
    }
    let mut mistyped = key.public_key();
    let last = mistyped.pop().unwrap();
    mistyped.push(if last == 'A' { 'B' } else { 'A' });
    assert!(UserKey::read(&mistyped.parse().unwrap()).is_none(), "a mistyped key");
}

#[test]
fn a_reader_made_at_run_time_hears_its_team_and_leaves_no_secret_behind() {
    let server = Server::start(&["a"]);
    let made = make_reader(&server.layout, &team("a"), &"screen".parse().unwrap()).unwrap();
    let mut reader = Client::connect(&server.address, &made.creds).unwrap();
    reader.subscribe("public.v1.a.>");
    assert_eq!(reader.flush(), []);
    assert_eq!(creds::parse(&made.creds).unwrap().key.public_key(), made.key.to_string());
    for entry in fs::read_dir(server.layout.creds()).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains(made.key.as_str()) && !text.contains("reader."), "{text}");
    }
    let state = ensure_account(&server.layout, &AccountName::Readers, &BTreeSet::from([made.key])).unwrap();
    push(&server, &state.jwt);
    assert!(is_cut(&mut reader), "a revoked reader stays connected");
}
