//! Tells, for as long as nobody else does: reads NOTICES, ALERTS and JOURNAL, does what is planned, writes what became of
//! it. Read `plan.rs` first: it is what happens. Here is only when.
//!
//! An attempt is written before each call and its acknowledgement awaited; where another one stands there, another
//! program tells, and this one stops. What a channel answered is written until it is written, through any outage, and
//! nothing else is sent to that receiver meanwhile.

use super::book::{CALL_BEGINS_MS, Owed, Record, To};
use super::channel::Reply;
use super::desk::{Desk, Turn, attempt, results, transition};
use super::episodes::Episodes;
use super::outgoing::Outgoing;
use super::past;
use super::plan::{self, Dispatch};
use super::reach::Reach;
use super::targets::{NoTarget, Targets};
use super::wording::Names;
use crate::kill_points::KillPoint;
use async_nats::jetstream::context::Context;
use bytes::Bytes;
use futures_util::future::{LocalBoxFuture, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use watchkeeper_schemas::alerting::EpisodeRef;
use watchkeeper_schemas::journal::{Fact, JournalEvent};
use watchkeeper_schemas::notice::{Answer, AnswerWord, Attempt, NoticeResult};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::receiver::ReceiverFailure;
use watchkeeper_schemas::registry::Registry;
use watchkeeper_schemas::subjects::{self, JournalScope};
use watchkeeper_streams::backoff::Backoff;
use watchkeeper_streams::journal::{Facts, RecordError, record};
use watchkeeper_streams::once::{Once, publish_once};
use watchkeeper_streams::snapshots::{Snapshot, Snapshots};
use watchkeeper_streams::tail::{self, News};
use watchkeeper_streams::topology::{ALERTS, NOTICES};

/// Where it is kept from which place on NOTICES is to be read.
const FLOOR_KEY: &str = "notifier";
/// It is written so long after something new was read.
const FLOOR_AFTER: Duration = Duration::from_secs(60);
/// What could not be read is tried again after this.
const AGAIN_MS: u64 = 2_000;
/// Waits before what could not be written is written again.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// Results that are written at once.
const RESULTS_TOGETHER: usize = 64;
/// Who stops waits so long for what is under way.
const DRAIN_MAX: Duration = Duration::from_secs(12);
/// How often a fact is recorded over one that came meanwhile.
const RECORD_TRIES: usize = 5;
/// Version of the facts that are recorded here.
const JOURNAL_VERSION: u8 = 1;

type Error = async_nats::Error;

/// What telling needs.
#[derive(Debug)]
pub(super) struct Shop {
    pub(super) context: Context,
    pub(super) facts: watch::Receiver<Facts>,
    pub(super) connects: watch::Receiver<u64>,
    /// What is open, kept newest; nothing before ALERTS was read.
    pub(super) episodes: watch::Sender<Option<Episodes>>,
    /// Until when nobody else can have begun to tell.
    pub(super) held: watch::Receiver<Option<Instant>>,
    pub(super) targets: Targets,
    pub(super) outgoing: Outgoing,
    pub(super) public_url: String,
    /// The installation has a bot for teams that have none.
    pub(super) has_bot: bool,
}

/// Why telling ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was told to.
    Stopped,
    /// Another program tells, or what is known here is of no use.
    Fenced,
}

/// What became of something that was under way.
enum Done {
    /// Look at the receiver again.
    Over(To),
    /// Look at it again then.
    PutOff(To, UnixMs),
    /// Another program tells.
    Fenced,
    /// Nothing is to be done.
    Nothing,
}

type Jobs<'a> = FuturesUnordered<LocalBoxFuture<'a, Done>>;

