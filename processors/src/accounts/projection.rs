//! What the accounts of the NATS server are to be, as JOURNAL has it: a pure function of all facts and the time.

use std::collections::{BTreeMap, BTreeSet};
use watchkeeper_nats::AccountName;
use watchkeeper_schemas::ids::{HostId, PublicKey, TeamId};
use watchkeeper_schemas::journal::{Credential, Enrolment};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::registry::{Registry, TeamFacts};

/// A credential that ended this long ago is refused by every clock; its revocation is not kept any longer.
const FORGOTTEN_AFTER_MS: u64 = 24 * 3_600_000;

/// What the server's accounts are to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Every account that is to exist, with the keys that it refuses.
    pub accounts: BTreeMap<AccountName, BTreeSet<PublicKey>>,
    /// Teams that are no more.
    pub removed: BTreeSet<TeamId>,
    /// When this becomes another without a new fact.
    pub until: Option<UnixMs>,
}

impl Wanted {
    /// What the facts want at a time.
    #[must_use]
    pub fn at(registry: &Registry, now: UnixMs) -> Self {
        let mut wanted = Self::default();
        let mut readers = BTreeSet::new();
        for (id, team) in registry.all_teams() {
            let agents = wanted.refuse(team, now, &mut readers);
            if team.exists() {
                wanted.accounts.insert(AccountName::Agents(id.clone()), agents);
            } else if team.recorded().is_some() {
                wanted.removed.insert(id.clone());
            }
        }
        wanted.accounts.insert(AccountName::Readers, readers);
        wanted
    }

    /// The keys of a team's agents that are refused; those of its readers go to the readers' account.
    fn refuse(
        &mut self,
        team: &TeamFacts,
        now: UnixMs,
        readers: &mut BTreeSet<PublicKey>,
    ) -> BTreeSet<PublicKey> {
        let mut agents = BTreeSet::new();
        for (key, recorded) in team.credentials.all() {
            match &recorded.value {
                Some(Credential::Agent { expires, .. })
                    if now.0 >= expires.0.saturating_add(FORGOTTEN_AFTER_MS) => {}
                Some(Credential::Agent { host, .. }) => {
                    let held_off = self.is_held_off(team, host, now);
                    if held_off || !team.is_current(key) {
                        agents.insert(key.clone());
                    }
                }
                Some(Credential::Reader { .. }) => {
                    if !team.is_current(key) {
                        readers.insert(key.clone());
                    }
                }
                // Nobody knows any more whose it was.
                None => {
                    agents.insert(key.clone());
                    readers.insert(key.clone());
                }
            }
        }
        agents
    }

