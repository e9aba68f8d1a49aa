//! What NOTICES says, folded: what is still to be told to whom, what was tried, and what is owed. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use watchkeeper_schemas::ids::{EpisodeId, TeamId};
use watchkeeper_schemas::notice::{
    Answer, AnswerWord, Attempt, Intent, NoticeResult, NoticeWord, ResultWord, TestNotice,
};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::{NoticeKind, notice_kind};

/// Open intents that are held in memory; what is beyond waits in NOTICES.
const HELD_MAX: usize = 10_000;
/// Of these one receiver takes so many at most, so that a dead channel leaves room for the others.
const HELD_OF_ONE_MAX: usize = 2_000;
/// Once a receiver holds fewer, more are read.
const HELD_OF_ONE_LOW: usize = 1_000;
/// What is read at once of what waits in NOTICES.
const READ_TOGETHER_MAX: usize = 200;
/// Episodes of a receiver of which it is remembered whether it heard of them.
const TOLD_MAX: usize = 4_000;
/// Everything younger is read again at a start: it says what the limits of channels leave.
const KEPT_MS: u64 = 120_000;
/// A call begins so long after its attempt was written at the latest, and then has this long: e-mail takes longest.
pub const CALL_BEGINS_MS: u64 = 3_000;
/// See [`CALL_BEGINS_MS`].
const CALL_ENDS_MS: u64 = 10_000;
/// The first wait after a call that failed; each further one is twice as long.
const RETRY_FIRST_MS: u64 = 1_000;
/// The longest.
const RETRY_MAX_MS: u64 = 300_000;

/// A receiver of a team.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct To {
    /// The team.
    pub team: TeamId,
    /// Its receiver, by the name that the intent gives.
    pub receiver: String,
}

/// A message of NOTICES.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// Something is to be told.
    Intent(Box<Intent>),
    /// Somebody wants to see that messages arrive.
    Test(TestNotice),
    /// A message is about to be handed over.
    Attempt(Attempt),
    /// What the channel said.
    Answer(Answer),
    /// What became of it.
    Result(NoticeResult),
}

/// An intent without a result.
#[derive(Debug, Clone, PartialEq)]
pub struct Open<T> {
    /// Its place in NOTICES.
    pub sequence: u64,
    /// Since when it waits.
    pub since: UnixMs,
    /// What is to be told.
    pub what: T,
}

/// Attempts that one intent led.
#[derive(Debug, Clone, Default, PartialEq)]
struct Led {
    /// The last one's number.
    last: u32,
    /// Those whose end is not written down yet, by number.
    tries: BTreeMap<u32, Try>,
}

#[derive(Debug, Clone, PartialEq)]
struct Try {
    members: Vec<String>,
    time: UnixMs,
    answer: Option<Answer>,
}

/// Results that are owed to what a channel answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Owed {
    /// What it answered.
    pub answer: Answer,
    /// Whose results are missing; the leading intent first, where it is among them.
    pub ids: Vec<String>,
}

/// Everything about one receiver.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Queue {
    /// What is to be told, by its place in NOTICES.
    pub intents: BTreeMap<u64, Open<Box<Intent>>>,
    /// Tests that are to be sent.
    pub tests: BTreeMap<u64, Open<TestNotice>>,
    /// What waits in NOTICES.
    beyond: BTreeMap<u64, UnixMs>,
    /// Everything without a result by its id.
    open: BTreeMap<String, u64>,
    /// What may have arrived though no channel said so.
    doubtful: BTreeSet<String>,
    led: BTreeMap<String, Led>,
    /// Episodes of which the receiver heard, or certainly did not hear.
    told: BTreeMap<EpisodeId, bool>,
    /// Calls that failed since the last one that did not.
    failures: u32,
    /// Not before then is anything tried again.
    pub not_before: UnixMs,
    /// Not before then does the channel want to be called.
    pub asked_to_wait: UnixMs,
    /// What the channel said when it failed last.
    pub last_said: String,
}

