//! What JOURNAL says, as the machine of a team takes it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use watchkeeper_schemas::alerting::{AlertFact, WatchedHost};
use watchkeeper_schemas::episode::RuleThen;
use watchkeeper_schemas::ids::{HostId, RuleId, TeamId};
use watchkeeper_schemas::journal::{Behind, Fact, Host, JournalEvent};
use watchkeeper_schemas::subjects::{JournalScope, JournalSubject};

/// One fact that concerns alerts, at its place in JOURNAL.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub(super) sequence: u64,
    pub(super) team: TeamId,
    event: JournalEvent,
}

/// What of a team's facts the machine does not keep, or not as evidence needs it.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Known {
    hosts: BTreeSet<HostId>,
    rules: BTreeMap<RuleId, RuleThen>,
}

/// Reads an event of JOURNAL; none: it does not concern alerts, or is no fact (which those who fold all facts tell).
pub(super) fn read(sequence: u64, subject: &str, payload: &[u8]) -> Option<Placed> {
    let subject: JournalSubject = subject.parse().ok()?;
    let JournalScope::Team(team) = &subject.scope else { return None };
    let event: JournalEvent = serde_json::from_slice(payload).ok()?;
    let about = JournalSubject::of(subject.scope.clone(), &event.fact)?;
    let concerns = match event.fact {
        Fact::Team { .. }
        | Fact::Host { .. }
        | Fact::Rule { .. }
        | Fact::Silence { .. }
        | Fact::Acknowledgement { .. }
        | Fact::Resolution { .. }
        | Fact::AlertDefaults { .. }
        | Fact::Receiver { .. }
        | Fact::ReceiverFailure { .. }
        | Fact::Behind { value: Some(_), .. } => true,
        Fact::User { .. }
        | Fact::Token { .. }
        | Fact::Member { .. }
        | Fact::Invitation { .. }
        | Fact::Reader { .. }
        | Fact::Credential { .. }
        | Fact::Flag { .. }
        | Fact::LinkOffer { .. }
        | Fact::Chat { .. }
        | Fact::Bot { .. }
        | Fact::BotState { .. }
        | Fact::Behind { value: None, .. }
        // Its windows are silences, which come by themselves.
        | Fact::Maintenance { .. } => false,
    };
    (concerns && about == subject).then(|| Placed { sequence, team: team.clone(), event })
}

impl Known {
    /// The rule as it is now.
    pub(super) fn rule(&self, id: &str) -> Option<&RuleThen> {
        self.rules.get(&id.parse().ok()?)
    }

    /// What the machine is told of a fact.
    pub(super) fn take(&mut self, placed: Placed) -> Vec<AlertFact> {
        let JournalEvent { author, fact, .. } = placed.event;
        match fact {
            Fact::Team { value: Some(_), .. } => Vec::new(),
            Fact::Team { value: None, .. } => self.end(),
            Fact::Host { id, value } => {
                if value.is_some() {
                    self.hosts.insert(id.clone());
                } else {
                    self.hosts.remove(&id);
                }
                vec![AlertFact::Host { id, value: value.map(watched) }]
            }
            Fact::Rule { id, value } => {
                match &value {
                    Some(rule) => {
                        let (name, text) = (rule.name.clone(), rule.rule.text.clone());
                        self.rules.insert(id.clone(), RuleThen { revision: placed.sequence, name, text });
                    }
                    None => _ = self.rules.remove(&id),
                }
                vec![AlertFact::Rule { id, value: value.map(|rule| rule.rule) }]
            }
            Fact::Silence { id, value } => vec![AlertFact::Silence { id: id.to_string(), value }],
            Fact::Acknowledgement { episode, value } => {
                vec![AlertFact::Ack { episode, value: value.map(|_| author) }]
            }
            Fact::Resolution { episode, value: Some(_) } => vec![AlertFact::Resolve { episode, by: author }],
            Fact::AlertDefaults { value, .. } => {
                vec![AlertFact::Defaults { value: value.unwrap_or_default() }]
            }
            Fact::Receiver { id, value } => {
                vec![AlertFact::Hears { id: id.to_string(), value: value.map(|it| it.hears_from) }]
            }
            Fact::ReceiverFailure { id, value } => {
                vec![AlertFact::Receiver { id: id.to_string(), value: value.map(|failure| failure.answer) }]
            }
            Fact::Behind { value: Some(Behind { from, until }), .. } => {
                vec![AlertFact::Behind { from, until }]
            }
            Fact::Resolution { value: None, .. }
            | Fact::Behind { value: None, .. }
            | Fact::User { .. }
            | Fact::Token { .. }
            | Fact::Member { .. }
            | Fact::Invitation { .. }
            | Fact::Reader { .. }
            | Fact::Credential { .. }
            | Fact::Flag { .. }
            | Fact::LinkOffer { .. }
            | Fact::Chat { .. }
            | Fact::Bot { .. }
            | Fact::BotState { .. }
            | Fact::Maintenance { .. } => Vec::new(),
        }
    }

    /// The team is removed: so is everything that it watched.
    fn end(&mut self) -> Vec<AlertFact> {
        let rules = std::mem::take(&mut self.rules).into_keys();
        let hosts = std::mem::take(&mut self.hosts).into_iter();
        let rules = rules.map(|id| AlertFact::Rule { id, value: None });
        rules.chain(hosts.map(|id| AlertFact::Host { id, value: None })).collect()
    }
}

fn watched(host: Host) -> WatchedHost {
    WatchedHost { tags: host.tags, paused: host.paused, interval_ms: host.interval_ms }
}