    /// Whether a host may not connect now though its credential is the right one: it floods, or its first sample did
    /// not come in time.
    fn is_held_off(&mut self, team: &TeamFacts, host: &HostId, now: UnixMs) -> bool {
        let flagged = team.flags.get(host).map(|flag| flag.until).filter(|until| now < *until);
        let enrolment = team.hosts.get(host).map(|host| &host.enrolment);
        let proving = match enrolment {
            Some(Enrolment::Activating { until, .. }) => Some(*until),
            Some(Enrolment::Waiting { .. } | Enrolment::Active { .. }) | None => None,
        };
        let changes = [flagged, proving.filter(|until| now < *until), self.until];
        self.until = changes.into_iter().flatten().min();
        flagged.is_some() || proving.is_some_and(|until| now >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchkeeper_schemas::journal::{Fact, Flag, FlagReason, Host, JournalEvent, Reader, Team};
    use watchkeeper_schemas::subjects::{JournalScope, JournalSubject};

    const NOW: UnixMs = UnixMs(1_790_000_000_000);
    const LATER: UnixMs = UnixMs(NOW.0 + 1000);

    fn key(letter: char) -> PublicKey {
        format!("U{}", letter.to_string().repeat(55)).parse().unwrap()
    }

    fn agents(team: &str) -> AccountName {
        AccountName::Agents(team.parse().unwrap())
    }

    /// A registry in which these facts about teams were recorded one after the other.
    fn registry(facts: Vec<(&str, Fact)>) -> Registry {
        let mut registry = Registry::default();
        for (team, fact) in facts {
            let scope = JournalScope::Team(team.parse().unwrap());
            let subject = JournalSubject::of(scope, &fact).unwrap().to_string();
            let event = JournalEvent { v: 1, author: "test".into(), cause: "test".into(), time: NOW, fact };
            registry.apply(registry.sequence() + 1, &subject, &serde_json::to_vec(&event).unwrap()).unwrap();
        }
        registry
    }

    fn team(id: &str) -> (&str, Fact) {
        (id, Fact::Team { id: id.parse().unwrap(), value: Some(Team { name: id.into() }) })
    }

    fn signed(letter: char, host: &str, expires: UnixMs) -> Fact {
        Fact::Credential {
            id: key(letter),
            value: Some(Credential::Agent { host: host.parse().unwrap(), expires }),
        }
    }

    fn host(id: &str, enrolment: Enrolment) -> Fact {
        let value = Host {
            name: id.into(),
            tags: [].into(),
            interval_ms: 5000,
            mounts: [].into(),
            without: [].into(),
            paused: false,
            enrolment,
        };
        Fact::Host { id: id.parse().unwrap(), value: Some(value) }
    }

    fn active(id: &str, letter: char) -> Fact {
        host(id, Enrolment::Active { key: key(letter) })
    }

    fn flag(id: &str, until: UnixMs) -> Fact {
        let flag = Flag { reason: FlagReason::Flood, count: 900, until, strikes: 1 };
        Fact::Flag { id: id.parse().unwrap(), value: Some(flag) }
    }

    #[test]
    fn every_key_but_the_present_one_is_refused() {
        let registry = registry(vec![
            team("a"),
            ("a", signed('A', "web", LATER)),
            ("a", active("web", 'A')),
            ("a", signed('B', "web", LATER)),
            ("a", active("web", 'B')),
            ("a", signed('C', "never-made", LATER)),
        ]);
        let wanted = Wanted::at(&registry, NOW);
        assert_eq!(wanted.accounts[&agents("a")], [key('A'), key('C')].into());
        assert_eq!(wanted.accounts[&AccountName::Readers], [].into());
        assert_eq!(wanted, Wanted::at(&registry, NOW), "the same facts want the same");
    }

    #[test]
    fn a_flagged_host_is_refused_until_its_time_is_over() {
        let registry = registry(vec![
            team("a"),
            ("a", signed('A', "web", LATER)),
            ("a", active("web", 'A')),
            ("a", flag("web", LATER)),
        ]);
        let held = Wanted::at(&registry, NOW);
        assert_eq!((&held.accounts[&agents("a")], held.until), (&[key('A')].into(), Some(LATER)));
        let released = Wanted::at(&registry, LATER);
        assert_eq!((&released.accounts[&agents("a")], released.until), (&[].into(), None));
    }

    #[test]
    fn an_agent_whose_first_sample_does_not_come_is_refused() {
        let activating = Enrolment::Activating { key: key('A'), until: LATER };
        let registry = registry(vec![
            team("a"),
            ("a", signed('A', "web", UnixMs(LATER.0 * 2))),
            ("a", host("web", activating)),
        ]);
        let proving = Wanted::at(&registry, NOW);
        assert_eq!((&proving.accounts[&agents("a")], proving.until), (&[].into(), Some(LATER)));
        assert_eq!(Wanted::at(&registry, LATER).accounts[&agents("a")], [key('A')].into());
    }

    #[test]
    fn a_removed_team_has_no_account_and_its_readers_hear_nothing() {
        let reader = |value| Fact::Reader { id: "screen".parse().unwrap(), value };
        let mut facts = vec![
            team("a"),
            team("b"),
            ("a", reader(Some(Reader { key: key('A'), by: "alice".parse().unwrap() }))),
            (
                "a",
                Fact::Credential {
                    id: key('A'),
                    value: Some(Credential::Reader { reader: "screen".parse().unwrap() }),
                },
            ),
        ];
        assert_eq!(Wanted::at(&registry(facts.clone()), NOW).accounts[&AccountName::Readers], [].into());
        facts.push(("a", Fact::Team { id: "a".parse().unwrap(), value: None }));
        let wanted = Wanted::at(&registry(facts), NOW);
        assert_eq!(wanted.removed, ["a".parse().unwrap()].into());
        assert!(!wanted.accounts.contains_key(&agents("a")) && wanted.accounts.contains_key(&agents("b")));
        assert_eq!(wanted.accounts[&AccountName::Readers], [key('A')].into());
    }

    #[test]
    fn what_ended_by_itself_long_ago_is_no_burden() {
        let registry = registry(vec![team("a"), ("a", signed('A', "gone", NOW))]);
        assert_eq!(Wanted::at(&registry, NOW).accounts[&agents("a")], [key('A')].into());
        let much_later = UnixMs(NOW.0 + FORGOTTEN_AFTER_MS);
        assert_eq!(Wanted::at(&registry, much_later).accounts[&agents("a")], [].into());
    }

    #[test]
    fn a_key_of_which_nobody_knows_whose_it_is_is_refused_everywhere() {
        let registry = registry(vec![team("a"), ("a", Fact::Credential { id: key('A'), value: None })]);
        let wanted = Wanted::at(&registry, NOW);
        assert_eq!(wanted.accounts[&agents("a")], [key('A')].into());
        assert_eq!(wanted.accounts[&AccountName::Readers], [key('A')].into());
    }
}
