//! Credentials that are not, or no longer, good: expired, revoked, forged, of another account.

use crate::attacks::seen;
use crate::client::{Client, Heard, all_refused};
use crate::jetstream::{count, streams};
use crate::server::Server;
use nkeys::KeyPair;
use std::fs;
use watchkeeper_nats::claims::{Account, Claims, UNLIMITED, User, UserLimits};
use watchkeeper_nats::{Program, creds, rotate};
use watchkeeper_schemas::subjects;

const LONG_AGO: u64 = 1_600_000_000;

/// An agent's claims about a new key of ours, with the account that is said to answer for them.
fn agent_claims(user: &KeyPair, account: &str) -> Claims<User> {
    let tags = ["team:a", "shard:00", "host:web-1"].map(str::to_owned).to_vec();
    let body = User { issuer_account: account.to_owned(), tags, ..User::default() };
    Claims::new(user.public_key(), "agent.a.web-1".into(), body)
}

fn refused(server: &Server, jwt: &str, user: &KeyPair) -> bool {
    match Client::connect_as(&server.address, jwt, user) {
        Ok(_) => false,
        Err(why) => {
            assert!(
                why.contains("Authorization Violation") || why.contains("Authentication Expired"),
                "{why}"
            );
            true
        }
    }
}

#[test]
fn t11_expired_and_forged_credentials_are_refused() {
    let server = Server::start(&["a", "b"]);
    let (account, other) = (server.key("agents-a.nk").public_key(), server.key("agents-b.nk").public_key());
    let signer = server.key("agents-a.agent.nk");
    let user = KeyPair::new_user();
    let good = agent_claims(&user, &account);
    assert!(!refused(&server, &good.sign(&signer, LONG_AGO).unwrap(), &user), "the good one must connect");

    let expired = Claims { expires: Some(LONG_AGO + 1), ..good.clone() };
    assert!(refused(&server, &expired.sign(&signer, LONG_AGO).unwrap(), &user), "expired");
    let jwt = good.sign(&signer, LONG_AGO).unwrap();
    assert!(refused(&server, &jwt, &KeyPair::new_user()), "of another key");
    assert!(refused(&server, &jwt[..jwt.len() - 4], &user), "cut");
    assert!(refused(&server, &good.sign(&KeyPair::new_account(), LONG_AGO).unwrap(), &user), "self-signed");
    let foreign = agent_claims(&user, &other);
    assert!(refused(&server, &foreign.sign(&signer, LONG_AGO).unwrap(), &user), "another account's");
    let core = agent_claims(&user, &server.key("core.nk").public_key());
    assert!(refused(&server, &core.sign(&signer, LONG_AGO).unwrap(), &user), "CORE's");

    let elsewhere = Server::start(&["a"]);
    let (theirs, their_creds) = (elsewhere.key("agents-a.agent.nk"), elsewhere.agent("a", "web-1"));
    assert!(refused(&server, &good.sign(&theirs, LONG_AGO).unwrap(), &user), "of another installation");
    Client::connect(&server.address, &their_creds).err().expect("another installation's credential connects");
    seen(
        "T11",
        "expired, cut, self-signed, another key's, account's, installation's JWT; CORE's",
        "each refused; the same claims signed as they should be connect",
    );

    let mut greedy = good.clone();
    greedy.body.permissions.publish.allow = vec![">".into()];
    assert!(refused(&server, &greedy.sign(&signer, LONG_AGO).unwrap(), &user), "rights of its own");
    seen("T11", "a JWT of the right key that states rights of its own", "refused");
    let mut nameless = good.clone();
    nameless.body.tags.pop();
    let jwt = nameless.sign(&signer, LONG_AGO).unwrap();
    let mut nameless = Client::connect_as(&server.address, &jwt, &user).unwrap();
    for subject in ["sample.v1.a.00.web-1", "sample.v1.a.00.", "sample.v1.a.00.*", "sample.v1.a.00"] {
        nameless.publish(subject, "", "x");
    }
    for subject in ["_INBOX.a.>", "_INBOX.a.web-1.>", "cmd.v1.a.00.web-1", "cmd.v1.a.00.*"] {
        nameless.subscribe(subject);
    }
    let heard = nameless.flush();
    assert!(all_refused(&heard, 8), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_a_role_can_do_nothing() {
    let server = Server::start(&["a"]);
    let js = streams(&server).await;
    server.sys();
    for file in ["agents-a.nk", "core.nk", "readers.nk", "sys.nk"] {
        let (key, user) = (server.key(file), KeyPair::new_user());
        let limits = UserLimits { subs: UNLIMITED, data: UNLIMITED, payload: UNLIMITED };
        let claims = Claims::new(user.public_key(), "stray".into(), User { limits, ..User::default() });
        let mut stray =
            Client::connect_as(&server.address, &claims.sign(&key, LONG_AGO).unwrap(), &user).unwrap();
        for subject in
            ["sample.v1.a.00.web-1", "tick.v1", "$SYS.REQ.CLAIMS.UPDATE", "$JS.API.INFO", "x", "x..y"]
        {
            stray.publish(subject, "", "x");
        }
        for subject in [">", "dead.v1", "_INBOX.>"] {
            stray.subscribe(subject);
        }
        let heard = stray.flush();
        assert!(all_refused(&heard, 9), "{file}: {heard:?}");
    }
    assert_eq!(count(&js, "SAMPLES").await, 0);
}

/// Hands the server an account JWT as the gateway does.
fn push(server: &Server, account_jwt: &str) {
    let mut sys = server.sys();
    sys.subscribe("_INBOX.sys.>");
    sys.publish(subjects::SYS_PUSH_CLAIMS, "_INBOX.sys.1", account_jwt);
    let answer = sys.answer_on("_INBOX.sys.1");
    assert_eq!(answer["data"]["code"], 200, "{answer}");
}

#[test]
fn t11_a_pushed_revocation_cuts_a_live_connection_and_outlives_the_server() {
    let mut server = Server::start(&["a"]);
    let (agent_creds, other_creds) = (server.agent("a", "web-1"), server.agent("a", "web-2"));
    let mut agent = Client::connect(&server.address, &agent_creds).unwrap();
    let mut other = Client::connect(&server.address, &other_creds).unwrap();

    let path = server.layout.account_jwt(&server.key("agents-a.nk").public_key());
    let mut account = Claims::<Account>::verify(&fs::read_to_string(path).unwrap()).unwrap();
    let user = creds::parse(&agent_creds).unwrap().claims;
    account.body.revocations.insert(user.subject, user.issued_at);
    push(&server, &account.sign(&server.key("operator.signing.nk"), user.issued_at + 1).unwrap());

    assert!(matches!(agent.next(), Heard::Refused(why) if why.contains("Revoked")));
    assert_eq!(agent.next(), Heard::Closed);
    assert_eq!(other.flush(), []);
    server.restart();
    Client::connect(&server.address, &agent_creds).err().expect("a revoked agent came back");
    Client::connect(&server.address, &other_creds).unwrap();
    assert_ne!(server.agent("a", "web-1"), agent_creds, "a revoked credential was issued again");
    Client::connect(&server.address, &server.agent("a", "web-1")).unwrap();
    seen("T11", "a revoked credential: a live connection, again, after a restart", "cut, refused, refused");
}

#[test]
fn rotation_cuts_off_the_old_credential_after_a_restart() {
    let mut server = Server::start(&["a"]);
    for program in Program::ALL {
        server.sys();
        let old = server.program(program);
        Client::connect(&server.address, &old).unwrap();
        let rotation = rotate(&server.layout, program).unwrap();
        assert_eq!(rotation.revoked, Some(creds::parse(&old).unwrap().claims.subject));
        server.restart();
        server.sys();
        Client::connect(&server.address, &old).err().expect("the old credential still connects");
        Client::connect(&server.address, &server.program(program)).unwrap();
    }
}

#[test]
fn rotation_pushed_cuts_off_the_old_credential_at_once() {
    let server = Server::start(&["a"]);
    server.sys();
    for program in Program::ALL {
        let old = server.program(program);
        let mut connected = Client::connect(&server.address, &old).unwrap();
        let rotation = rotate(&server.layout, program).unwrap();
        push(&server, &rotation.account_jwt);
        assert!(matches!(connected.next(), Heard::Refused(why) if why.contains("Revoked")), "{program}");
        Client::connect(&server.address, &old).err().expect("the old credential still connects");
        Client::connect(&server.address, &server.program(program)).unwrap();
    }
}
