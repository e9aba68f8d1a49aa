//! Samples of simulated hosts at an even rate over one connection, each stamped when it leaves and when it is heard of.

use crate::fleet::values::{Fleet, host_id, sample};
use anyhow::{Context as _, Result, bail, ensure};
use async_nats::{Client, Message, Subject, Subscriber};
use futures_util::StreamExt as _;
use serde::Deserialize;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::{sleep_until, timeout};
use watchkeeper_schemas::codec;
use watchkeeper_schemas::ids::{HostId, TeamId};
use watchkeeper_schemas::subjects::{self, SampleSubject};
use watchkeeper_streams::connect::{Connect, connect};
use xtask::stack::Stack;

/// The server refuses what exceeds 500 unanswered messages of a stream.
const IN_FLIGHT_MAX: usize = 400;
/// Without news for so long something is wrong.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Until a new subscription hears a probe; none is left after the same time without one.
const PROBE_WAIT: Duration = Duration::from_millis(200);
const PROBES_MAX: usize = 50;
const TICK_MS: u32 = 500;
/// The fleet began before now: what is sent faster than real time must not lie in the future.
const START_BEFORE_MS: u128 = 600_000;

/// The samples of a fleet, host after host, each sent once.
pub(super) struct Samples {
    fleet: Fleet,
    /// The number of the first host.
    first: u32,
    hosts: u32,
    taken: u64,
}

impl Samples {
    pub(super) fn of(stack: &Stack, hosts: u32) -> Result<Self> {
        Self::of_team(stack.team().parse()?, 0, hosts)
    }

    /// Of so many hosts of a team, from this number on.
    pub(super) fn of_team(team: TeamId, first: u32, hosts: u32) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
        let start_ms = u64::try_from(now.as_millis().saturating_sub(START_BEFORE_MS))?;
        let fleet = Fleet { team, seed: 1, start_ms, tick_ms: TICK_MS };
        Ok(Self { fleet, first, hosts, taken: 0 })
    }

    /// The host of the sample that was taken last.
    pub(super) fn last_host(&self) -> String {
        host_id(self.first + (self.taken.saturating_sub(1) % u64::from(self.hosts)) as u32)
    }

    fn next(&mut self) -> Result<(HostId, Vec<u8>)> {
        let (index, seq) = (self.taken % u64::from(self.hosts), self.taken / u64::from(self.hosts) + 1);
        self.taken += 1;
        let sample = sample(&self.fleet, self.first + index as u32, seq)?;
        let mut frame = Vec::new();
        codec::encode(&sample, &mut frame)?;
        Ok((sample.host, frame))
    }
}

/// One message: when it left, when it was heard of.
pub(super) struct Sent {
    pub(super) at: Instant,
    heard: Option<Instant>,
    /// Its number in the stream, where it was stored.
    pub(super) sequence: Option<u64>,
}

impl Sent {
    /// From publishing until it was heard of.
    pub(super) fn took(&self) -> Option<Duration> {
        self.heard.map(|heard| heard - self.at)
    }
}

/// A way through NATS: a connection that publishes and a subscription that hears what became of it.
pub(super) struct Line {
    client: Client,
    heard: Subscriber,
    team: TeamId,
    kind: Kind,
}

enum Kind {
    /// Through the stream of samples, as agents do; heard is the acknowledgement, below this inbox.
    Stored { inbox: String },
    /// Core NATS; heard is the message itself, by another connection.
    Passed,
}

impl Line {
    pub(super) async fn stored(stack: &Stack) -> Result<Self> {
        Self::stored_as(stack, stack.team().parse()?, &stack.creds().fleet).await
    }

    /// With the credential of a team's fleet.
    pub(super) async fn stored_as(stack: &Stack, team: TeamId, creds: &Path) -> Result<Self> {
        let client = client(stack, creds, subjects::fleet_inbox(&team)).await?;
        let inbox = client.new_inbox();
        let heard = client.subscribe(format!("{inbox}.*")).await.context("subscribing to answers")?;
        Ok(Self { client, heard, team, kind: Kind::Stored { inbox } })
    }

