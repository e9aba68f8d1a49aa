//! A world without a network: a log of notices, channels that answer as told, a clock that is set, and crashes.

use super::super::book::{Record, To};
use super::super::desk::{Desk, attempt, results};
use super::super::episodes::Episodes;
use super::super::pace::Limit;
use super::super::plan::{self, Dispatch, Says, Verdict};
use super::super::reach::Reach;
use crate::kill_points::KillPoint;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use watchkeeper_schemas::alerting::EpisodeRef;
use watchkeeper_schemas::episode::{AlertEvent, TransitionWord};
use watchkeeper_schemas::ids::TeamId;
use watchkeeper_schemas::journal::{Fact, JournalEvent, Team};
use watchkeeper_schemas::notice::{
    Answer, AnswerWord, Attempt, Intent, NoticeResult, NoticeWord, ResultWord, intent_id,
};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::receiver::{Channel, Chat, Receiver, ReceiverFailure, SmtpSecurity};
use watchkeeper_schemas::registry::Registry;
use watchkeeper_schemas::rule::Severity;
use watchkeeper_schemas::subjects::{JournalScope, JournalSubject};
use watchkeeper_streams::tail::News;

/// A program that crashed is back after this.
const BACK_AFTER_MS: u64 = 4_000;

/// What a channel is to answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scripted {
    pub(super) answer: AnswerWord,
    pub(super) detail: String,
    pub(super) retry_after_ms: Option<u64>,
    /// The message arrives, whatever is answered.
    pub(super) arrives: bool,
}

/// A message that a channel got.
#[derive(Debug, Clone)]
pub(super) struct Arrived {
    pub(super) time: u64,
    pub(super) to: To,
    pub(super) limits: Vec<Limit>,
    pub(super) dispatch: Dispatch,
}

/// A call that is under way.
#[derive(Debug, Clone)]
struct Call {
    over: u64,
    to: To,
    reach: Reach,
    attempt: Attempt,
    dispatch: Dispatch,
    scripted: Scripted,
}

pub(super) struct World {
    pub(super) now: u64,
    pub(super) registry: Registry,
    pub(super) episodes: Episodes,
    desk: Desk,
    /// NOTICES: each message with its time and what it is.
    pub(super) log: Vec<(UnixMs, Record)>,
    subjects: BTreeSet<String>,
    floor: u64,
    pub(super) answers: BTreeMap<String, VecDeque<Scripted>>,
    pub(super) crash_at: Option<KillPoint>,
    pub(super) crashes: usize,
    pub(super) latency_ms: u64,
    /// Nobody tells before then.
    down_until: u64,
    calls: Vec<Call>,
    pub(super) arrived: Vec<Arrived>,
    /// What happened since it was looked at, in words.
    pub(super) said: Vec<String>,
    alerts: u64,
}

pub(super) fn team() -> TeamId {
    "default".parse().unwrap()
}

impl World {
    pub(super) fn new() -> Self {
        let mut world = Self {
            now: 0,
            registry: Registry::default(),
            episodes: Episodes::default(),
            desk: Desk::default(),
            log: Vec::new(),
            subjects: BTreeSet::new(),
            floor: 0,
            answers: BTreeMap::new(),
            crash_at: None,
            crashes: 0,
            latency_ms: 0,
            down_until: 0,
            calls: Vec::new(),
            arrived: Vec::new(),
            said: Vec::new(),
            alerts: 0,
        };
        world.desk.is_current = true;
        world.fact(Fact::Team { id: team(), value: Some(Team { name: "Default".to_owned() }) });
        world
    }

    pub(super) fn fact(&mut self, fact: Fact) {
        let subject = JournalSubject::of(JournalScope::Team(team()), &fact).unwrap().to_string();
        let (author, cause) = ("ann".to_owned(), "test".to_owned());
        let event = JournalEvent { v: 1, author, cause, time: UnixMs(self.now), fact };
        let next = self.registry.sequence() + 1;
        self.registry.apply(next, &subject, &serde_json::to_vec(&event).unwrap()).unwrap();
        self.desk.all_fresh();
    }