impl Shop {
    /// Tells until `stop` is there.
    ///
    /// # Errors
    /// When what was read before cannot be known.
    pub(super) async fn tell(&self, stop: impl Future<Output = ()>) -> Result<Ended, Error> {
        let snapshots = Snapshots::open(&self.context).await?;
        let floor =
            snapshots.load::<()>(FLOOR_KEY).await?.map_or(0, |found| found.sequence.saturating_sub(1));
        let (desk, changed, stopping) = (RefCell::new(Desk::default()), Notify::new(), Cell::new(false));
        let mut notices =
            pin!(tail::follow_after(self.context.clone(), NOTICES, floor, self.connects.clone(), |news| {
                desk.borrow_mut().notices(news, now());
                changed.notify_one();
            }));
        let mut alerts = pin!(self.follow_alerts(&desk, &changed));
        let mut facts = self.facts.clone();
        let mut stop = pin!(stop);
        let counter = Counter { shop: self, desk: &desk, stopping: &stopping };
        let mut jobs: Jobs<'_> = FuturesUnordered::new();
        let (mut begun, mut save_at) = (false, None);
        let ended = loop {
            let wake = counter.begin_what_is_due(&facts, &mut begun, &mut jobs);
            let wake = [wake, save_at].into_iter().flatten().min();
            tokio::select! {
                () = &mut stop => break Ended::Stopped,
                () = &mut notices => {}
                () = &mut alerts => {}
                () = changed.notified() => {
                    save_at.get_or_insert_with(|| Instant::now() + FLOOR_AFTER);
                }
                told = facts.changed() => {
                    told?;
                    desk.borrow_mut().all_fresh();
                }
                Some(done) = jobs.next(), if !jobs.is_empty() => {
                    if counter.over(done) {
                        break Ended::Fenced;
                    }
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
            if save_at.take_if(|at| *at <= Instant::now()).is_some() && begun {
                let sequence = desk.borrow_mut().book.floor(now());
                jobs.push(Box::pin(save(&snapshots, sequence)));
            }
        };
        stopping.set(true);
        let drained = tokio::time::timeout(DRAIN_MAX, async { while jobs.next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(
                "what channels answered last could not be written: the next one to tell repeats it, marked"
            );
        } else if begun && ended == Ended::Stopped {
            let sequence = desk.borrow_mut().book.floor(now());
            drop(tokio::time::timeout(RETRY_MAX, save(&snapshots, sequence)).await);
        }
        Ok(ended)
    }

    async fn follow_alerts(&self, desk: &RefCell<Desk>, changed: &Notify) {
        let mut read = Episodes::default();
        let mut is_current = false;
        tail::follow(self.context.clone(), ALERTS, self.connects.clone(), |news| match news {
            News::Event(event) => {
                let Some(event) = transition(&event) else { return };
                if is_current {
                    desk.borrow_mut().alert(&event);
                    self.episodes.send_modify(|known| known.get_or_insert_default().apply(event));
                    changed.notify_one();
                } else {
                    read.apply(event);
                }
            }
            News::Current if is_current => {}
            News::Current => {
                is_current = true;
                self.episodes.send_replace(Some(std::mem::take(&mut read)));
                changed.notify_one();
            }
        })
        .await;
    }

    /// Whether nobody else can have begun to tell.
    fn is_held(&self) -> bool {
        self.held.borrow().is_some_and(|until| Instant::now() < until)
    }
}

/// Writes from which place on NOTICES is to be read.
async fn save(snapshots: &Snapshots, sequence: u64) -> Done {
    if let Err(error) = snapshots.save(FLOOR_KEY, &Snapshot { sequence, state: () }).await {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "more of NOTICES is read at the next start"
        );
    }
    Done::Nothing
}

/// One who tells, with all that is on the desk.
#[derive(Clone, Copy)]
struct Counter<'a> {
    shop: &'a Shop,
    desk: &'a RefCell<Desk>,
    /// Nothing new begins.
    stopping: &'a Cell<bool>,
}

impl<'a> Counter<'a> {
    /// Begins everything that is due; returns when to look again though nothing happens.
    fn begin_what_is_due(
        self,
        facts: &watch::Receiver<Facts>,
        begun: &mut bool,
        jobs: &mut Jobs<'a>,
    ) -> Option<Instant> {
        let registry = facts.borrow().clone()?;
        let episodes = self.shop.episodes.borrow();
        let episodes = episodes.as_ref()?;
        let mut desk = self.desk.borrow_mut();
        if !desk.is_current {
            return None;
        }
        let now = now();
        if !std::mem::replace(begun, true) {
            desk.remember_calls(&registry, self.shop.has_bot, now);
            desk.all_fresh();
            tracing::info!(open = desk.book.open(), "notices are read");
        }
        while let Some(turn) = desk.turn(&registry, episodes, self.shop.has_bot, now) {
            self.begin(turn, &mut desk, &registry, episodes, now, jobs);
        }
        let wait_ms = desk.wake()?.0.saturating_sub(now.0);
        Some(Instant::now() + Duration::from_millis(wait_ms.max(1)))
    }

