//! The delivery log, folded from NOTICES: what was decided, each attempt with its answer, what became of it. Pure: no
//! I/O, no clock.
//!
//! Changes are counted as those of episodes are: whoever knows everything up to a change asks for what stands behind it.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use utoipa::ToSchema;
use watchkeeper_schemas::ids::{EpisodeId, TeamId, UserId};
use watchkeeper_schemas::notice::{
    Answer, AnswerWord, Attempt, Intent, NoticeResult, NoticeWord, ResultWord, TestNotice,
};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::receiver::ChannelKind;
use watchkeeper_schemas::rule::Severity;

/// Notices of a team that are kept in memory; those that are over make room first.
pub const NOTICES_KEPT_MAX: usize = 20_000;
/// Attempts of a notice that are kept in memory: the first, and the newest.
const ATTEMPTS_KEPT_MAX: usize = 32;
/// Notices of one episode that are shown.
const OF_EPISODE_MAX: usize = 256;
/// Characters of an answer that are kept.
const DETAIL_CHARS_MAX: usize = 500;

/// What became of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoticeState {
    /// It is to be told.
    Waiting,
    /// It is recorded only: its rule is in shadow and tells nobody.
    Shadow,
    /// It arrived, in a message of its own or as the first of one.
    Delivered,
    /// It arrived as part of another's message.
    Merged,
    /// It had become untrue or needless before it could be sent.
    Superseded,
    /// It was refused, or could not be sent for too long.
    Failed,
}

impl NoticeState {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Shadow => "shadow",
            Self::Delivered => "delivered",
            Self::Merged => "merged",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
        }
    }
}

impl From<ResultWord> for NoticeState {
    fn from(word: ResultWord) -> Self {
        match word {
            ResultWord::Delivered => Self::Delivered,
            ResultWord::Merged => Self::Merged,
            ResultWord::Superseded => Self::Superseded,
            ResultWord::Failed => Self::Failed,
        }
    }
}

/// One try to hand a message to its channel.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AttemptView {
    /// The notice that led the message.
    pub lead: String,
    /// Which try of that message, from 1.
    pub k: u32,
    /// When it was begun.
    #[schema(value_type = String, format = DateTime)]
    pub time: UnixMs,
    /// How many notices the message told.
    pub told: usize,
    /// An earlier try may have arrived, which the message says.
    pub possible_repeat: bool,
    /// What the channel answered; nothing until it did.
    #[schema(required)]
    pub answer: Option<AnswerWord>,
    /// In its words, as far as they may be shown.
    #[schema(required)]
    pub detail: Option<String>,
    /// When it answered.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub answered: Option<UnixMs>,
    /// When it wants to be asked again, in milliseconds from then.
    #[schema(required)]
    pub retry_after_ms: Option<u64>,
}

/// A notice as it was decided, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NoticeView {
    /// What tells it from every other one.
    pub id: String,
    /// To whom.
    pub receiver: String,
    /// Somebody wanted to see that messages arrive, and it is about no alert.
    pub test: bool,
    /// Who wanted to see that; of a test only.
    #[schema(required)]
    pub by: Option<UserId>,
    /// Which alert it is about.
    #[schema(required)]
    pub alert: Option<EpisodeId>,
    /// Of which rule; empty for a test.
    pub rule: String,
    /// What the rule was called then; nothing for a built-in one.
    #[schema(required)]
    pub rule_name: Option<String>,
    /// On which host; `_` for the whole team, empty for a test.
    pub host: String,
    /// Of which series.
    pub series: String,
    /// What it says; nothing for a test.
    #[schema(required)]
    pub notice: Option<NoticeWord>,
    /// Which one of its kind in the episode, from 1.
    pub n: u32,
    /// How bad it is.
    #[schema(required)]
    pub level: Option<Severity>,
    /// Episodes that came and went unheard before this one.
    pub short_episodes: u32,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    pub time: UnixMs,
    /// What became of it.
    pub state: NoticeState,
    /// By which channel, once that is known.
    #[schema(required)]
    pub channel: Option<ChannelKind>,
    /// Why, in words, as far as they may be shown.
    #[schema(required)]
    pub detail: Option<String>,
    /// The notice whose message told it.
    #[schema(required)]
    pub into: Option<String>,
    /// The channel's id of the message.
    #[schema(required)]
    pub message: Option<String>,
    /// When that was settled.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub ended: Option<UnixMs>,
    /// Each try that told it, in order.
    pub attempts: Vec<AttemptView>,
}