    /// A receiver by the word for its channel; `none`: it is removed.
    pub(super) fn receiver(&mut self, name: &str, word: &str) {
        let (id, host) = (name.parse().unwrap(), "hooks.example".to_owned());
        let channel = match word {
            "telegram" | "group" | "unlinked" => Some(Channel::Telegram {}),
            "email" => Some(Channel::Email {
                to: vec!["a@example".to_owned()],
                from: "b@example".to_owned(),
                server: "mail".to_owned(),
                port: 25,
                security: SmtpSecurity::Plain,
                user: None,
                secret: None,
            }),
            "ntfy" => Some(Channel::Ntfy { server: host, topic: name.to_owned(), secret: None }),
            "webhook" => Some(Channel::Webhook { host, secret: 1 }),
            "none" => None,
            other => panic!("{other} is no channel"),
        };
        let value =
            channel.map(|channel| Receiver { name: name.to_owned(), channel, hears_from: Severity::Info });
        self.fact(Fact::Receiver { id, value });
        let chat = name.bytes().fold(0, |sum, byte| sum * 31 + i64::from(byte));
        let value = matches!(word, "telegram" | "group").then(|| Chat {
            chat,
            is_group: word == "group",
            title: name.to_owned(),
            telegram_user: 1,
            user: "ann".parse().unwrap(),
            offer: name.to_owned(),
        });
        self.fact(Fact::Chat { id: name.parse().unwrap(), value });
    }

    pub(super) fn transition(
        &mut self,
        it: &EpisodeRef,
        word: TransitionWord,
        level: Severity,
        by: Option<&str>,
    ) {
        self.alerts += 1;
        let event = AlertEvent {
            v: 1,
            id: self.alerts.to_string(),
            team: team(),
            episode_id: it.id().unwrap(),
            episode: it.clone(),
            transition: word,
            level,
            reason: by.map(str::to_owned),
            sequence: self.alerts,
            ordinal: 0,
            time: UnixMs(self.now),
            since: UnixMs(self.now),
            value: None,
            peak: None,
            duration_ms: None,
            shadow: false,
            retro: false,
            rule_then: None,
            samples: Vec::new(),
            muted_by: Vec::new(),
            evidence: None,
        };
        self.desk.alert(&event);
        self.episodes.apply(event);
    }

    pub(super) fn intent(
        &mut self,
        episode: &EpisodeRef,
        notice: NoticeWord,
        n: u32,
        receiver: &str,
        level: Severity,
    ) {
        let is_over = notice == NoticeWord::Resolved;
        self.publish(Record::Intent(Box::new(Intent {
            v: 1,
            id: intent_id(&team(), episode, notice, n, receiver),
            team: team(),
            episode_id: episode.id().unwrap(),
            episode: episode.clone(),
            notice,
            n,
            receiver: receiver.to_owned(),
            level,
            reason: is_over.then(|| "ok".to_owned()),
            since: UnixMs(self.now),
            value: None,
            peak: None,
            duration_ms: is_over.then_some(60_000),
            short_episodes: 0,
            shadow: false,
            rule_then: None,
            sequence: 1,
            time: UnixMs(self.now),
        })));
    }

    /// Puts a message into NOTICES, which takes one of each subject for ever; whether it did.
    pub(super) fn publish(&mut self, record: Record) -> bool {
        let subject = match &record {
            Record::Intent(it) => format!("intent {}", it.id),
            Record::Test(it) => format!("test {}", it.id),
            Record::Attempt(it) => format!("attempt {} {}", it.id, it.k),
            Record::Answer(it) => format!("answer {} {}", it.id, it.k),
            Record::Result(it) => format!("result {}", it.id),
        };
        if !self.subjects.insert(subject) {
            return false;
        }
        self.log.push((UnixMs(self.now), record));
        if self.down_until <= self.now {
            self.read(self.log.len() - 1);
        }
        true
    }