    /// The public feed: published by the processors' user, heard by a reader.
    pub(super) async fn passed(stack: &Stack) -> Result<Self> {
        let team: TeamId = stack.team().parse()?;
        let inbox = subjects::program_inbox(&"processors".parse()?);
        let client = client(stack, &stack.creds().processors, inbox).await?;
        let reader = self::client(stack, &stack.creds().reader, subjects::fleet_inbox(&team)).await?;
        let feed = subjects::READER_TEMPLATE.replace("{{tag(team)}}", team.as_str());
        let mut heard = reader.subscribe(feed).await.context("subscribing to the public feed")?;
        let probe = subjects::public_host(&team, &"probe".parse()?);
        for _ in 0..PROBES_MAX {
            client.publish(probe.clone(), "".into()).await.context("publishing a probe")?;
            if timeout(PROBE_WAIT, heard.next()).await.is_ok() {
                while timeout(PROBE_WAIT, heard.next()).await.is_ok() {}
                return Ok(Self { client, heard, team, kind: Kind::Passed });
            }
        }
        bail!("a reader of the public feed heard none of {PROBES_MAX} probes");
    }

    /// Publishes so many samples, at most this many a second, and waits until every one was heard of.
    pub(super) async fn send(
        &mut self,
        samples: &mut Samples,
        count: usize,
        per_s: f64,
    ) -> Result<Vec<Sent>> {
        let (begin, mut sent, mut heard) = (Instant::now(), Vec::with_capacity(count), 0);
        let due = |number: usize| begin + Duration::from_secs_f64(number as f64 / per_s);
        while heard < count {
            let may_send = sent.len() < count && sent.len() - heard < IN_FLIGHT_MAX;
            let wake = if may_send { due(sent.len()) } else { Instant::now() + SILENCE_MAX };
            tokio::select! {
                biased;
                Some(message) = self.heard.next() => {
                    self.note(&message, heard, &mut sent)?;
                    heard += 1;
                }
                () = sleep_until(wake.into()) => {
                    ensure!(may_send, "{heard} of {} samples were heard of, then none", sent.len());
                    let (room, now) = (count.min(heard + IN_FLIGHT_MAX), Instant::now());
                    while sent.len() < room && due(sent.len()) <= now {
                        sent.push(self.publish(samples, sent.len()).await?);
                    }
                    self.client.flush().await.context("flushing samples to NATS")?;
                }
            }
        }
        Ok(sent)
    }

    async fn publish(&self, samples: &mut Samples, number: usize) -> Result<Sent> {
        let (host, frame) = samples.next()?;
        let (subject, reply) = match &self.kind {
            Kind::Stored { inbox } => {
                let subject = SampleSubject::live(self.team.clone(), host).to_string();
                (subject, Some(Subject::from(format!("{inbox}.{number}"))))
            }
            Kind::Passed => (subjects::public_host(&self.team, &host), None),
        };
        let at = Instant::now();
        let published = match reply {
            Some(reply) => self.client.publish_with_reply(subject, reply, frame.into()).await,
            None => self.client.publish(subject, frame.into()).await,
        };
        published.context("publishing a sample")?;
        Ok(Sent { at, heard: None, sequence: None })
    }

    /// Acknowledgements name their message; messages of one publisher come in order.
    fn note(&self, message: &Message, before: usize, sent: &mut [Sent]) -> Result<()> {
        #[derive(Deserialize)]
        struct PubAck {
            seq: u64,
        }
        let now = Instant::now();
        let (number, sequence) = match &self.kind {
            Kind::Passed => (before, None),
            Kind::Stored { .. } => {
                let ack: PubAck = serde_json::from_slice(&message.payload)
                    .with_context(|| format!("a sample was not stored: {message:?}"))?;
                let number = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
                (number.context("an answer to nothing")?, Some(ack.seq))
            }
        };
        let of = sent.get_mut(number).context("an answer to nothing")?;
        (of.heard, of.sequence) = (Some(now), sequence);
        Ok(())
    }
}

async fn client(stack: &Stack, creds: &Path, inbox: String) -> Result<Client> {
    let settings = Connect { url: stack.nats_url(), creds: creds.to_owned(), name: "bench", inbox };
    Ok(connect(&settings).await?.client)
}
