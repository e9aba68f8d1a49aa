//! Reads the log in its order, has every team's machine decide, publishes what was decided, and keeps what it knows.
//!
//! Read `projection.rs` first: it is what happens. Here is only when.
//!
//! A snapshot may be older than what is acknowledged: whoever starts reads the inputs behind the snapshot once more and
//! takes the same decisions. What an acknowledged input decided was published; the rest is published again, and what is
//! there already stays as it is.

mod behind;
mod facts;
mod orphans;
mod outbox;
mod projection;
mod told;

use crate::alerts::heartbeat;
use crate::kill_points::KillPoint;
use async_nats::jetstream::context::Context;
use behind::Lateness;
use facts::Placed;
use orphans::Orphans;
use outbox::{Outbox, OutboxError};
use projection::{Read, State, read};
use std::collections::VecDeque;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use watchkeeper_schemas::ids::ProcessorName;
use watchkeeper_schemas::journal::{Fact, JournalEvent};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::{JournalScope, TICK};
use watchkeeper_streams::event::Event;
use watchkeeper_streams::journal;
use watchkeeper_streams::lease::Lease;
use watchkeeper_streams::pieces::Pieces;
use watchkeeper_streams::processor::{Failure, Processor};
use watchkeeper_streams::rebuild::{self, Begin};
use watchkeeper_streams::runner::Runner;
use watchkeeper_streams::topology::{ALERTS_CONSUMER, JOURNAL, SAMPLES};

/// Where the snapshot stands.
const SNAPSHOT_KEY: &str = "alerts";
/// Where the lease of the one evaluator stands.
const LEASE_KEY: &str = "lease.alerts";
/// Snapshots are at least so far apart.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(5);
/// And so many times as long as the last one took: they must not be what it does.
const SNAPSHOT_SHARE: u32 = 50;
/// But not further apart than this.
const SNAPSHOT_EVERY_MAX: Duration = Duration::from_secs(300);
/// The lease is looked after this often.
const LOOK_AFTER: Duration = Duration::from_millis(500);

/// Version of the facts that are recorded here.
const JOURNAL_VERSION: u8 = 1;

type Error = async_nats::Error;

/// The processor of alerts.
#[derive(Debug)]
pub struct Alerts {
    context: Context,
    work: Option<Work>,
    /// The time of the newest tick whose decisions were published.
    ticked: watch::Sender<UnixMs>,
}

/// What it knows, and what it has in hand.
#[derive(Debug)]
struct Work {
    state: State,
    snapshot: Pieces,
    due: Instant,
    /// The input of the newest snapshot.
    saved: u64,
    /// Facts of JOURNAL that no tick spoke for yet, and how far it was read.
    facts: VecDeque<Placed>,
    journal_read: u64,
    /// What inputs up to here decided was published.
    published: u64,
    outbox: Outbox,
    /// Whether inputs come too late.
    lateness: Lateness,
    /// Episodes that are open by what was published, where no snapshot knows them.
    orphans: Orphans,
}

/// Evaluates for as long as the lease is ours, and waits for it otherwise; a heartbeat is the URL that is told so.
///
/// # Errors
/// When the streams stand there with settings that cannot be worked with.
pub async fn run(runner: Runner, heartbeat: Option<String>) -> anyhow::Result<()> {
    let holder = runner.connected.client.new_inbox();
    let mut lease = Lease::new(runner.context.clone(), LEASE_KEY, holder);
    let mut shutdown = runner.shutdown.clone();
    let (ticked, ticked_seen) = watch::channel(UnixMs(0));
    let mut beats = JoinSet::new();
    if let Some(url) = heartbeat {
        beats.spawn(heartbeat::keep(url, ticked_seen));
    }
    let mut ended = Ok(());
    while ended.is_ok() && until_held(&mut lease, &mut shutdown).await {
        tracing::info!("this program evaluates alerts");
        let (stop, stopped) = watch::channel(false);
        let runner = Runner { shutdown: stopped, ..runner.clone() };
        let ticked = ticked.clone();
        let mut running = tokio::spawn(async move {
            let mut alerts = Alerts { context: runner.context.clone(), work: None, ticked };
            let ended = runner.run(&mut alerts).await;
            alerts.finish().await;
            ended
        });
        ended = tokio::select! {
            ended = &mut running => ended?,
            () = while_held(&mut lease, &mut shutdown) => {
                stop.send_replace(true);
                running.await?
            }
        };
    }
    // Who cannot be reached any more finds it run out.
    drop(tokio::time::timeout(LOOK_AFTER, lease.release()).await);
    Ok(ended?)
}