    fn begin(
        self,
        turn: Turn,
        desk: &mut Desk,
        registry: &Arc<Registry>,
        episodes: &Episodes,
        now: UnixMs,
        jobs: &mut Jobs<'a>,
    ) {
        let Turn { to, reach, plan, take } = turn;
        desk.begin(&to);
        let ended = results(&to, &reach, plan.verdicts, now);
        desk.wrote(&ended);
        if !ended.is_empty() || plan.failure.is_some() {
            let (to, reach, failure) = (to.clone(), reach.clone(), plan.failure);
            let is_all = plan.send.is_none() && plan.owed.is_none();
            jobs.push(Box::pin(self.write_ended(to.clone(), reach, ended, failure, is_all)));
            if is_all {
                return;
            }
        }
        if let Some(owed) = plan.owed {
            jobs.push(Box::pin(async move {
                self.settle(&to, &reach, owed).await;
                Done::Over(to)
            }));
        } else if let Some(dispatch) = plan.send {
            desk.call_begins(&reach.limits);
            let names = Names { registry, episodes, public_url: &self.shop.public_url };
            let message = reach.receiver.as_ref().map(|id| names.message(&to, id, &dispatch, now));
            let registry = Arc::clone(registry);
            jobs.push(Box::pin(async move {
                let done = match message {
                    Some(message) => self.deliver(&registry, &to, &reach, dispatch, message).await,
                    None => Done::Over(to),
                };
                self.desk.borrow_mut().call_ends(&reach.limits, crate::notifier::work::now());
                done
            }));
        } else if !plan.questions.is_empty() {
            jobs.push(Box::pin(self.ask(to, plan.questions)));
        } else {
            jobs.push(Box::pin(self.take(to, take)));
        }
    }

    /// Takes note of what became of something; whether another program tells.
    fn over(self, done: Done) -> bool {
        match done {
            Done::Over(to) => self.desk.borrow_mut().end(to),
            Done::PutOff(to, until) => self.desk.borrow_mut().put_off(to, until),
            Done::Fenced => return true,
            Done::Nothing => {}
        }
        false
    }

    async fn ask(self, to: To, questions: Vec<EpisodeRef>) -> Done {
        for episode in questions {
            match past::heard(&self.shop.context, &to, &episode).await {
                Ok(heard) => {
                    if let Some(id) = episode.id() {
                        self.desk.borrow_mut().book.learned(&to, id, heard);
                    }
                }
                Err(error) => {
                    tracing::debug!(
                        error = &*error as &dyn std::error::Error,
                        "an old result cannot be read"
                    );
                    return Done::PutOff(to, UnixMs(now().0 + AGAIN_MS));
                }
            }
        }
        Done::Over(to)
    }

    async fn take(self, to: To, places: Vec<u64>) -> Done {
        match past::intents(&self.shop.context, &places).await {
            Ok(intents) => {
                let mut desk = self.desk.borrow_mut();
                intents.into_iter().for_each(|(place, intent)| desk.book.took(place, intent));
                Done::Over(to)
            }
            Err(error) => {
                tracing::debug!(error = &*error as &dyn std::error::Error, "an intent cannot be read again");
                Done::PutOff(to, UnixMs(now().0 + AGAIN_MS))
            }
        }
    }