/// What NOTICES says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Book {
    queues: BTreeMap<To, Queue>,
    held: usize,
    /// Places of everything without a result.
    places: BTreeSet<u64>,
    /// When calls of the last while were over, at the latest: by lead and number.
    calls: BTreeMap<(String, u32), (To, UnixMs)>,
    /// The last place that was read, and for each second of the last while its first one.
    read: u64,
    marks: VecDeque<(UnixMs, u64)>,
}

impl Record {
    /// Reads a message; none: it is of a later version.
    #[must_use]
    pub fn read(subject: &str, payload: &[u8]) -> Option<Self> {
        Some(match notice_kind(subject)? {
            NoticeKind::Intent => Self::Intent(serde_json::from_slice(payload).ok()?),
            NoticeKind::Test => Self::Test(serde_json::from_slice(payload).ok()?),
            NoticeKind::Attempt => Self::Attempt(serde_json::from_slice(payload).ok()?),
            NoticeKind::Answer => Self::Answer(serde_json::from_slice(payload).ok()?),
            NoticeKind::Result => Self::Result(serde_json::from_slice(payload).ok()?),
        })
    }

    /// To whom it goes.
    #[must_use]
    pub fn to(&self) -> To {
        let (team, receiver) = match self {
            Self::Intent(it) => (&it.team, it.receiver.clone()),
            Self::Test(it) => (&it.team, it.receiver.to_string()),
            Self::Attempt(it) => (&it.team, it.receiver.clone()),
            Self::Answer(it) => (&it.team, it.receiver.clone()),
            Self::Result(it) => (&it.team, it.receiver.clone()),
        };
        To { team: team.clone(), receiver }
    }
}

impl Book {
    /// Folds a message of NOTICES that was stored at `stored`; one that comes again changes nothing. `now` is the reader's
    /// own clock: what the broker's clock says of the future counts as now.
    pub fn read(&mut self, sequence: u64, stored: UnixMs, now: UnixMs, record: Record) {
        let since = stored.min(now);
        self.read = self.read.max(sequence);
        if self.marks.back().is_none_or(|(last, _)| last.0 + 1_000 <= since.0) {
            self.marks.push_back((since, sequence));
        }
        self.note(sequence, since, record);
    }

    /// Folds what was just written, before it comes back from NOTICES.
    pub fn wrote(&mut self, record: Record) {
        self.note(0, UnixMs(0), record);
    }

    fn note(&mut self, sequence: u64, since: UnixMs, record: Record) {
        let to = record.to();
        match record {
            Record::Intent(it) => {
                if it.shadow {
                    return;
                }
                let queue = self.queues.entry(to).or_default();
                if queue.open.insert(it.id.clone(), sequence).is_none() {
                    self.places.insert(sequence);
                    let full = self.held >= HELD_MAX || queue.intents.len() >= HELD_OF_ONE_MAX;
                    if full || !queue.beyond.is_empty() {
                        queue.beyond.insert(sequence, since);
                    } else {
                        self.held += 1;
                        queue.intents.insert(sequence, Open { sequence, since, what: it });
                    }
                }
            }
            Record::Test(it) => {
                let queue = self.queues.entry(to).or_default();
                if queue.open.insert(it.id.clone(), sequence).is_none() {
                    self.places.insert(sequence);
                    queue.tests.insert(sequence, Open { sequence, since, what: it });
                }
            }
            Record::Attempt(it) => {
                let end = UnixMs(it.time.0 + CALL_BEGINS_MS + CALL_ENDS_MS);
                self.calls.insert((it.id.clone(), it.k), (to.clone(), end));
                self.queues.entry(to).or_default().attempted(it);
            }
            Record::Answer(it) => {
                self.calls.insert((it.id.clone(), it.k), (to.clone(), it.time));
                self.queues.entry(to).or_default().answered(it);
            }
            Record::Result(it) => self.ended(&to, &it),
        }
    }

    fn ended(&mut self, to: &To, it: &NoticeResult) {
        let Some(queue) = self.queues.get_mut(to) else { return };
        if let Some(sequence) = queue.open.remove(&it.id) {
            self.places.remove(&sequence);
            if let Some(open) = queue.intents.remove(&sequence) {
                self.held -= 1;
                queue.heard(&open.what, it.outcome);
            }
            queue.tests.remove(&sequence);
            queue.beyond.remove(&sequence);
        }
        queue.doubtful.remove(&it.id);
        queue.forget_settled();
    }

