//! What is known of episodes, folded from ALERTS. Pure: no I/O, no clock.
//!
//! Every change of an episode counts up one number, and each episode stands once in the order of its newest change, as
//! hosts do in the fleet: whoever knows everything up to a change asks for what stands behind it.

use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Bound;
use utoipa::ToSchema;
use watchkeeper_schemas::episode::{AlertEvent, TransitionWord};
use watchkeeper_schemas::ids::{EpisodeId, TeamId};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::rule::Severity;

/// Episodes of a team that are kept in memory; older ones that are over are read from the log.
pub const EPISODES_KEPT_MAX: usize = 20_000;
/// Transitions of an episode that are kept in memory.
const EVENTS_KEPT_MAX: usize = 64;

/// Whether an episode is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EpisodeState {
    /// It goes on.
    Open,
    /// It is over.
    Resolved,
}

/// One opening and closing of an alert.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EpisodeView {
    /// The episode, for ever.
    pub id: EpisodeId,
    /// Of which rule.
    pub rule: String,
    /// What the rule was called then; nothing for a built-in one.
    #[schema(required)]
    pub rule_name: Option<String>,
    /// On which host; `_` for the whole team.
    pub host: String,
    /// Of which series; empty for scalars.
    pub series: String,
    /// Its number.
    pub episode: u64,
    /// Whether it is open.
    pub state: EpisodeState,
    /// How bad it is, or was at the end.
    pub level: Severity,
    /// First sample that was true.
    #[schema(value_type = String, format = DateTime)]
    pub since: UnixMs,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    pub opened: UnixMs,
    /// When its end was decided.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub ended: Option<UnixMs>,
    /// From `since` to the end, in milliseconds.
    #[schema(required)]
    pub duration_ms: Option<u64>,
    /// The last value that decided.
    #[schema(required)]
    pub value: Option<f64>,
    /// The worst value.
    #[schema(required)]
    pub peak: Option<f64>,
    /// Why it is over.
    #[schema(required)]
    pub reason: Option<String>,
    /// Who looks after it.
    #[schema(required)]
    pub acknowledged_by: Option<String>,
    /// The rule tells nobody yet.
    pub shadow: bool,
    /// Found in back-filled samples.
    pub retro: bool,
}

/// An episode with what is kept of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// As lists show it.
    pub view: EpisodeView,
    /// Its transitions, in order.
    pub events: Vec<AlertEvent>,
    change: u64,
}

/// The episodes of one team.
#[derive(Debug, Default)]
pub struct TeamEpisodes {
    episodes: BTreeMap<EpisodeId, Episode>,
    /// In the order in which they were opened.
    opened: BTreeMap<(UnixMs, EpisodeId), EpisodeState>,
    order: BTreeMap<u64, EpisodeId>,
}

/// The episodes of every team.
#[derive(Debug, Default)]
pub struct Episodes {
    loaded: bool,
    change: u64,
    teams: BTreeMap<TeamId, TeamEpisodes>,
}

/// Withdrawn: nobody looks after it any more.
const WITHDRAWN: &str = "withdrawn";

impl Episode {
    /// An episode as its first transition shows it.
    #[must_use]
    pub fn begin(event: AlertEvent) -> Self {
        let view = EpisodeView {
            id: event.episode_id.clone(),
            rule: event.episode.rule.clone(),
            rule_name: event.rule_then.as_ref().map(|rule| rule.name.clone()),
            host: event.episode.host.clone(),
            series: event.episode.series.clone(),
            episode: event.episode.episode,
            state: EpisodeState::Open,
            level: event.level,
            since: event.since,
            opened: event.time,
            ended: None,
            duration_ms: None,
            value: event.value,
            peak: event.peak,
            reason: None,
            acknowledged_by: None,
            shadow: event.shadow,
            retro: event.retro,
        };
        let mut episode = Self { view, events: Vec::new(), change: 0 };
        episode.apply(event);
        episode
    }

    /// The number of its newest change.
    #[must_use]
    pub fn change(&self) -> u64 {
        self.change
    }

    /// The next transition; whether it was not known before.
    pub fn apply(&mut self, event: AlertEvent) -> bool {
        if self.events.iter().any(|known| known.id == event.id) {
            return false;
        }
        let view = &mut self.view;
        view.level = event.level;
        view.value = event.value.or(view.value);
        view.peak = event.peak.or(view.peak);
        match event.transition {
            TransitionWord::Fired | TransitionWord::Level => {}
            TransitionWord::Acked => {
                view.acknowledged_by = event.reason.clone().filter(|reason| reason != WITHDRAWN);
            }
            TransitionWord::Resolved => {
                view.state = EpisodeState::Resolved;
                view.ended = Some(event.time);
                view.duration_ms = event.duration_ms;
                view.reason.clone_from(&event.reason);
            }
        }
        // The first says how it began, the last how it ended.
        if self.events.len() >= EVENTS_KEPT_MAX {
            self.events.remove(1);
        }
        self.events.push(event);
        true
    }
}

impl Episodes {
    /// The number of the newest change.
    #[must_use]
    pub fn change(&self) -> u64 {
        self.change
    }

    /// Whether ALERTS was read to its end once.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// ALERTS has been read to its end.
    pub fn loaded(&mut self) {
        if !std::mem::replace(&mut self.loaded, true) {
            self.change += 1;
        }
    }

    /// The episodes of a team.
    #[must_use]
    pub fn team(&self, team: &TeamId) -> Option<&TeamEpisodes> {
        self.teams.get(team)
    }