    fn read(&mut self, place: usize) {
        let (stored, record) = self.log[place].clone();
        let to = record.to();
        self.desk.book.read(place as u64 + 1, stored, UnixMs(self.now), record);
        self.desk.look_at(to);
    }

    /// Crashes now: nobody writes what became of what was under way.
    pub(super) fn crash(&mut self) {
        self.crashes += 1;
        self.calls.clear();
        self.down_until = self.now + BACK_AFTER_MS;
    }

    /// Writes down from where to read, as it is done now and then.
    pub(super) fn save_floor(&mut self) {
        if self.down_until <= self.now {
            self.floor = self.desk.book.floor(UnixMs(self.now)) - 1;
        }
    }

    fn start_again(&mut self) {
        self.desk = Desk::default();
        for place in self.floor as usize..self.log.len() {
            self.read(place);
        }
        self.desk.notices(News::Current, UnixMs(self.now));
        self.desk.remember_calls(&self.registry, true, UnixMs(self.now));
        self.desk.all_fresh();
    }

    /// Lets time pass up to then.
    pub(super) fn until(&mut self, end: u64) {
        loop {
            self.turns();
            let is_down = self.down_until > self.now;
            let wake = if is_down { None } else { self.desk.wake().map(|it| it.0) };
            let calls = self.calls.iter().map(|call| call.over);
            let back = is_down.then_some(self.down_until);
            let Some(next) = calls.chain(wake).chain(back).min().filter(|next| *next <= end) else { break };
            // A wake that is over was looked at: what it waits for is a call.
            self.now = self.now.max(next);
            if is_down && self.now >= self.down_until {
                self.start_again();
            }
            let calls = std::mem::take(&mut self.calls).into_iter();
            let (over, rest): (Vec<Call>, Vec<Call>) = calls.partition(|call| call.over <= self.now);
            self.calls = rest;
            for call in over {
                self.answered(call);
            }
        }
        self.now = end;
    }

    fn turns(&mut self) {
        while self.down_until <= self.now {
            let turn = self.desk.turn(&self.registry, &self.episodes, true, UnixMs(self.now));
            let Some(turn) = turn else { return };
            let (to, reach, plan) = (turn.to, turn.reach, turn.plan);
            self.desk.begin(&to);
            if let Some(why) = plan.failure {
                self.failure(&to, &reach, Some(why));
            }
            self.end(&to, &reach, plan.verdicts);
            if let Some(owed) = plan.owed {
                self.settle(&to, &reach, &owed.answer.clone(), plan::verdicts(&owed));
            } else if let Some(dispatch) = plan.send {
                self.call(to, reach, dispatch);
                continue;
            } else if !plan.questions.is_empty() {
                for episode in plan.questions {
                    let heard = self.heard(&to, &episode);
                    self.desk.book.learned(&to, episode.id().unwrap(), heard);
                }
            } else {
                for place in turn.take {
                    let (_, Record::Intent(intent)) = self.log[place as usize - 1].clone() else { panic!() };
                    self.desk.book.took(place, intent);
                }
            }
            self.desk.end(to);
        }
    }

    fn call(&mut self, to: To, reach: Reach, dispatch: Dispatch) {
        self.desk.call_begins(&reach.limits);
        if self.crash_at == Some(KillPoint::BeforeAttempt) {
            self.crash_at = None;
            return self.crash();
        }
        let attempt = attempt(&to, &dispatch, UnixMs(self.now));
        assert!(self.publish(Record::Attempt(attempt.clone())), "{attempt:?} was there");
        if self.crash_at == Some(KillPoint::AfterAttempt) {
            self.crash_at = None;
            return self.crash();
        }
        let scripted = self.answers.get_mut(&to.receiver).and_then(VecDeque::pop_front);
        let scripted = scripted.unwrap_or(Scripted {
            answer: AnswerWord::Delivered,
            detail: "sent".to_owned(),
            retry_after_ms: None,
            arrives: true,
        });
        let over = self.now + self.latency_ms;
        let call = Call { over, to, reach, attempt, dispatch, scripted };
        if call.scripted.arrives {
            self.arrive(&call);
        }
        self.calls.push(call);
    }

