//! The registry: what JOURNAL says is what it holds, whatever comes twice, out of place or is removed.

use crate::golden::journal;
use watchkeeper_schemas::ids::{TeamId, UserId};
use watchkeeper_schemas::journal::{Enrolment, Fact, JournalEvent, Member, Role, User};
use watchkeeper_schemas::registry::{Registry, RegistryError};
use watchkeeper_schemas::subjects::{JournalScope, JournalSubject};

fn team() -> TeamId {
    "default".parse().unwrap()
}

fn alice() -> UserId {
    "alice".parse().unwrap()
}

fn scope_of(fact: &Fact) -> JournalScope {
    [JournalScope::Everyone, JournalScope::Team(team())]
        .into_iter()
        .find(|scope| JournalSubject::of(scope.clone(), fact).is_some())
        .unwrap()
}

fn apply(registry: &mut Registry, event: &JournalEvent) {
    let subject = JournalSubject::of(scope_of(&event.fact), &event.fact).unwrap().to_string();
    let payload = serde_json::to_vec(event).unwrap();
    registry.apply(registry.sequence() + 1, &subject, &payload).unwrap();
}

fn of_everything() -> Registry {
    let mut registry = Registry::default();
    journal().iter().for_each(|(_, event)| apply(&mut registry, event));
    registry
}

fn fact(fact: Fact) -> JournalEvent {
    JournalEvent { fact, ..journal().remove(0).1 }
}

#[test]
fn every_kind_of_fact_is_found_again_with_its_revision() {
    let registry = of_everything();
    let facts = registry.team(&team()).unwrap();
    assert_eq!(registry.role(&alice(), &team()), Some(Role::Owner));
    assert_eq!(registry.teams_of(&alice()).count(), 1);
    assert_eq!((facts.name(), facts.revision(), facts.owners()), ("Default", 3, 1));
    assert_eq!(
        (registry.tokens.iter().count(), facts.invitations.iter().count(), facts.readers.iter().count()),
        (1, 1, 1)
    );
    let host = "web-1".parse().unwrap();
    assert_eq!(
        (facts.hosts.get(&host), facts.hosts.revision(&host)),
        (None, 9),
        "removed, and its place is known"
    );
    assert!(facts.flags.get(&host).is_some());
    assert_eq!((facts.rules.iter().count(), facts.silences.iter().count()), (1, 1));
    let (episode, remark) = facts.acknowledgements.iter().next().unwrap();
    assert_eq!(remark.note, "looking");
    assert!(facts.resolutions.get(episode).is_some(), "both stand under the episode's id");
    assert!(facts.alert_defaults.get(&team()).is_some());
}

#[test]
fn an_event_that_comes_again_changes_nothing() {
    let mut registry = of_everything();
    let before = registry.clone();
    for (index, (_, event)) in journal().iter().enumerate() {
        let subject = JournalSubject::of(scope_of(&event.fact), &event.fact).unwrap().to_string();
        registry.apply(index as u64 + 1, &subject, &serde_json::to_vec(event).unwrap()).unwrap();
    }
    assert_eq!(registry, before);
}

#[test]
fn a_key_counts_only_while_its_holder_names_it() {
    let key = Enrolment::key;
    let mut registry = Registry::default();
    let mut seen = Vec::new();
    for (name, event) in journal() {
        apply(&mut registry, &event);
        if name.starts_with("journal-host") || name == "journal-credential" {
            let facts = registry.team(&team()).unwrap();
            let known = facts.hosts.iter().filter_map(|(_, host)| key(&host.enrolment)).next().cloned();
            seen.push(known.is_some_and(|key| facts.is_current(&key)));
        }
    }
    assert_eq!(seen, [false; 5], "no credential fact yet, or no host any more");
    let active = journal().into_iter().find(|(name, _)| *name == "journal-host-active").unwrap().1;
    apply(&mut registry, &active);
    let facts = registry.team(&team()).unwrap();
    let known = key(&facts.hosts.iter().next().unwrap().1.enrolment).unwrap().clone();
    assert!(facts.is_current(&known));
    apply(&mut registry, &fact(Fact::Team { id: team(), value: None }));
    assert!(registry.team(&team()).is_none());
    assert!(!registry.any_team(&team()).unwrap().is_current(&known));
    assert_eq!(registry.role(&alice(), &team()), None, "nobody has a role in a team that is gone");
}

#[test]
fn of_two_owners_who_demote_each_other_at_once_one_stays() {
    let bob: UserId = "bob".parse().unwrap();
    let member = |id: &UserId, role| fact(Fact::Member { id: id.clone(), value: Some(Member { role }) });
    let removal = |id: &UserId| fact(Fact::Member { id: id.clone(), value: None });
    let mut registry = of_everything();
    apply(&mut registry, &member(&bob, Role::Owner));
    apply(&mut registry, &member(&alice(), Role::Viewer));
    let before = registry.sequence();
    for change in [member(&bob, Role::Admin), removal(&bob)] {
        apply(&mut registry, &change);
        assert!(registry.team(&team()).unwrap().is_last_owner(&bob), "nobody else owns it");
    }
    let facts = registry.team(&team()).unwrap();
    assert_eq!((facts.owners(), facts.members.revision(&bob)), (1, before + 2), "its place is known");
    apply(&mut registry, &member(&alice(), Role::Owner));
    apply(&mut registry, &removal(&bob));
    assert_eq!(registry.team(&team()).unwrap().members.get(&bob), None);
}

#[test]
fn a_disabled_user_has_no_role_anywhere() {
    let mut registry = of_everything();
    let disabled = User { display_name: "Alice".to_owned(), disabled: true };
    apply(&mut registry, &fact(Fact::User { id: alice(), value: Some(disabled) }));
    assert_eq!(registry.role(&alice(), &team()), None);
}

#[test]
fn a_fact_in_anothers_place_is_refused() {
    let member = Fact::Member { id: alice(), value: Some(Member { role: Role::Owner }) };
    let payload = serde_json::to_vec(&fact(member)).unwrap();
    let mut registry = Registry::default();
    for bad in [
        "journal.v1.default.member.bob",
        "journal.v1.default.user.alice",
        "journal.v1._.member.alice",
        "journal.v1.default.host.alice",
    ] {
        let next = registry.sequence() + 1;
        let refused = registry.apply(next, bad, &payload).unwrap_err();
        assert!(matches!(refused, RegistryError::Mismatch { .. }), "{bad}: {refused}");
    }
    for bad in [
        "journal.v1.default.owner.alice",
        "journal.v1.default.member",
        "sample.v1.a.00.b",
        "journal.v1.D.member.a",
    ] {
        let next = registry.sequence() + 1;
        let refused = registry.apply(next, bad, &payload).unwrap_err();
        assert!(!matches!(refused, RegistryError::Mismatch { .. }), "{bad}: {refused}");
    }
    assert_eq!(Registry::default().teams().count(), registry.all_teams().count());
}