    /// Takes an intent that was read again because there was no room for it before.
    pub fn took(&mut self, sequence: u64, intent: Box<Intent>) {
        let to = To { team: intent.team.clone(), receiver: intent.receiver.clone() };
        let Some(queue) = self.queues.get_mut(&to) else { return };
        if let Some(since) = queue.beyond.remove(&sequence) {
            self.held += 1;
            queue.intents.insert(sequence, Open { sequence, since, what: intent });
        }
    }

    /// What is to be read again of what waits in NOTICES for a receiver.
    #[must_use]
    pub fn to_take(&self, to: &To) -> Vec<u64> {
        let room = HELD_MAX.saturating_sub(self.held).min(READ_TOGETHER_MAX);
        let queue = self.queues.get(to).filter(|queue| queue.intents.len() < HELD_OF_ONE_LOW);
        queue.map_or_else(Vec::new, |queue| queue.beyond.keys().copied().take(room).collect())
    }

    /// Learns whether a receiver may have heard of an episode.
    pub fn learned(&mut self, to: &To, episode: EpisodeId, heard: bool) {
        if let Some(queue) = self.queues.get_mut(to) {
            queue.tell(episode, heard);
        }
    }

    /// Everything about a receiver.
    #[must_use]
    pub fn queue(&self, to: &To) -> Option<&Queue> {
        self.queues.get(to)
    }

    /// Every receiver for whom there is something to do.
    pub fn waiting(&self) -> impl Iterator<Item = &To> {
        self.queues.iter().filter(|(_, queue)| queue.is_waiting()).map(|(to, _)| to)
    }

    /// How many intents have no result.
    #[must_use]
    pub fn open(&self) -> usize {
        self.places.len()
    }

    /// When calls of the last while were over, at the latest.
    pub fn calls(&self) -> impl Iterator<Item = (&To, UnixMs)> {
        self.calls.values().map(|(to, end)| (to, *end))
    }

    /// Forgets what no longer matters; returns the place before which nothing need be read at a start.
    pub fn floor(&mut self, now: UnixMs) -> u64 {
        let kept = now.0.saturating_sub(KEPT_MS);
        while self.marks.front().is_some_and(|(time, _)| time.0 < kept) {
            self.marks.pop_front();
        }
        self.calls.retain(|_, (_, end)| end.0 >= kept);
        self.queues.retain(|_, queue| queue.is_waiting() || !queue.told.is_empty() || queue.failures > 0);
        let young = self.marks.front().map_or(self.read + 1, |(_, sequence)| *sequence);
        self.places.first().map_or(young, |oldest| young.min(*oldest))
    }
}

impl Queue {
    fn is_waiting(&self) -> bool {
        !self.open.is_empty()
    }

    fn attempted(&mut self, it: Attempt) {
        let led = self.led.entry(it.id).or_default();
        if it.k > led.last {
            led.last = it.k;
            led.tries.insert(it.k, Try { members: it.members, time: it.time, answer: None });
        }
        self.forget_settled();
    }

    fn answered(&mut self, it: Answer) {
        let is_test = self.open.get(&it.id).is_some_and(|sequence| self.tests.contains_key(sequence));
        let Some(led) = self.led.get_mut(&it.id) else { return };
        let Some(tried) = led.tries.get_mut(&it.k).filter(|tried| tried.answer.is_none()) else { return };
        match it.answer {
            AnswerWord::Delivered | AnswerWord::Refused => self.failures = 0,
            AnswerWord::NotNow | AnswerWord::Unknown if is_test => {}
            AnswerWord::NotNow | AnswerWord::Unknown => {
                self.failures = self.failures.saturating_add(1);
                self.not_before = UnixMs(it.time.0 + retry_ms(self.failures, &it.id, it.k));
            }
        }
        if let Some(wait_ms) = it.retry_after_ms {
            self.asked_to_wait = UnixMs(it.time.0.saturating_add(wait_ms));
        }
        if it.answer == AnswerWord::Unknown {
            self.doubtful.extend(tried.members.iter().cloned());
        }
        match it.answer {
            AnswerWord::Delivered => {}
            AnswerWord::NotNow | AnswerWord::Unknown | AnswerWord::Refused => {
                self.last_said.clone_from(&it.detail)
            }
        }
        if is_test || matches!(it.answer, AnswerWord::Delivered | AnswerWord::Refused) {
            tried.answer = Some(it);
        } else {
            led.tries.remove(&it.k);
        }
        self.forget_settled();
    }