    fn arrive(&mut self, call: &Call) {
        let (to, dispatch, limits) = (call.to.clone(), call.dispatch.clone(), call.reach.limits.clone());
        self.said.push(format!("{} {}", seconds(self.now), shown(&to, &dispatch)));
        self.arrived.push(Arrived { time: self.now, to, limits, dispatch });
    }

    fn answered(&mut self, call: Call) {
        if self.crash_at == Some(KillPoint::AfterAnswer) {
            self.crash_at = None;
            return self.crash();
        }
        let Call { to, reach, attempt, scripted, .. } = call;
        let Scripted { answer, detail, retry_after_ms, arrives: _ } = scripted;
        if answer != AnswerWord::Delivered {
            self.said.push(format!("{} {} answers {answer:?}: {detail}", seconds(self.now), to.receiver));
        }
        let Attempt { id, k, team, receiver, .. } = attempt;
        let message = (answer == AnswerWord::Delivered).then(|| "m".to_owned());
        let time = UnixMs(self.now);
        let answer = Answer { v: 1, id, k, team, receiver, answer, detail, message, retry_after_ms, time };
        self.publish(Record::Answer(answer.clone()));
        let owed = self.desk.book.queue(&to).and_then(super::super::book::Queue::owed);
        if let Some(owed) = owed {
            self.settle(&to, &reach, &answer, plan::verdicts(&owed));
        }
        self.desk.call_ends(&reach.limits, UnixMs(self.now));
        self.desk.end(to);
    }

    fn settle(&mut self, to: &To, reach: &Reach, answer: &Answer, verdicts: Vec<Verdict>) {
        match answer.answer {
            AnswerWord::Delivered => self.failure(to, reach, None),
            AnswerWord::Refused => self.failure(to, reach, Some(answer.detail.clone())),
            AnswerWord::NotNow | AnswerWord::Unknown => {}
        }
        self.end(to, reach, verdicts);
    }

    fn failure(&mut self, to: &To, reach: &Reach, answer: Option<String>) {
        let id: watchkeeper_schemas::ids::ReceiverId = to.receiver.parse().unwrap();
        let value = answer.map(|answer| ReceiverFailure { answer, revision: reach.revision });
        if self.registry.team(&to.team).unwrap().receiver_failures.get(&id) != value.as_ref() {
            let what = value.as_ref().map_or("works again".to_owned(), |it| format!("fails: {}", it.answer));
            self.said.push(format!("{} {} {what}", seconds(self.now), to.receiver));
            self.fact(Fact::ReceiverFailure { id, value });
        }
    }

    fn end(&mut self, to: &To, reach: &Reach, verdicts: Vec<Verdict>) {
        for result in results(to, reach, verdicts, UnixMs(self.now)) {
            let said = format!("{} {}", seconds(self.now), self.shown_result(&result));
            self.said.push(said);
            assert!(self.publish(Record::Result(result.clone())), "{result:?} was there");
        }
    }

    /// As the notifier looks it up in NOTICES.
    fn heard(&self, to: &To, episode: &EpisodeRef) -> bool {
        let about: BTreeSet<&str> = self
            .intents()
            .filter(|it| it.receiver == to.receiver)
            .filter(|it| it.episode == *episode)
            .map(|it| it.id.as_str())
            .collect();
        let results = self.results();
        about.into_iter().filter_map(|id| results.get(id)).any(|it| match it.outcome {
            ResultWord::Delivered | ResultWord::Merged => true,
            ResultWord::Failed => self.may_have_arrived(it.into.as_ref().unwrap_or(&it.id), &it.id),
            ResultWord::Superseded => false,
        })
    }