/// Waits for the lease; false if it is to stop.
async fn until_held(lease: &mut Lease, shutdown: &mut watch::Receiver<bool>) -> bool {
    loop {
        if *shutdown.borrow() {
            return false;
        }
        match lease.hold().await {
            Ok(true) => return true,
            Ok(false) => {}
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "the lease is not known"),
        }
        tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => return false,
            () = sleep(LOOK_AFTER) => {}
        }
    }
}

/// Keeps the lease; returns once it is another's or it is to stop.
async fn while_held(lease: &mut Lease, shutdown: &mut watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => return,
            () = sleep(LOOK_AFTER) => {}
        }
        // Without an answer the work goes on: nothing can be published then, and nothing twice afterwards.
        if let Ok(false) = lease.hold().await {
            tracing::warn!("another program evaluates alerts");
            return;
        }
    }
}

impl Processor for Alerts {
    async fn process(&mut self, batch: &[Event]) -> Result<(), Failure> {
        let mut work = match self.work.take() {
            Some(work) => work,
            None => Work::open(&self.context).await.map_err(Failure::Retry)?,
        };
        match work.batch(&self.context, batch).await {
            Ok(()) => {
                self.work = Some(work);
                if let Some(tick) = batch.iter().rfind(|event| event.subject.as_str() == TICK) {
                    self.ticked.send_replace(tick.received);
                }
                Ok(())
            }
            Err(Trouble::Again(error)) => {
                self.work = Some(work);
                Err(Failure::Retry(error))
            }
            // What is known here is of no use: it is read anew.
            Err(Trouble::Fenced(error)) => Err(Failure::Retry(error)),
        }
    }

    async fn resume(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

impl Alerts {
    /// A last snapshot, so that the next start has little to read.
    async fn finish(&mut self) {
        if let Some(work) = &mut self.work
            && let Err(Trouble::Again(error) | Trouble::Fenced(error)) = work.save().await
        {
            tracing::debug!(error = &*error as &dyn std::error::Error, "no last snapshot was written");
        }
    }
}

/// Why a batch is not done.
enum Trouble {
    /// It comes again.
    Again(Error),
    /// Somebody else went on meanwhile.
    Fenced(Error),
}

impl<E: Into<Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        let error = error.into();
        let snapshot = error.downcast_ref::<watchkeeper_streams::snapshots::SnapshotError>();
        let is_fenced =
            matches!(snapshot, Some(watchkeeper_streams::snapshots::SnapshotError::Fenced { .. }))
                || matches!(error.downcast_ref::<OutboxError>(), Some(OutboxError::Fenced { .. }));
        if is_fenced { Self::Fenced(error) } else { Self::Again(error) }
    }
}

impl Work {
    /// What the snapshot knows; without one everything is read again that the log keeps.
    async fn open(context: &Context) -> Result<Self, Error> {
        let (snapshot, found) = Pieces::open(context, SNAPSHOT_KEY).await?;
        let state = found.and_then(|(_, bytes)| State::decode(&bytes));
        let samples = context.get_stream_no_info(SAMPLES).await?;
        let info = samples.consumer_info(ALERTS_CONSUMER.processor).await?;
        let last = samples.get_info().await?.state.last_sequence;
        if let Some(state) = state.as_ref().filter(|state| state.sequence > last) {
            let at = state.sequence;
            return Err(
                format!("alerts have read up to {at}, but SAMPLES ends at {last}: it was replaced").into()
            );
        }
        let published = info.ack_floor.stream_sequence;
        let mut orphans = Orphans::default();
        if state.is_none() && published > 0 {
            tracing::warn!(published, "there is no snapshot of alerts: the log is read again");
            orphans = orphans::read(context, published).await?;
        }
        let state = state.unwrap_or_default();
        let (saved, journal_read) = (state.sequence, state.journal);
        Ok(Self {
            state,
            snapshot,
            due: Instant::now() + SNAPSHOT_EVERY,
            saved,
            facts: VecDeque::new(),
            journal_read,
            published,
            outbox: Outbox::default(),
            lateness: Lateness::default(),
            orphans,
        })
    }

    async fn batch(&mut self, context: &Context, batch: &[Event]) -> Result<(), Trouble> {
        if batch.first().is_some_and(|event| event.sequence > self.state.sequence + 1) {
            self.catch_up(context).await?;
        }
        if let Some(first) = batch.first() {
            self.lateness.note(first.received, now());
        }
        for event in batch {
            self.input(context, event).await?;
        }
        self.outbox.flush(context).await?;
        self.tell_lateness(context, batch).await?;
        if Instant::now() >= self.due {
            self.save().await?;
        }
        Ok(())
    }

