//! Keeps the newest view of every host in the LATEST bucket and tells it on the public feed.

pub mod projection;
mod views;

use projection::{Fleet, Input};
use std::time::{Duration, Instant};
use views::Views;
use watchkeeper_schemas::codec;
use watchkeeper_schemas::subjects::SampleSubject;
use watchkeeper_streams::event::Event;
use watchkeeper_streams::processor::{Failure, Poisoned, Processor, Projection as _};
use watchkeeper_streams::runner::Runner;

/// Inventories are written to snapshots at most this often: they come again by themselves.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(10);

/// The processor of the newest views.
#[derive(Debug)]
pub struct Latest {
    fleet: Fleet,
    views: Views,
    snapshot_due: Instant,
}

impl Latest {
    /// A processor that writes over the runner's connection.
    #[must_use]
    pub fn new(runner: &Runner) -> Self {
        let views = Views::new(runner.context.clone());
        Self { fleet: Fleet::default(), views, snapshot_due: Instant::now() + SNAPSHOT_INTERVAL }
    }

    fn fold(&mut self, event: &Event) -> Result<(), Poisoned> {
        let poisoned = |reason, detail| Poisoned { index: 0, reason, detail };
        let subject: SampleSubject =
            event.subject.parse().map_err(|error| poisoned("bad_subject", format!("{error}")))?;
        match codec::decode(&subject, &event.payload) {
            Ok(sample) => {
                let (shard, sequence, received) = (subject.shard, event.sequence, event.received);
                self.fleet.apply(Input::Sample { shard, sequence, received, sample: Box::new(sample) });
                Ok(())
            }
            Err(error) => {
                self.fleet.apply(Input::Unreadable((subject.team, subject.host)));
                Err(poisoned(error.reason(), error.to_string()))
            }
        }
    }
}

impl Processor for Latest {
    async fn process(&mut self, batch: &[Event]) -> Result<(), Failure> {
        let mut poisoned = Vec::new();
        for (index, event) in batch.iter().enumerate() {
            if let Err(poison) = self.fold(event) {
                poisoned.push(Poisoned { index, ..poison });
            }
        }
        self.views.write_changed(&mut self.fleet).await.map_err(Failure::retry)?;
        if Instant::now() >= self.snapshot_due {
            let sequence = batch.last().map_or(0, |event| event.sequence);
            self.views.snapshot(&mut self.fleet, sequence).await.map_err(Failure::retry)?;
            self.snapshot_due = Instant::now() + SNAPSHOT_INTERVAL;
        }
        Failure::unless_empty(poisoned)
    }

    async fn resume(&mut self) -> Result<(), Failure> {
        self.views.resume(&mut self.fleet).await.map_err(Failure::retry)
    }
}