/// A notice as it is kept: tries stand with the notice that leads the message, the others point there.
#[derive(Debug)]
struct Notice {
    view: NoticeView,
    /// The leads and numbers of messages that told it for another.
    told_by: Vec<(String, u32)>,
    /// Those that wait with it for the answer to its newest try.
    members: Vec<String>,
    place: u64,
    change: u64,
}

/// The notices of one team.
#[derive(Debug, Default)]
pub struct TeamNotices {
    notices: BTreeMap<String, Notice>,
    order: BTreeMap<u64, String>,
    /// In the order in which they were decided.
    decided: BTreeMap<u64, String>,
    of_receiver: BTreeMap<String, BTreeMap<u64, String>>,
    of_episode: BTreeMap<EpisodeId, Vec<String>>,
    waiting: BTreeSet<(UnixMs, String)>,
    /// The places of those that do not wait.
    over: BTreeSet<u64>,
    /// When each test was asked for, by its place.
    tests: BTreeMap<u64, UnixMs>,
    /// The place in JOURNAL of the newest fact about receivers, and its change.
    receivers: (u64, u64),
}

/// The notices of every team.
#[derive(Debug, Default)]
pub struct Notices {
    loaded: bool,
    change: u64,
    teams: BTreeMap<TeamId, TeamNotices>,
    counts: BTreeMap<(Option<ChannelKind>, NoticeState), u64>,
}

fn cut(text: &str) -> String {
    text.chars().take(DETAIL_CHARS_MAX).collect()
}

impl Notices {
    /// The number of the newest change.
    #[must_use]
    pub fn change(&self) -> u64 {
        self.change
    }

    /// Whether NOTICES was read to its end once.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// NOTICES has been read to its end.
    pub fn loaded(&mut self) {
        if !std::mem::replace(&mut self.loaded, true) {
            self.change += 1;
        }
    }

    /// The notices of a team.
    #[must_use]
    pub fn team(&self, team: &TeamId) -> Option<&TeamNotices> {
        self.teams.get(team)
    }

    /// Results by channel and outcome, as far back as NOTICES goes.
    pub fn counts(&self) -> impl Iterator<Item = ((Option<ChannelKind>, NoticeState), u64)> {
        self.counts.iter().map(|(key, count)| (*key, *count))
    }

    /// How many notices wait, and since when the first of them does.
    #[must_use]
    pub fn waiting(&self) -> (usize, Option<UnixMs>) {
        let count = self.teams.values().map(|team| team.waiting.len()).sum();
        let first = self.teams.values().filter_map(|team| team.waiting.first()).map(|(time, _)| *time);
        (count, first.min())
    }

    /// Something about a team's receivers was recorded at this place of JOURNAL.
    pub fn receivers_changed(&mut self, team: &TeamId, revision: u64) {
        let team = self.teams.entry(team.clone()).or_default();
        if team.receivers.0 < revision {
            self.change += 1;
            team.receivers = (revision, self.change);
        }
    }

    /// Folds an intent, which stands at this place of NOTICES.
    pub fn decide(&mut self, place: u64, intent: Intent) {
        let view = NoticeView {
            id: intent.id,
            receiver: intent.receiver,
            test: false,
            by: None,
            alert: Some(intent.episode_id),
            rule: intent.episode.rule,
            rule_name: intent.rule_then.map(|rule| rule.name),
            host: intent.episode.host,
            series: intent.episode.series,
            notice: Some(intent.notice),
            n: intent.n,
            level: Some(intent.level),
            short_episodes: intent.short_episodes,
            time: intent.time,
            state: if intent.shadow { NoticeState::Shadow } else { NoticeState::Waiting },
            ..nothing()
        };
        self.add(&intent.team, place, view);
    }

    /// Folds the wish to test a receiver.
    pub fn test(&mut self, place: u64, test: TestNotice) {
        let TestNotice { v: _, id, team, receiver, by, time } = test;
        let (test, by, receiver) = (true, Some(by), receiver.to_string());
        self.add(&team, place, NoticeView { id, receiver, test, by, time, ..nothing() });
    }