    /// Writes what is at its end without being sent.
    async fn write_ended(
        self,
        to: To,
        reach: Reach,
        ended: Vec<NoticeResult>,
        failure: Option<String>,
        is_all: bool,
    ) -> Done {
        if let Some(why) = failure {
            self.record_failure(&to, &reach, Some(why)).await;
        }
        self.write_results(&ended).await;
        if is_all { Done::Over(to) } else { Done::Nothing }
    }

    /// Hands a message over: attempt, call, answer, results, in this order.
    async fn deliver(
        self,
        registry: &Registry,
        to: &To,
        reach: &Reach,
        dispatch: Dispatch,
        message: super::message::Message,
    ) -> Done {
        let target = match self.shop.targets.open(registry, to, &message.receiver).await {
            Ok(target) => target,
            Err(NoTarget::Later(error)) => {
                tracing::warn!(
                    error = &*error as &dyn std::error::Error,
                    "a secret of a channel cannot be read"
                );
                return Done::PutOff(to.clone(), UnixMs(now().0 + AGAIN_MS));
            }
            Err(NoTarget::Closed(why)) => {
                let verdicts = dispatch.members.iter().map(|id| plan::failed(id, &why)).collect();
                let ended = results(to, reach, verdicts, now());
                self.desk.borrow_mut().wrote(&ended);
                return self.write_ended(to.clone(), reach.clone(), ended, Some(why), true).await;
            }
        };
        KillPoint::BeforeAttempt.reached();
        let attempt = attempt(to, &dispatch, now());
        match self.write_attempt(&attempt).await {
            Written::Ours => {}
            Written::Theirs => return Done::Fenced,
            Written::Unknown => return Done::PutOff(to.clone(), UnixMs(now().0 + AGAIN_MS)),
        }
        KillPoint::AfterAttempt.reached();
        let is_late = now().0.saturating_sub(attempt.time.0) > CALL_BEGINS_MS;
        let reply = if is_late || !self.shop.is_held() {
            not_called()
        } else {
            target.send(&self.shop.outgoing, &message).await
        };
        KillPoint::AfterAnswer.reached();
        let answer = answer(&attempt, reply, now());
        tracing::debug!(team = %to.team, receiver = to.receiver, k = attempt.k, members = attempt.members.len(),
            answer = ?answer.answer, detail = answer.detail, "a channel answered");
        self.desk.borrow_mut().book.wrote(Record::Answer(answer.clone()));
        self.write(subjects::notice_answer(&answer.id, answer.k), &answer).await;
        let owed = self.desk.borrow().book.queue(to).and_then(super::book::Queue::owed);
        if let Some(owed) = owed {
            self.settle(to, reach, owed).await;
        }
        Done::Over(to.clone())
    }

    /// Writes an attempt, until it is known whose stands there.
    async fn write_attempt(self, attempt: &Attempt) -> Written {
        let Ok(payload) = serde_json::to_vec(attempt).map(Bytes::from) else { return Written::Unknown };
        let subject = subjects::notice_attempt(&attempt.id, attempt.k);
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        let (context, mut was_tried) = (&self.shop.context, false);
        loop {
            // What was not even tried is left to whoever tells then.
            if !was_tried && (self.stopping.get() || !self.shop.is_held()) {
                return Written::Unknown;
            }
            was_tried = true;
            let written = match publish_once(context, subject.clone(), payload.clone()).await {
                Ok(Once::Stored(_)) => Ok(true),
                Ok(Once::WasThere) => stands_there(context, &subject, &payload).await,
                Err(error) => Err(error.into()),
            };
            match written {
                Ok(true) => {
                    self.desk.borrow_mut().book.wrote(Record::Attempt(attempt.clone()));
                    return Written::Ours;
                }
                Ok(false) => return Written::Theirs,
                Err(error) => {
                    tracing::warn!(
                        error = &*error as &dyn std::error::Error,
                        "an attempt cannot be written, trying again"
                    );
                    sleep(backoff.next_wait()).await;
                }
            }
        }
    }