    /// Attempts matter while a result is missing.
    fn forget_settled(&mut self) {
        let open = &self.open;
        self.led.retain(|lead, led| {
            led.tries.retain(|_, tried| tried.members.iter().any(|id| open.contains_key(id)));
            open.contains_key(lead) || !led.tries.is_empty()
        });
    }

    fn heard(&mut self, it: &Intent, outcome: ResultWord) {
        let id = it.episode_id.clone();
        if it.notice == NoticeWord::Resolved {
            self.told.remove(&id);
            return;
        }
        match outcome {
            ResultWord::Delivered | ResultWord::Merged => self.tell(id, true),
            ResultWord::Failed if self.may_have_arrived(&it.id) => self.tell(id, true),
            ResultWord::Failed if !self.told.contains_key(&id) && it.notice == NoticeWord::Firing => {
                self.tell(id, false);
            }
            ResultWord::Failed | ResultWord::Superseded => {}
        }
    }

    fn tell(&mut self, episode: EpisodeId, heard: bool) {
        if self.told.len() >= TOLD_MAX {
            let waiting: BTreeSet<&EpisodeId> = self.intents.values().map(|it| &it.what.episode_id).collect();
            self.told.retain(|episode, _| waiting.contains(episode));
        }
        self.told.insert(episode, heard);
    }

    /// Whether the receiver heard of an episode; none: it is to be looked up.
    #[must_use]
    pub fn told(&self, episode: &EpisodeId) -> Option<bool> {
        self.told.get(episode).copied()
    }

    /// Whether it may have arrived though no channel said so.
    #[must_use]
    pub fn may_have_arrived(&self, id: &str) -> bool {
        let unanswered = || self.led.values().flat_map(|led| led.tries.values());
        self.doubtful.contains(id)
            || unanswered().any(|it| it.answer.is_none() && it.members.iter().any(|member| member == id))
    }

    /// The attempt that an intent leads next.
    #[must_use]
    pub fn next_attempt(&self, lead: &str) -> u32 {
        self.led.get(lead).map_or(1, |led| led.last + 1)
    }

    /// Results that an answer owes.
    #[must_use]
    pub fn owed(&self) -> Option<Owed> {
        let tries = || self.led.iter().flat_map(|(lead, led)| led.tries.values().map(move |it| (lead, it)));
        tries().find_map(|(lead, tried)| {
            let answer = tried.answer.clone()?;
            let mut ids: Vec<String> =
                tried.members.iter().filter(|id| self.open.contains_key(*id)).cloned().collect();
            ids.sort_by_key(|id| id != lead);
            Some(Owed { answer, ids })
        })
    }

    /// Until when another program may be amid a call whose answer is not written yet.
    #[must_use]
    pub fn under_way_until(&self) -> Option<UnixMs> {
        let tries = self.led.values().flat_map(|led| led.tries.values());
        let unanswered = tries.filter(|it| it.answer.is_none()).map(|it| it.time.0);
        unanswered.max().map(|time| UnixMs(time + CALL_BEGINS_MS + CALL_ENDS_MS))
    }
}

/// How long to wait after the `failures`-th call in a row that failed: between half and all of what doubles each time. What
/// it is half of follows from the attempt, so that a restart changes nothing.
#[must_use]
pub fn retry_ms(failures: u32, lead: &str, k: u32) -> u64 {
    let doubled = RETRY_FIRST_MS.saturating_mul(1 << failures.saturating_sub(1).min(20));
    let ceiling = doubled.min(RETRY_MAX_MS);
    let mixed =
        lead.bytes().fold(u64::from(k), |mixed, byte| mixed.wrapping_mul(31).wrapping_add(byte.into()));
    ceiling / 2 + mixed % (ceiling / 2 + 1)
}