    fn add(&mut self, team: &TeamId, place: u64, view: NoticeView) {
        let team = self.teams.entry(team.clone()).or_default();
        if team.notices.contains_key(&view.id) {
            return;
        }
        let id = view.id.clone();
        team.decided.insert(place, id.clone());
        if view.test {
            team.tests.insert(place, view.time);
        }
        team.of_receiver.entry(view.receiver.clone()).or_default().insert(place, id.clone());
        if let Some(episode) = &view.alert {
            team.of_episode.entry(episode.clone()).or_default().push(id.clone());
        }
        if view.state == NoticeState::Waiting {
            team.waiting.insert((view.time, id.clone()));
        } else {
            team.over.insert(place);
        }
        let notice = Notice { view, told_by: Vec::new(), members: Vec::new(), place, change: 0 };
        team.notices.insert(id.clone(), notice);
        team.touch(&mut self.change, &id);
        team.bound();
    }

    /// Folds an attempt: it is one of every notice that its message tells.
    pub fn attempt(&mut self, attempt: Attempt) {
        let Attempt { v: _, id, k, team, receiver: _, members, possible_repeat, time } = attempt;
        let Some(team) = self.teams.get_mut(&team) else { return };
        let told = members.len().max(1);
        let view = AttemptView {
            lead: id.clone(),
            k,
            time,
            told,
            possible_repeat,
            answer: None,
            detail: None,
            answered: None,
            retry_after_ms: None,
        };
        let others: Vec<String> = members.into_iter().filter(|member| *member != id).collect();
        for member in &others {
            if let Some(notice) = team.notices.get_mut(member) {
                push(&mut notice.told_by, (id.clone(), k));
                team.touch(&mut self.change, member);
            }
        }
        if let Some(notice) = team.notices.get_mut(&id) {
            push(&mut notice.view.attempts, view);
            notice.members = others;
            team.touch(&mut self.change, &id);
        }
    }

    /// Folds what a channel answered.
    pub fn answer(&mut self, answer: Answer) {
        let Some(team) = self.teams.get_mut(&answer.team) else { return };
        let Some(notice) = team.notices.get_mut(&answer.id) else { return };
        let Some(attempt) = notice.view.attempts.iter_mut().find(|it| it.k == answer.k) else { return };
        attempt.answer = Some(answer.answer);
        attempt.detail = Some(cut(&answer.detail)).filter(|detail| !detail.is_empty());
        attempt.answered = Some(answer.time);
        attempt.retry_after_ms = answer.retry_after_ms;
        for id in std::mem::take(&mut notice.members).iter().chain([&answer.id]) {
            team.touch(&mut self.change, id);
        }
    }

    /// Folds what became of a notice in the end.
    pub fn result(&mut self, result: NoticeResult) {
        let state = NoticeState::from(result.outcome);
        *self.counts.entry((result.channel, state)).or_default() += 1;
        let Some(team) = self.teams.get_mut(&result.team) else { return };
        let Some(notice) = team.notices.get_mut(&result.id) else { return };
        let view = &mut notice.view;
        view.state = state;
        (view.channel, view.into, view.message) = (result.channel, result.into, result.message);
        view.detail = result.detail.map(|detail| cut(&detail));
        view.ended = Some(result.time);
        team.waiting.remove(&(view.time, result.id.clone()));
        team.over.insert(notice.place);
        team.touch(&mut self.change, &result.id);
    }
}

/// The first says how it began, the last how it ended.
fn push<T>(kept: &mut Vec<T>, item: T) {
    if kept.len() >= ATTEMPTS_KEPT_MAX {
        kept.remove(1);
    }
    kept.push(item);
}

fn nothing() -> NoticeView {
    NoticeView {
        id: String::new(),
        receiver: String::new(),
        test: false,
        by: None,
        alert: None,
        rule: String::new(),
        rule_name: None,
        host: String::new(),
        series: String::new(),
        notice: None,
        n: 1,
        level: None,
        short_episodes: 0,
        time: UnixMs(0),
        state: NoticeState::Waiting,
        channel: None,
        detail: None,
        into: None,
        message: None,
        ended: None,
        attempts: Vec::new(),
    }
}

impl TeamNotices {
    /// What was to be told of an episode, in order; the newest of very many.
    pub fn of_episode(&self, id: &EpisodeId) -> Vec<NoticeView> {
        let ids = self.of_episode.get(id).map_or(&[][..], Vec::as_slice);
        let newest = ids.len().saturating_sub(OF_EPISODE_MAX);
        ids[newest..].iter().filter_map(|id| self.view(id)).collect()
    }