    /// Records that inputs came too late, once that is over: it enters the log's order like whatever people decide.
    async fn tell_lateness(&mut self, context: &Context, batch: &[Event]) -> Result<(), Error> {
        let Some(last) = batch.last() else { return Ok(()) };
        let Some(behind) = self.lateness.ended(last.received, now()) else { return Ok(()) };
        tracing::warn!(from = %behind.from, until = %behind.until, "alerts were far behind the log");
        let id: ProcessorName = ALERTS_CONSUMER.processor.parse()?;
        for team in self.state.teams() {
            let fact = Fact::Behind { id: id.clone(), value: Some(behind.clone()) };
            let (author, cause) = (id.to_string(), "caught up".to_owned());
            let event = JournalEvent { v: JOURNAL_VERSION, author, cause, time: now(), fact };
            journal::overwrite(context, JournalScope::Team(team.clone()), &event).await?;
        }
        self.lateness.told();
        Ok(())
    }

    /// Reads what lies between the last input and the end of the log.
    async fn catch_up(&mut self, context: &Context) -> Result<(), Trouble> {
        let (begun, from) = (Instant::now(), self.state.sequence + 1);
        // Ticks of the past speak for what is in JOURNAL by now; one of this very moment may be the exception.
        self.read_journal(context, 0).await?;
        let (mut count, mut waits) = (0_u64, false);
        let (state, facts, outbox) = (&mut self.state, &mut self.facts, &mut self.outbox);
        let (lateness, orphans) = (&mut self.lateness, &mut self.orphans);
        let (journal_read, published) = (self.journal_read, self.published);
        rebuild::read(context, SAMPLES, &[], Begin::Sequence(from), |event| {
            let again = || read(&event.subject, &event.payload);
            let input = again();
            waits |= matches!(input, Read::Tick(journal) if journal > journal_read);
            if waits {
                return;
            }
            if count == 0 && from > 1 && event.sequence > from {
                let lost = event.sequence - from;
                tracing::warn!(lost, "inputs left the log before alerts had read them");
                state.lose(lost);
            }
            count += 1;
            // What is decided from here on is published: it ends nothing a second time.
            if event.sequence > published {
                lateness.note(event.received, now());
                orphans.settle(state);
            }
            let is_tick = matches!(input, Read::Tick(_));
            let told = state.step((event.sequence, event.received), input, again, facts);
            if event.sequence > published {
                outbox.add(told);
            }
            if is_tick {
                orphans.adopt(state, event.sequence);
            }
        })
        .await?;
        if waits {
            return Err(Trouble::Again("JOURNAL grew while alerts were catching up".into()));
        }
        self.orphans.settle(&mut self.state);
        tracing::info!(from, inputs = count, took = ?begun.elapsed(), "alerts have caught up");
        Ok(())
    }

    /// One input, unless it was read before.
    async fn input(&mut self, context: &Context, event: &Event) -> Result<(), Trouble> {
        if event.sequence <= self.state.sequence {
            return Ok(());
        }
        let again = || read(&event.subject, &event.payload);
        let input = again();
        if let Read::Tick(journal) = &input
            && *journal > self.journal_read
        {
            self.read_journal(context, *journal).await?;
        }
        let is_tick = matches!(input, Read::Tick(_));
        let told = self.state.step((event.sequence, event.received), input, again, &mut self.facts);
        if event.sequence > self.published {
            self.outbox.add(told);
        }
        if is_tick {
            self.orphans.adopt(&mut self.state, event.sequence);
            self.orphans.settle(&mut self.state);
        }
        Ok(())
    }

    /// Reads JOURNAL at least up to where a tick speaks for it.
    async fn read_journal(&mut self, context: &Context, to: u64) -> Result<(), Error> {
        let (facts, reached) = (&mut self.facts, &mut self.journal_read);
        rebuild::read(context, JOURNAL, &[], Begin::Sequence(*reached + 1), |event| {
            *reached = event.sequence;
            facts.extend(projection::fact(event.sequence, &event.subject, &event.payload));
        })
        .await?;
        if self.journal_read < to {
            return Err(format!("JOURNAL reads up to {} and the tick says {to}", self.journal_read).into());
        }
        Ok(())
    }

    /// Writes what is known.
    async fn save(&mut self) -> Result<(), Trouble> {
        if self.state.sequence == self.saved {
            return Ok(());
        }
        let begun = Instant::now();
        let state = self.state.encode()?;
        self.snapshot.save(self.state.sequence, &state).await?;
        self.saved = self.state.sequence;
        KillPoint::AfterSnapshot.reached();
        let wait = (begun.elapsed() * SNAPSHOT_SHARE).clamp(SNAPSHOT_EVERY, SNAPSHOT_EVERY_MAX);
        self.due = Instant::now() + wait;
        tracing::debug!(bytes = state.len(), took = ?begun.elapsed(), "snapshot of alerts written");
        Ok(())
    }
}

fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
