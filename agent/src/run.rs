//! `run`: a sample at every tick, published until the signal to stop.

use crate::clock::{tick_offset_ms, until_next_tick};
use crate::folder::Folder;
use crate::publisher::{PublishError, Publisher};
use crate::renewal::{self, CutOff};
use crate::sampler::{Sampler, now};
use crate::settings::RunSettings;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

/// The first sample comes soon, whatever the interval; rates need a moment.
const FIRST_TICK_AFTER: Duration = Duration::from_secs(1);
/// Time for what is queued when the agent has to stop.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(3);

/// Why the agent cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No boot id can be made.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
    /// Nothing can be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Nothing may be published any more.
    #[error(transparent)]
    CutOff(#[from] CutOff),
}

/// Publishes samples until `stop` turns true, then what is queued, for a while.
///
/// # Errors
/// When the agent cannot go on. A broker that is away or refuses is no such reason, unless the gateway says, too, that
/// this host was cut off.
pub async fn run(settings: RunSettings, mut stop: watch::Receiver<bool>) -> Result<(), RunError> {
    let RunSettings { observe, connect, subject, interval, enrolled } = settings;
    let roots = enrolled.as_ref().map(Folder::authority).filter(|file| file.exists());
    let mut publisher = Publisher::connect(&connect, roots.as_deref(), &subject).await?;
    let mut cut_off = pin!(renewal::keep(enrolled, publisher.refused()));
    let interval_ms = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
    let offset_ms = tick_offset_ms(&subject.host, interval_ms);
    tracing::info!(team = %subject.team, host = %subject.host, ?interval, "agent started");
    let mut sampler = Sampler::new(&observe, subject, interval)?;
    let mut next_tick = Instant::now() + FIRST_TICK_AFTER;
    loop {
        tokio::select! {
            () = sleep_until(next_tick) => {
                let sample = sampler.sample(publisher.queue().lost());
                let seq = sample.seq;
                match sampler.encode(sample) {
                    Ok(frame) => publisher.push(seq, frame),
                    Err(error) => tracing::error!(seq, %error, "a sample could not be encoded"),
                }
                next_tick = Instant::now() + until_next_tick(now().wall_ms, interval_ms, offset_ms);
            }
            connected_anew = publisher.happens() => {
                if connected_anew? {
                    sampler.tell_inventory();
                }
            }
            why = &mut cut_off => return Err(why.into()),
            _ = stop.wait_for(|stop| *stop) => break,
        }
        publisher.pump().await?;
    }
    // Running out of time is told below.
    let _in_time = timeout_at(Instant::now() + FLUSH_WAIT_MAX, flush(&mut publisher)).await;
    match publisher.queue().len() {
        0 => tracing::info!("stopped, everything was delivered"),
        undelivered => tracing::warn!(undelivered, "stopped, samples were not delivered"),
    }
    Ok(())
}

async fn flush(publisher: &mut Publisher) -> Result<(), PublishError> {
    while !publisher.queue().is_empty() {
        publisher.pump().await?;
        publisher.happens().await?;
    }
    Ok(())
}
