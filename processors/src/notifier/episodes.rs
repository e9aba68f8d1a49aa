//! Which episodes are open and who looks after them, folded from ALERTS. Pure.

use std::collections::BTreeMap;
use watchkeeper_schemas::episode::{AlertEvent, TransitionWord};
use watchkeeper_schemas::ids::{EpisodeId, TeamId};
use watchkeeper_schemas::rule::Severity;

/// Open episodes of a team that are known at most; beyond, the oldest are forgotten.
const OPEN_MAX: usize = 100_000;
/// What ALERTS says instead of a name when nobody looks after an episode any more.
const WITHDRAWN: &str = "withdrawn";

/// An open episode.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// Its newest transition.
    pub newest: AlertEvent,
    /// Who looks after it.
    pub acknowledged_by: Option<String>,
    /// How bad it was when they said so.
    pub acknowledged_at: Option<Severity>,
}

/// The open episodes of every team. What shadow rules and back-filled samples found is not among them.
#[derive(Debug, Clone, Default)]
pub struct Episodes(BTreeMap<TeamId, BTreeMap<EpisodeId, Open>>);

impl Episodes {
    /// Folds a transition; one that comes again changes nothing that matters.
    pub fn apply(&mut self, event: AlertEvent) {
        if event.shadow || event.retro {
            return;
        }
        let team = self.0.entry(event.team.clone()).or_default();
        let id = event.episode_id.clone();
        let known = team.remove(&id);
        let (acknowledged_by, acknowledged_at) = match event.transition {
            TransitionWord::Resolved => return,
            TransitionWord::Acked => {
                let by = event.reason.clone().filter(|reason| reason != WITHDRAWN);
                let at = by.as_ref().map(|_| event.level);
                (by, at)
            }
            TransitionWord::Fired | TransitionWord::Level => {
                known.map_or((None, None), |open| (open.acknowledged_by, open.acknowledged_at))
            }
        };
        team.insert(id, Open { newest: event, acknowledged_by, acknowledged_at });
        if team.len() > OPEN_MAX
            && let Some(oldest) = team.iter().min_by_key(|(_, open)| open.newest.episode.episode)
        {
            let oldest = oldest.0.clone();
            team.remove(&oldest);
        }
    }

    /// Whether somebody looks after an open episode that is no worse than it was then.
    #[must_use]
    pub fn is_acknowledged(&self, team: &TeamId, id: &EpisodeId, level: Severity) -> bool {
        self.get(team, id).and_then(|open| open.acknowledged_at).is_some_and(|at| level <= at)
    }

    /// An episode that is open.
    #[must_use]
    pub fn get(&self, team: &TeamId, id: &EpisodeId) -> Option<&Open> {
        self.0.get(team)?.get(id)
    }

    /// Every open episode of a team, by its id.
    pub fn of(&self, team: &TeamId) -> impl Iterator<Item = (&EpisodeId, &Open)> {
        self.0.get(team).into_iter().flatten()
    }
}