    /// Folds a transition; one that was folded before changes nothing.
    pub fn apply(&mut self, event: AlertEvent) {
        let id = event.episode_id.clone();
        let team = self.teams.entry(event.team.clone()).or_default();
        let known = team.episodes.contains_key(&id);
        let episode = match team.episodes.get_mut(&id) {
            Some(episode) => {
                if !episode.apply(event) {
                    return;
                }
                episode
            }
            None => team.episodes.entry(id.clone()).or_insert_with(|| Episode::begin(event)),
        };
        self.change += 1;
        if known {
            team.order.remove(&episode.change);
        }
        episode.change = self.change;
        team.order.insert(self.change, id.clone());
        team.opened.insert((episode.view.opened, id), episode.view.state);
        team.bound();
    }
}

impl TeamEpisodes {
    /// An episode by its id.
    #[must_use]
    pub fn get(&self, id: &EpisodeId) -> Option<&Episode> {
        self.episodes.get(id)
    }

    /// Every episode, the one opened last first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Episode> {
        self.opened.keys().rev().filter_map(|(_, id)| self.episodes.get(id))
    }

    /// Episodes that changed after `change`, the longest unchanged first, each once.
    pub fn changed_after(&self, change: u64) -> impl Iterator<Item = &Episode> {
        let behind = self.order.range((Bound::Excluded(change), Bound::Unbounded));
        behind.filter_map(|(_, id)| self.episodes.get(id))
    }

    /// The oldest that are over make room.
    fn bound(&mut self) {
        while self.episodes.len() > EPISODES_KEPT_MAX {
            let over = self.opened.iter().find(|(_, state)| **state == EpisodeState::Resolved);
            let Some(key) = over.map(|(key, _)| key.clone()) else { return };
            self.opened.remove(&key);
            if let Some(episode) = self.episodes.remove(&key.1) {
                self.order.remove(&episode.change);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use watchkeeper_schemas::alerting::EpisodeRef;

    pub(crate) fn event(host: &str, number: u64, transition: TransitionWord, time: u64) -> AlertEvent {
        let (rule, host, series) = ("cpu".to_owned(), host.to_owned(), String::new());
        let episode = EpisodeRef { rule, host, series, episode: number };
        AlertEvent {
            v: 1,
            id: format!("{number}-{transition:?}-{time}"),
            team: "default".parse().unwrap(),
            episode_id: episode.id().unwrap(),
            episode,
            transition,
            level: Severity::Warning,
            reason: None,
            sequence: time,
            ordinal: 0,
            time: UnixMs(time),
            since: UnixMs(number),
            value: Some(91.0),
            peak: Some(99.0),
            duration_ms: None,
            shadow: false,
            retro: false,
            rule_then: None,
            samples: Vec::new(),
            muted_by: Vec::new(),
            evidence: None,
        }
    }

    fn folded(events: impl IntoIterator<Item = AlertEvent>) -> Episodes {
        let mut episodes = Episodes::default();
        events.into_iter().for_each(|event| episodes.apply(event));
        episodes
    }

    fn team(episodes: &Episodes) -> &TeamEpisodes {
        episodes.team(&"default".parse().unwrap()).unwrap()
    }

    #[test]
    fn an_episode_opens_is_looked_after_and_ends() {
        let (fired, acked) =
            (event("a", 5, TransitionWord::Fired, 10), event("a", 5, TransitionWord::Acked, 11));
        let acked = AlertEvent { reason: Some("ann".to_owned()), ..acked };
        let resolved = event("a", 5, TransitionWord::Resolved, 12);
        let resolved = AlertEvent { duration_ms: Some(7), reason: Some("ok".to_owned()), ..resolved };
        let mut episodes = folded([fired.clone(), acked]);
        let id = fired.episode_id.clone();
        assert_eq!(team(&episodes).get(&id).unwrap().view.acknowledged_by.as_deref(), Some("ann"));
        let withdrawn = event("a", 5, TransitionWord::Acked, 13);
        episodes.apply(AlertEvent { reason: Some("withdrawn".to_owned()), ..withdrawn });
        episodes.apply(resolved.clone());
        let before = episodes.change();
        episodes.apply(resolved);
        assert_eq!(episodes.change(), before, "a transition that comes again is news");
        let view = &team(&episodes).get(&id).unwrap().view;
        assert_eq!(
            (view.state, view.duration_ms, view.ended),
            (EpisodeState::Resolved, Some(7), Some(UnixMs(12)))
        );
        assert_eq!((view.acknowledged_by.as_ref(), view.reason.as_deref()), (None, Some("ok")));
    }

    #[test]
    fn whoever_knows_a_change_is_told_what_came_behind_it_once() {
        let mut episodes =
            folded([event("a", 1, TransitionWord::Fired, 1), event("b", 2, TransitionWord::Fired, 2)]);
        let known = episodes.change();
        episodes.apply(event("a", 1, TransitionWord::Level, 3));
        episodes.apply(event("a", 1, TransitionWord::Resolved, 4));
        let changed: Vec<_> = team(&episodes).changed_after(known).map(|it| it.view.host.as_str()).collect();
        assert_eq!(changed, ["a"]);
        let listed: Vec<_> = team(&episodes).newest_first().map(|it| it.view.host.as_str()).collect();
        assert_eq!(listed, ["b", "a"]);
    }

    #[test]
    fn memory_is_bounded_and_what_is_open_stays() {
        let mut episodes = Episodes::default();
        episodes.apply(event("open", 0, TransitionWord::Fired, 0));
        for number in 1..=EPISODES_KEPT_MAX as u64 + 10 {
            episodes.apply(event("a", number, TransitionWord::Fired, number));
            episodes.apply(event("a", number, TransitionWord::Resolved, number));
        }
        let team = team(&episodes);
        assert_eq!(team.newest_first().count(), EPISODES_KEPT_MAX);
        assert_eq!(team.newest_first().last().unwrap().view.host, "open");
        assert_eq!(team.order.len(), EPISODES_KEPT_MAX);
    }
}