    fn may_have_arrived(&self, lead: &str, id: &str) -> bool {
        let mut attempts: Vec<&Attempt> =
            self.attempts().map(|(_, it)| it).filter(|it| it.id == lead).collect();
        attempts.sort_by_key(|it| std::cmp::Reverse(it.k));
        for it in attempts.into_iter().take_while(|it| it.members.iter().any(|member| member == id)) {
            let answer = self.answer(it).map(|answer| answer.answer);
            if answer.is_none_or(|answer| answer == AnswerWord::Unknown) {
                return true;
            }
            if !it.possible_repeat || it.k <= 1 {
                return it.possible_repeat;
            }
        }
        false
    }

    pub(super) fn intents(&self) -> impl Iterator<Item = &Intent> {
        self.log.iter().filter_map(|(_, record)| match record {
            Record::Intent(it) => Some(&**it),
            Record::Test(_) | Record::Attempt(_) | Record::Answer(_) | Record::Result(_) => None,
        })
    }

    pub(super) fn attempts(&self) -> impl Iterator<Item = (UnixMs, &Attempt)> {
        self.log.iter().filter_map(|(time, record)| match record {
            Record::Attempt(it) => Some((*time, it)),
            Record::Intent(_) | Record::Test(_) | Record::Answer(_) | Record::Result(_) => None,
        })
    }

    /// What the channel said to an attempt, as far as it is written.
    pub(super) fn answer(&self, to: &Attempt) -> Option<&Answer> {
        self.log.iter().find_map(|(_, record)| match record {
            Record::Answer(it) => Some(it).filter(|it| it.id == to.id && it.k == to.k),
            Record::Intent(_) | Record::Test(_) | Record::Attempt(_) | Record::Result(_) => None,
        })
    }

    pub(super) fn results(&self) -> BTreeMap<&str, &NoticeResult> {
        let results = self.log.iter().filter_map(|(_, record)| match record {
            Record::Result(it) => Some((it.id.as_str(), it)),
            Record::Intent(_) | Record::Test(_) | Record::Attempt(_) | Record::Answer(_) => None,
        });
        results.collect()
    }

    fn name(&self, id: &str) -> String {
        self.intents().find(|it| it.id == id).map_or_else(|| format!("test {id}"), name)
    }

    fn shown_result(&self, it: &NoticeResult) -> String {
        let what = self.name(&it.id);
        let why = it.detail.as_ref().map_or(String::new(), |why| format!(": {why}"));
        let into = it.into.as_ref().map_or(String::new(), |into| format!(" into {}", self.name(into)));
        let outcome = match it.outcome {
            ResultWord::Delivered => "delivered",
            ResultWord::Merged => "merged",
            ResultWord::Superseded => "superseded",
            ResultWord::Failed => "failed",
        };
        format!("  {} {what} {outcome}{into}{why}", it.receiver)
    }
}

fn name(it: &Intent) -> String {
    let n = if it.n > 1 { format!(" n={}", it.n) } else { String::new() };
    let EpisodeRef { rule, host, episode, .. } = &it.episode;
    format!("{} {rule} {host} #{episode}{n}", it.notice.as_str().to_uppercase())
}

fn shown(to: &To, dispatch: &Dispatch) -> String {
    let repeat = if dispatch.possible_repeat { " (possible repeat)" } else { "" };
    let silent = if dispatch.silent { " (silent)" } else { "" };
    let again = if dispatch.k > 1 { format!(" k={}", dispatch.k) } else { String::new() };
    let says = match &dispatch.says {
        Says::Test(_) => "test".to_owned(),
        Says::Episodes(said) => {
            let line = |said: &plan::Said| {
                let EpisodeRef { rule, host, episode, .. } = &said.newest.episode;
                let word = said.notice.as_str().to_uppercase();
                format!("{word} {rule} {host} #{episode} {}", said.newest.level)
            };
            said.iter().map(line).collect::<Vec<String>>().join(" | ")
        }
    };
    format!("{} <-{repeat}{silent}{again} {says}", to.receiver)
}

/// Seconds as people write them.
pub(super) fn seconds(ms: u64) -> String {
    (ms as f64 / 1000.0).to_string()
}
