//! What is to be done now for one receiver: what to send, what to record without sending, and until when to wait. Pure:
//! the clock is an argument.
//!
//! All undelivered notices of one episode become one line with its present state. A message takes everything that is
//! undelivered when it is sent; what is over and told late goes apart, without a sound.

use super::book::{Owed, Queue, To};
use super::episodes::Episodes;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use watchkeeper_schemas::alerting::EpisodeRef;
use watchkeeper_schemas::ids::EpisodeId;
use watchkeeper_schemas::notice::{AnswerWord, Intent, NoticeWord, ResultWord, TestNotice};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::rule::Severity;

/// What comes together within this goes out together.
const GATHER_MS: u64 = 30_000;
/// The same, where somebody is to be woken.
const GATHER_URGENT_MS: u64 = 5_000;
/// What is over is told without a sound once it is so late.
const LATE_MS: u64 = 300_000;
/// What could not be delivered within this is given up.
const GIVEN_UP_MS: u64 = 24 * 3_600_000;
/// A receiver that was just made may be named before the facts about it arrive here.
const UNKNOWN_MS: u64 = 5_000;
/// Intents that one message tells, and so its lines.
pub const MEMBERS_MAX: usize = 500;
/// Episodes of which is looked up at once whether the receiver heard of them.
const QUESTIONS_MAX: usize = 50;

/// Whether there is a way to a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// There is.
    Open,
    /// Nothing was ever known of it here.
    Unknown,
    /// There is none, in words; where a person can make one it is told as a failure.
    Closed {
        /// In words.
        why: String,
        /// Whether it is the receiver that fails.
        is_failure: bool,
    },
}

/// What a plan is made of.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The clock.
    pub now: UnixMs,
    /// For whom.
    pub to: &'a To,
    /// Everything about them.
    pub queue: &'a Queue,
    /// How to reach them.
    pub way: &'a Way,
    /// What is open.
    pub episodes: &'a Episodes,
    /// From when on the channel may be called; none: not before a call that is under way is over.
    pub free_at: Option<UnixMs>,
}

/// What is to be done now; everything in it at once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Results that what was answered owes; with them nothing else is done.
    pub owed: Option<Owed>,
    /// What is at its end without being sent.
    pub verdicts: Vec<Verdict>,
    /// The receiver cannot be reached, in words: to be recorded as its failure.
    pub failure: Option<String>,
    /// Did the receiver hear of these episodes?
    pub questions: Vec<EpisodeRef>,
    /// To be handed over.
    pub send: Option<Dispatch>,
    /// When to look again though nothing happens.
    pub wake: Option<UnixMs>,
}

/// The end of an intent.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Of which.
    pub id: String,
    /// What became of it.
    pub outcome: ResultWord,
    /// In words.
    pub detail: Option<String>,
    /// The intent whose message told it, or tried to.
    pub into: Option<String>,
    /// The channel's id of the message.
    pub message: Option<String>,
}

/// A message that is to be handed over.
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// The intent that leads it.
    pub lead: String,
    /// Which attempt of that one.
    pub k: u32,
    /// Every intent that it tells.
    pub members: Vec<String>,
    /// An earlier attempt may have arrived.
    pub possible_repeat: bool,
    /// Nobody is to be woken.
    pub silent: bool,
    /// What it says.
    pub says: Says,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum Says {
    /// That messages arrive.
    Test(TestNotice),
    /// How episodes do, the worst first; each channel leaves out what goes beyond its own limit, and counts it.
    Episodes(Vec<Said>),
}

/// What is said of one episode.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// The newest intent about it.
    pub newest: Intent,
    /// What is said.
    pub notice: NoticeWord,
    /// It is over.
    pub is_over: bool,
    /// Episodes that came and went unheard before.
    pub short_episodes: u32,
    /// Every intent that says so, in order.
    members: Vec<String>,
    /// Nobody is to be woken by it.
    is_late: bool,
    /// When it is to be told.
    due: UnixMs,
}

#[cfg(test)]
impl Said {
    /// One notice alone.
    pub(super) fn of(newest: Intent, notice: NoticeWord) -> Self {
        let (is_over, members) = (notice == NoticeWord::Resolved, vec![newest.id.clone()]);
        let (short_episodes, due) = (newest.short_episodes, newest.time);
        Self { newest, notice, is_over, short_episodes, members, is_late: false, due }
    }
}

