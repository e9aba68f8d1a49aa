//! How an agent keeps its credential: a valid sample in time makes it one for good, else it is taken back.
//!
//! Any gateway may judge; the journal takes the first judgement.

use crate::audit::{Audit, By};
use crate::fleet::watch::now;
use crate::hosting::enrolment::ACTIVATION_MS;
use crate::identity::{Change, Identity};
use crate::live::Live;
use axum::http::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use watchkeeper_schemas::audit::{Action, Deed, Via};
use watchkeeper_schemas::ids::{HostId, TeamId};
use watchkeeper_schemas::journal::{Enrolment, Fact, Host};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::JournalScope;

/// How often it is looked for first samples.
const LOOK: Duration = Duration::from_millis(250);

/// What becomes of an agent that was enrolled, with the broker's time of its host's newest sample; nothing while it is
/// still to be seen, or long decided.
#[must_use]
pub fn judge(enrolment: &Enrolment, received: Option<UnixMs>, now: UnixMs) -> Option<Enrolment> {
    let Enrolment::Activating { key, until } = enrolment else { return None };
    let enrolled = until.0.saturating_sub(ACTIVATION_MS);
    if received.is_some_and(|received| received.0 > enrolled) {
        return Some(Enrolment::Active { key: key.clone() });
    }
    (now > *until).then_some(Enrolment::Waiting { until: None })
}

struct Verdict {
    team: TeamId,
    id: HostId,
    host: Host,
    expected: u64,
}

/// Judges every agent that was enrolled, for as long as the program lives.
pub async fn watch(identity: Arc<Identity>, live: Arc<Live>, audit: Audit) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        for verdict in verdicts(&identity, &live) {
            carry_out(&identity, &audit, verdict).await;
        }
    }
}

fn verdicts(identity: &Identity, live: &Live) -> Vec<Verdict> {
    let Ok(registry) = identity.registry() else { return Vec::new() };
    let now = now();
    let fleet = live.fleet();
    let mut verdicts = Vec::new();
    for (team, facts) in registry.teams() {
        let heard = fleet.team(team);
        for (id, host) in facts.hosts.iter() {
            let received = heard.and_then(|team| team.hosts().get(id)?.heard.received);
            if let Some(enrolment) = judge(&host.enrolment, received, now) {
                let (host, expected) = (Host { enrolment, ..host.clone() }, facts.hosts.revision(id));
                verdicts.push(Verdict { team: team.clone(), id: id.clone(), host, expected });
            }
        }
    }
    verdicts
}

async fn carry_out(identity: &Identity, audit: &Audit, verdict: Verdict) {
    let Verdict { team, id, host, expected } = verdict;
    let scope = JournalScope::Team(team);
    let is_kept = matches!(host.enrolment, Enrolment::Active { .. });
    let cause = if is_kept { "the first sample came" } else { "no sample came in time" };
    let fact = Fact::Host { id: id.clone(), value: Some(host) };
    let change = Change { author: "gateway", cause, scope: scope.clone(), fact, expected };
    match identity.record(change).await {
        Ok(_) if !is_kept => {
            let by = By { actor: None, via: Via::Machine, from: None };
            let after = Some(serde_json::json!({ "why": cause }));
            audit.tell(scope, Deed { after, ..by.did(Action::EnrolmentEnd, &id) }).await;
        }
        Ok(_) => {}
        // Another gateway, or somebody who edits the host: the next look sees what is left to do.
        Err(problem) if problem.status() == StatusCode::CONFLICT => {}
        Err(problem) => tracing::warn!(%id, detail = problem.detail(), "an enrolment is still to be judged"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchkeeper_schemas::ids::PublicKey;

    #[test]
    fn a_sample_behind_the_enrolment_makes_it_good_and_silence_ends_it() {
        let key: PublicKey = format!("U{}", "A".repeat(55)).parse().unwrap();
        let enrolled = 1_000_000;
        let enrolment = Enrolment::Activating { key: key.clone(), until: UnixMs(enrolled + ACTIVATION_MS) };
        let judged =
            |received: Option<u64>, after| judge(&enrolment, received.map(UnixMs), UnixMs(enrolled + after));
        let active = Some(Enrolment::Active { key: key.clone() });
        assert_eq!(judged(Some(enrolled + 1), 5), active);
        assert_eq!(judged(Some(enrolled + 1), ACTIVATION_MS + 1), active, "a gateway that was away");
        assert_eq!(judged(Some(enrolled), 5), None, "a sample of an agent before");
        assert_eq!(judged(None, ACTIVATION_MS), None);
        assert_eq!(judged(None, ACTIVATION_MS + 1), Some(Enrolment::Waiting { until: None }));
        for decided in [Enrolment::Waiting { until: None }, Enrolment::Active { key }] {
            assert_eq!(judge(&decided, Some(UnixMs(1)), UnixMs(u64::MAX)), None);
        }
    }
}
