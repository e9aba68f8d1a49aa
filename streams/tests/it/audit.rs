//! AUDIT: many append at once and the chain holds; scopes are apart; pages go back to the first entry.

use crate::stack::Server;
use futures_util::future::join_all;
use watchkeeper_nats::Program;
use watchkeeper_schemas::audit::{Action, Deed, Outcome, Via};
use watchkeeper_schemas::subjects::JournalScope;
use watchkeeper_streams::audit::{append, page, verify};
use watchkeeper_streams::runner::jetstream;

fn deed(action: Action, object: &str) -> Deed {
    Deed {
        action,
        outcome: Outcome::Done,
        actor: Some("alice".parse().unwrap()),
        via: Via::Session,
        from: None,
        object: object.to_owned(),
        before: None,
        after: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_append_at_once_and_the_chain_of_each_scope_holds() {
    let server = Server::start();
    server.ready().await;
    // Two gateways side by side.
    let (one, two) = tokio::join!(server.connect(Program::Gateway), server.connect(Program::Gateway));
    let gateways = [jetstream(one.client), jetstream(two.client)];
    let scopes = [JournalScope::Everyone, JournalScope::Team("default".parse().unwrap())];
    let writes = (0..30).map(|index| {
        let action = if index % 3 == 0 { Action::LogIn } else { Action::HostChange };
        let (gateway, scope) = (&gateways[index % 2], &scopes[usize::from(index % 5 == 0)]);
        async move { append(gateway, scope, deed(action, &index.to_string())).await.unwrap() }
    });
    join_all(writes).await;
    for (scope, expected) in scopes.iter().zip([24, 6]) {
        let mut entries = 0;
        let head = verify(&gateways[0], scope, |_| entries += 1).await.unwrap();
        assert_eq!((head.number, entries), (expected, expected), "{scope}");
    }

    let everyone = &scopes[0];
    let (mut numbers, mut before) = (Vec::new(), None);
    loop {
        let placed = page(&gateways[0], everyone, before, 7, |_| true).await.unwrap();
        let Some(last) = placed.last() else { break };
        before = Some(last.sequence);
        numbers.extend(placed.iter().map(|placed| placed.entry.number));
    }
    assert_eq!(numbers, (1..=24).rev().collect::<Vec<_>>());
    let log_ins = |entry: &watchkeeper_schemas::audit::AuditEntry| entry.deed.action == Action::LogIn;
    let found = page(&gateways[0], everyone, None, 100, log_ins).await.unwrap();
    assert_eq!(found.len(), 8, "{found:?}");
}