/// What is to be done now for a receiver.
#[must_use]
pub fn plan(ask: &Ask<'_>) -> Plan {
    let mut plan = Plan { owed: ask.queue.owed(), ..Plan::default() };
    if plan.owed.is_some() {
        return plan;
    }
    if let Some(until) = ask.queue.under_way_until().filter(|until| *until > ask.now) {
        plan.wake_at(until);
        return plan;
    }
    let given_up = |since: UnixMs| since.0 + GIVEN_UP_MS <= ask.now.0;
    match ask.way {
        Way::Open => {}
        Way::Unknown => {
            close_unknown(ask, &mut plan);
            return plan;
        }
        Way::Closed { why, is_failure } => {
            let ids = ask.queue.tests.values().map(|it| &it.what.id);
            let ids = ids.chain(ask.queue.intents.values().map(|it| &it.what.id));
            plan.verdicts.extend(ids.map(|id| failed(id, why)));
            plan.failure = Some(why.clone()).filter(|_| *is_failure && !plan.verdicts.is_empty());
            return plan;
        }
    }
    let mut episodes: BTreeMap<&EpisodeId, Vec<(UnixMs, &Intent)>> = BTreeMap::new();
    for open in ask.queue.intents.values() {
        if given_up(open.since) {
            plan.verdicts.push(failed(&open.what.id, &not_within_a_day(&ask.queue.last_said)));
        } else {
            episodes.entry(&open.what.episode_id).or_default().push((open.since, &open.what));
        }
    }
    let said: Vec<Said> = episodes.into_values().filter_map(|them| ask.say(them, &mut plan)).collect();
    if !ask.test(&mut plan) {
        ask.message(said, &mut plan);
    }
    plan
}

/// A receiver that nobody made fails what is for it, unless the facts may still be on their way.
fn close_unknown(ask: &Ask<'_>, plan: &mut Plan) {
    let tests = ask.queue.tests.values().map(|it| (it.since, &it.what.id));
    let intents = ask.queue.intents.values().map(|it| (it.since, &it.what.id));
    for (since, id) in tests.chain(intents) {
        let known_at = UnixMs(since.0 + UNKNOWN_MS);
        if known_at <= ask.now {
            plan.verdicts.push(failed(id, "no receiver of this name"));
        } else {
            plan.wake_at(known_at);
        }
    }
}

fn not_within_a_day(last_said: &str) -> String {
    let said = if last_said.is_empty() { String::new() } else { format!(": {last_said}") };
    format!("could not be delivered within 24 hours{said}")
}

/// The end of what can never be told.
#[must_use]
pub fn failed(id: &str, why: &str) -> Verdict {
    Verdict {
        id: id.to_owned(),
        outcome: ResultWord::Failed,
        detail: Some(why.to_owned()),
        into: None,
        message: None,
    }
}

fn superseded(it: &Intent, why: &str) -> Verdict {
    Verdict { outcome: ResultWord::Superseded, ..failed(&it.id, why) }
}

/// The results that an answer owes.
#[must_use]
pub fn verdicts(owed: &Owed) -> Vec<Verdict> {
    let answer = &owed.answer;
    let one = |id: &String| {
        let is_lead = *id == answer.id;
        let into = (!is_lead).then(|| answer.id.clone());
        match (answer.answer, is_lead) {
            (AnswerWord::Delivered, _) => Verdict {
                id: id.clone(),
                outcome: if is_lead { ResultWord::Delivered } else { ResultWord::Merged },
                detail: None,
                into,
                message: answer.message.clone(),
            },
            // Of what is tried again nothing is owed; a test is not.
            (AnswerWord::Refused | AnswerWord::NotNow | AnswerWord::Unknown, _) => {
                Verdict { into, ..failed(id, &answer.detail) }
            }
        }
    };
    owed.ids.iter().map(one).collect()
}

impl Plan {
    fn wake_at(&mut self, at: UnixMs) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}

/// What is said where several notices of an open episode are told as one.
fn rank(notice: NoticeWord) -> u8 {
    match notice {
        NoticeWord::Escalated => 5,
        NoticeWord::Firing => 4,
        NoticeWord::Flapping => 3,
        NoticeWord::LevelUp => 2,
        NoticeWord::Reminder => 1,
        NoticeWord::Steady | NoticeWord::Resolved => 0,
    }
}

fn decides_alone(notice: NoticeWord) -> bool {
    matches!(notice, NoticeWord::Steady | NoticeWord::Flapping | NoticeWord::Resolved)
}

