//! Keeps the newest view of every host in the LATEST bucket and tells it on the public feed.

pub mod projection;
mod views;

use projection::{Fleet, HostKey, Input};
use std::time::{Duration, Instant};
use views::Views;
use watchkeeper_schemas::codec;
use watchkeeper_schemas::ids::Shard;
use watchkeeper_schemas::subjects::{Lane, SampleSubject, TICK};
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
}

/// What an event means to the views, with the host's shard and name; nothing where it does not concern them: neither
/// ticks nor what comes late do. What cannot be read is an input, too, and is to be parked.
fn read(index: usize, event: &Event, poisoned: &mut Vec<Poisoned>) -> Option<(Shard, HostKey, Input)> {
    if event.subject.as_str() == TICK {
        return None;
    }
    let subject: SampleSubject = match event.subject.parse() {
        Ok(subject) => subject,
        Err(error) => {
            poisoned.push(Poisoned { index, reason: "bad_subject", detail: format!("{error}") });
            return None;
        }
    };
    if subject.lane == Lane::Backfill {
        return None;
    }
    let decoded = codec::decode(&subject, &event.payload);
    let (shard, key) = (subject.shard, (subject.team, subject.host));
    let input = match decoded {
        Ok(sample) => {
            let (sequence, received) = (event.sequence, event.received);
            Input::Sample { shard, sequence, received, sample: Box::new(sample) }
        }
        Err(error) => {
            poisoned.push(Poisoned { index, reason: error.reason(), detail: error.to_string() });
            Input::Unreadable(key.clone())
        }
    };
    Some((shard, key, input))
}

impl Processor for Latest {
    async fn process(&mut self, batch: &[Event]) -> Result<(), Failure> {
        let mut poisoned = Vec::new();
        let events = batch.iter().enumerate();
        let inputs: Vec<_> = events.filter_map(|(index, event)| read(index, event, &mut poisoned)).collect();
        let hosts = inputs.iter().map(|(shard, key, _)| (*shard, key));
        self.views.look_up(&mut self.fleet, hosts).await.map_err(Failure::retry)?;
        inputs.into_iter().for_each(|(_, _, input)| self.fleet.apply(input));
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