    /// Writes the results that an answer owes; before them what it says of the receiver.
    async fn settle(self, to: &To, reach: &Reach, owed: Owed) {
        match owed.answer.answer {
            AnswerWord::Delivered => self.record_failure(to, reach, None).await,
            AnswerWord::Refused => self.record_failure(to, reach, Some(owed.answer.detail.clone())).await,
            AnswerWord::NotNow | AnswerWord::Unknown => {}
        }
        let ended = results(to, reach, plan::verdicts(&owed), now());
        let (lead, members) = ended.split_at(1.min(ended.len()));
        for results in std::iter::once(lead).chain(members.chunks(RESULTS_TOGETHER)) {
            self.write_results(results).await;
            self.desk.borrow_mut().wrote(results);
        }
    }

    async fn write_results(self, results: &[NoticeResult]) {
        for some in results.chunks(RESULTS_TOGETHER) {
            join_all(some.iter().map(|it| self.write(subjects::notice_result(&it.id), it))).await;
        }
    }

    /// Writes until it is written; that something stands there is as good.
    async fn write(self, subject: String, value: &impl Serialize) {
        let Ok(payload) = serde_json::to_vec(value).map(Bytes::from) else { return };
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        while let Err(error) = publish_once(&self.shop.context, subject.clone(), payload.clone()).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                subject,
                "what became of a notice cannot be written, trying again"
            );
            sleep(backoff.next_wait()).await;
        }
    }

    /// Records what a channel says of a receiver, where JOURNAL says otherwise; nothing: messages arrive.
    async fn record_failure(self, to: &To, reach: &Reach, answer: Option<String>) {
        let Some(id) = reach.receiver.clone() else { return };
        let value = answer.map(|answer| ReceiverFailure { answer, revision: reach.revision });
        let mut facts = self.shop.facts.clone();
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        let mut tries = 0;
        while tries < RECORD_TRIES {
            let Some(registry) = facts.borrow_and_update().clone() else { return };
            let Some(team) = registry.team(&to.team) else { return };
            if team.receiver_failures.get(&id) == value.as_ref() || team.receivers.get(&id).is_none() {
                return;
            }
            let cause = if value.is_some() { "refused" } else { "delivered" }.to_owned();
            let fact = Fact::ReceiverFailure { id: id.clone(), value: value.clone() };
            let author = "notifier".to_owned();
            let event = JournalEvent { v: JOURNAL_VERSION, author, cause, time: now(), fact };
            let expected = team.receiver_failures.revision(&id);
            let scope = JournalScope::Team(to.team.clone());
            match record(&self.shop.context, scope, &event, expected).await {
                Ok(_) | Err(RecordError::Misplaced) => return,
                Err(RecordError::Conflict { .. }) => {
                    tries += 1;
                    drop(tokio::time::timeout(RETRY_MAX, facts.changed()).await);
                }
                Err(error @ RecordError::JetStream { .. }) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "what a channel says of a receiver cannot be recorded, trying again"
                    );
                    sleep(backoff.next_wait()).await;
                }
            }
        }
    }
}

/// Whose attempt stands there.
enum Written {
    Ours,
    Theirs,
    /// Nobody's, or it is not known.
    Unknown,
}

/// Whether it is this very message that stands there.
async fn stands_there(context: &Context, subject: &str, payload: &[u8]) -> Result<bool, Error> {
    let notices = context.get_stream_no_info(NOTICES).await?;
    let message = notices.get_last_raw_message_by_subject(subject).await?;
    Ok(message.payload == payload)
}

fn not_called() -> Reply {
    Reply {
        answer: AnswerWord::NotNow,
        detail: "not called: writing the attempt took too long".to_owned(),
        message: None,
        retry_after: None,
    }
}

fn answer(attempt: &Attempt, reply: Reply, time: UnixMs) -> Answer {
    let Reply { answer, detail, message, retry_after } = reply;
    let retry_after_ms = retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    let Attempt { id, k, team, receiver, .. } = attempt.clone();
    Answer { v: 1, id, k, team, receiver, answer, detail, message, retry_after_ms, time }
}

pub(super) fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