impl Ask<'_> {
    /// One line of everything undelivered about one episode; none: there is nothing to say of it, or not yet.
    fn say(&self, mut them: Vec<(UnixMs, &Intent)>, plan: &mut Plan) -> Option<Said> {
        self.leave_out(&mut them, plan);
        let (_, newest) = *them.last()?;
        let begins = |(_, it): &(UnixMs, &Intent)| {
            matches!(it.notice, NoticeWord::Firing | NoticeWord::Escalated | NoticeWord::Flapping)
        };
        if newest.notice == NoticeWord::Resolved && !them.iter().any(begins) {
            match self.queue.told(&newest.episode_id) {
                Some(true) => {}
                Some(false) => {
                    let why = "that it began was never told";
                    plan.verdicts.extend(them.iter().map(|(_, it)| superseded(it, why)));
                    return None;
                }
                None => {
                    if plan.questions.len() < QUESTIONS_MAX {
                        plan.questions.push(newest.episode.clone());
                    }
                    return None;
                }
            }
        }
        let notice = match newest.notice {
            alone if decides_alone(alone) => alone,
            other => them.iter().map(|(_, it)| it.notice).max_by_key(|it| rank(*it)).unwrap_or(other),
        };
        let steady_over = notice == NoticeWord::Steady && newest.reason.as_deref() == Some("over");
        let is_over = notice == NoticeWord::Resolved || steady_over;
        let is_past = is_over || newest.duration_ms.is_some() || self.is_closed(newest);
        let urgent =
            |it: &Intent| !is_past && (it.level == Severity::Critical || it.notice == NoticeWord::Escalated);
        let due =
            |(since, it): &(UnixMs, &Intent)| since.0 + if urgent(it) { GATHER_URGENT_MS } else { GATHER_MS };
        Some(Said {
            newest: newest.clone(),
            notice,
            is_over,
            short_episodes: them.iter().map(|(_, it)| it.short_episodes).sum(),
            members: them.iter().map(|(_, it)| it.id.clone()).collect(),
            is_late: is_past && newest.time.0 + LATE_MS <= self.now.0,
            due: UnixMs(them.iter().map(due).min().unwrap_or(0)),
        })
    }

    /// An episode that ALERTS closed; single events are never open.
    fn is_closed(&self, it: &Intent) -> bool {
        self.episodes.get(&it.team, &it.episode_id).is_none() && it.time.0 + LATE_MS <= self.now.0
    }

    /// Ends what has become untrue or needless.
    fn leave_out(&self, them: &mut Vec<(UnixMs, &Intent)>, plan: &mut Plan) {
        let Some((_, newest)) = them.last().copied() else { return };
        let is_ending = them.iter().any(|(_, it)| it.notice == NoticeWord::Resolved);
        them.retain(|(_, it)| {
            let is_looked_after = || self.episodes.is_acknowledged(&it.team, &it.episode_id, it.level);
            let is_open = || self.episodes.get(&it.team, &it.episode_id).is_some();
            let why = match it.notice {
                NoticeWord::Reminder if is_ending || !is_open() => "it was over by then",
                NoticeWord::Reminder if is_looked_after() => "somebody looks after it",
                NoticeWord::Reminder if it.id != newest.id => "a newer notice says more",
                NoticeWord::Escalated if is_looked_after() => "somebody looks after it",
                NoticeWord::Reminder
                | NoticeWord::Escalated
                | NoticeWord::Steady
                | NoticeWord::Flapping
                | NoticeWord::Firing
                | NoticeWord::LevelUp
                | NoticeWord::Resolved => return true,
            };
            plan.verdicts.push(superseded(it, why));
            false
        });
    }

    /// A test goes before everything else, alone, and is tried once; whether one takes the receiver's turn.
    fn test(&self, plan: &mut Plan) -> bool {
        for test in self.queue.tests.values() {
            let id = &test.what.id;
            if self.queue.next_attempt(id) > 1 {
                plan.verdicts.push(failed(id, "it is not known whether it arrived"));
                continue;
            }
            if self.queue.asked_to_wait > self.now {
                let wait_s = (self.queue.asked_to_wait.0 - self.now.0).div_ceil(1000);
                plan.verdicts.push(failed(id, &format!("the channel asks to wait for {wait_s} s")));
                continue;
            }
            match self.free_at {
                Some(free) if free <= self.now => {
                    let (says, members) = (Says::Test(test.what.clone()), vec![id.clone()]);
                    let (lead, k) = (id.clone(), 1);
                    plan.send =
                        Some(Dispatch { lead, k, members, possible_repeat: false, silent: false, says });
                }
                Some(free) => plan.wake_at(free),
                None => {}
            }
            return true;
        }
        false
    }

    /// One message of all that is due, loud before late.
    fn message(&self, said: Vec<Said>, plan: &mut Plan) {
        let (late, loud): (Vec<_>, Vec<_>) = said.into_iter().partition(|it| it.is_late);
        for (said, silent) in [(loud, false), (late, true)] {
            let Some(due) = said.iter().map(|it| it.due).min() else { continue };
            let wait = due.max(self.queue.not_before).max(self.queue.asked_to_wait);
            match self.free_at {
                Some(free) if free.max(wait) <= self.now => {
                    plan.send = Some(self.dispatch(said, silent));
                    return;
                }
                Some(free) => plan.wake_at(free.max(wait)),
                // Who is called now is looked at again when that is over.
                None => {}
            }
        }
        let expiries = self.queue.intents.values().map(|it| UnixMs(it.since.0 + GIVEN_UP_MS));
        if let Some(first) = expiries.filter(|at| *at > self.now).min() {
            plan.wake_at(first);
        }
    }

    fn dispatch(&self, mut said: Vec<Said>, silent: bool) -> Dispatch {
        said.sort_by_key(|it| (it.is_over, Reverse(it.newest.level), it.newest.since, it.newest.sequence));
        let mut members = Vec::new();
        let fit = said.iter().take_while(|it| {
            let fits = members.is_empty() || members.len() + it.members.len() <= MEMBERS_MAX;
            if fits {
                members.extend(it.members.iter().cloned());
            }
            fits
        });
        let fit = fit.count();
        said.truncate(fit);
        members.truncate(MEMBERS_MAX);
        // Who led before leads again: channels that know such a thing tell a repeat by it.
        let before = members.iter().filter(|id| self.queue.next_attempt(id) > 1);
        let before = before.max_by_key(|id| (self.queue.next_attempt(id), Reverse((*id).clone())));
        let first = said.first().map(|it| it.newest.id.clone()).unwrap_or_default();
        let lead = before.cloned().unwrap_or(first);
        let k = self.queue.next_attempt(&lead);
        let possible_repeat = members.iter().any(|id| self.queue.may_have_arrived(id));
        members.sort_by_key(|id| *id != lead);
        Dispatch { lead, k, members, possible_repeat, silent, says: Says::Episodes(said) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::book::{Book, Record};
    use super::*;
    use watchkeeper_schemas::notice::{NoticeResult, intent_id};

    fn to() -> To {
        To { team: "default".parse().unwrap(), receiver: "ops".to_owned() }
    }

    fn intent(episode: u64, notice: NoticeWord, n: u32) -> Intent {
        let (rule, host, series) = ("r".to_owned(), "h".to_owned(), String::new());
        let episode = EpisodeRef { rule, host, series, episode };
        Intent {
            v: 1,
            id: intent_id(&to().team, &episode, notice, n, "ops"),
            team: to().team,
            episode_id: episode.id().unwrap(),
            episode,
            notice,
            n,
            receiver: "ops".to_owned(),
            level: Severity::Warning,
            reason: None,
            since: UnixMs(0),
            value: None,
            peak: None,
            duration_ms: None,
            short_episodes: 0,
            shadow: false,
            rule_then: None,
            sequence: 1,
            time: UnixMs(0),
        }
    }

    fn look(book: &Book, now: u64) -> Plan {
        let (to, episodes) = (to(), Episodes::default());
        let (now, queue) = (UnixMs(now), book.queue(&to).unwrap());
        plan(&Ask { now, to: &to, queue, way: &Way::Open, episodes: &episodes, free_at: Some(now) })
    }

    #[test]
    fn a_message_has_a_limit_and_what_is_beyond_waits() {
        let mut book = Book::default();
        for episode in 1..=12_345_u64 {
            let intent = Box::new(intent(episode, NoticeWord::Firing, 1));
            book.read(episode, UnixMs(0), UnixMs(0), Record::Intent(intent));
        }
        assert_eq!((book.open(), book.queue(&to()).unwrap().intents.len()), (12_345, 2_000));
        let mut told = 0;
        while book.open() > 0 {
            for place in book.to_take(&to()) {
                book.took(place, Box::new(intent(place, NoticeWord::Firing, 1)));
            }
            let send = look(&book, 40_000).send.unwrap();
            assert!(send.members.len() <= MEMBERS_MAX && send.members[0] == send.lead);
            told += send.members.len();
            for id in send.members {
                book.wrote(Record::Result(NoticeResult {
                    v: 1,
                    id,
                    team: to().team,
                    receiver: "ops".to_owned(),
                    channel: None,
                    outcome: ResultWord::Delivered,
                    detail: None,
                    into: None,
                    message: None,
                    time: UnixMs(0),
                }));
            }
        }
        assert_eq!(told, 12_345);
        assert_eq!(book.floor(UnixMs(1_000_000)), 12_346);
    }

    #[test]
    fn a_message_that_was_read_twice_is_told_once() {
        let mut book = Book::default();
        for _ in 0..2 {
            let intent = Box::new(intent(1, NoticeWord::Firing, 1));
            book.read(5, UnixMs(0), UnixMs(0), Record::Intent(intent));
        }
        assert_eq!(look(&book, 40_000).send.unwrap().members.len(), 1);
        assert_eq!(book.floor(UnixMs(1_000_000)), 5);
    }
}