    /// What was to be told to a receiver, the newest first.
    pub fn of_receiver(&self, receiver: &str) -> impl Iterator<Item = NoticeView> {
        let ids = self.of_receiver.get(receiver).into_iter().flat_map(|ids| ids.values().rev());
        ids.filter_map(|id| self.view(id))
    }

    /// What was tried last for a receiver, or is over: what waits untried and what shadow records say nothing of it.
    #[must_use]
    pub fn last_of_receiver(&self, receiver: &str) -> Option<NoticeView> {
        let ids = self.of_receiver.get(receiver).into_iter().flat_map(|ids| ids.values().rev());
        let notices = ids.filter_map(|id| self.notices.get(id));
        let told = notices.map(|it| &it.view).find(|it| {
            matches!(it.state, NoticeState::Delivered | NoticeState::Merged | NoticeState::Failed)
        });
        told.and_then(|it| self.view(&it.id))
    }

    /// Whether a test of a receiver waits.
    #[must_use]
    pub fn test_waits(&self, receiver: &str) -> bool {
        let waits = |id: &str| {
            let view = self.notices.get(id).map(|it| &it.view);
            view.is_some_and(|it| it.test && it.receiver == receiver)
        };
        self.waiting.iter().any(|(_, id)| waits(id))
    }

    /// When tests were asked for at this time or later, the newest first.
    pub fn tests_since(&self, time: UnixMs) -> impl Iterator<Item = UnixMs> {
        self.tests.values().rev().copied().take_while(move |asked| *asked >= time)
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The newest fact about its receivers, where that changed after `change`.
    #[must_use]
    pub fn receivers_after(&self, change: u64) -> Option<u64> {
        (self.receivers.1 > change).then_some(self.receivers.0)
    }

    /// Notices that changed after `change`, the longest unchanged first, each once with its newest change.
    pub fn changed_after(&self, change: u64) -> impl Iterator<Item = (u64, NoticeView)> {
        let behind = self.order.range((Bound::Excluded(change), Bound::Unbounded));
        behind.filter_map(|(change, id)| Some((*change, self.view(id)?)))
    }

    fn view(&self, id: &str) -> Option<NoticeView> {
        let notice = self.notices.get(id)?;
        let mut view = notice.view.clone();
        let told_by = notice.told_by.iter().filter_map(|(lead, k)| {
            self.notices.get(lead)?.view.attempts.iter().find(|it| it.k == *k).cloned()
        });
        view.attempts.extend(told_by);
        view.attempts.sort_by_key(|it| it.time);
        if view.message.is_none() {
            let told = view.into.as_ref().and_then(|into| self.notices.get(into));
            view.message = told.and_then(|it| it.view.message.clone());
        }
        Some(view)
    }

    fn touch(&mut self, change: &mut u64, id: &str) {
        let Some(notice) = self.notices.get_mut(id) else { return };
        *change += 1;
        self.order.remove(&notice.change);
        notice.change = *change;
        self.order.insert(*change, id.to_owned());
    }

    /// The oldest that are over make room, then the oldest.
    fn bound(&mut self) {
        while self.notices.len() > NOTICES_KEPT_MAX {
            let oldest = self.over.first().or_else(|| self.decided.keys().next()).copied();
            let Some(place) = oldest else { return };
            self.forget(place);
        }
    }

    fn forget(&mut self, place: u64) {
        let Some(notice) = self.decided.remove(&place).and_then(|id| self.notices.remove(&id)) else {
            return;
        };
        let Notice { view, change, place, .. } = notice;
        self.order.remove(&change);
        self.over.remove(&place);
        self.tests.remove(&place);
        self.waiting.remove(&(view.time, view.id.clone()));
        if let Some(ids) = self.of_receiver.get_mut(&view.receiver) {
            ids.remove(&place);
            if ids.is_empty() {
                self.of_receiver.remove(&view.receiver);
            }
        }
        let Some(episode) = view.alert else { return };
        if let Some(ids) = self.of_episode.get_mut(&episode) {
            ids.retain(|id| *id != view.id);
            if ids.is_empty() {
                self.of_episode.remove(&episode);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
