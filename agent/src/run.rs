//! `run`: a sample at every tick, published until the signal to stop.

use crate::clock::{tick_offset_ms, until_next_tick};
use crate::folder::Folder;
use crate::publisher::{PublishError, Publisher};
use crate::renewal::{self, CutOff};
use crate::sampler::{Sampler, millis, now};
use crate::settings::{Mistakes, RunSettings};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use watchkeeper_schemas::ids::HostId;

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

/// Publishes samples until `stop` turns true, then what is queued, for a while. What is to be watched, and how often, is
/// read `again` after each renewal, as people may have set it anew.
///
/// # Errors
/// When the agent cannot go on. A broker that is away or refuses is no such reason, unless the gateway says, too, that
/// this host was cut off.
pub async fn run(
    settings: RunSettings,
    again: impl Fn() -> Result<RunSettings, Mistakes>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), RunError> {
    let RunSettings { mut observe, connect, subject, mut interval, enrolled } = settings;
    let roots = enrolled.as_ref().map(Folder::authority).filter(|file| file.exists());
    let mut publisher = Publisher::connect(&connect, roots.as_deref(), &subject).await?;
    let renewed = Notify::new();
    let mut cut_off = pin!(renewal::keep(enrolled, publisher.refused(), &renewed));
    tracing::info!(team = %subject.team, host = %subject.host, ?interval, "agent started");
    let host = subject.host.clone();
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
                next_tick = Instant::now() + until_tick(&host, interval);
            }
            () = renewed.notified() => match again() {
                Ok(wanted) if (&wanted.observe, wanted.interval) == (&observe, interval) => {}
                Ok(wanted) => {
                    (observe, interval) = (wanted.observe, wanted.interval);
                    tracing::info!(?interval, ?observe, "this host is watched as it was set anew");
                    sampler.watch(&observe, interval);
                    next_tick = Instant::now() + FIRST_TICK_AFTER;
                }
                Err(mistakes) => tracing::error!(%mistakes, "this host is watched as before"),
            },
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

/// Time until this host's turn in the interval.
fn until_tick(host: &HostId, interval: Duration) -> Duration {
    let interval_ms = millis(interval);
    until_next_tick(now().wall_ms, interval_ms, tick_offset_ms(host, interval_ms))
}

async fn flush(publisher: &mut Publisher) -> Result<(), PublishError> {
    while !publisher.queue().is_empty() {
        publisher.pump().await?;
        publisher.happens().await?;
    }
    Ok(())
}
