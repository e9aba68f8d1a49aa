//! One connection of the fleet: sends what is due, bounded in flight, and reads the answers.

use super::ledger::Ledger;
use super::target::Target;
use super::values::{Fleet, sample};
use anyhow::{Context, Result};
use async_nats::connection::State;
use async_nats::{Client, Message, StatusCode, Subject, Subscriber};
use futures_util::StreamExt as _;
use serde::Deserialize;
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use watchkeeper_schemas::codec;
use watchkeeper_schemas::subjects::{self, SampleSubject};
use watchkeeper_streams::connect::{Connect, connect};

/// Messages of one connection without an answer: the server refuses what exceeds its buffer of 500 for a stream.
const IN_FLIGHT_MAX: usize = 100;
/// After this a message counts as unanswered and no longer as in flight.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// How often a full or cut connection looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// When which host is due: the hosts are spread evenly over a tick.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    start: Instant,
    tick: Duration,
    hosts: u32,
    first_index: u32,
    round: u64,
    place: u32,
    first_place: u32,
    step: u32,
}

impl Pace {
    pub(super) fn starting_now(fleet: &Fleet, hosts: u32, first_index: u32) -> Self {
        let tick = Duration::from_millis(u64::from(fleet.tick_ms));
        Self { start: Instant::now(), tick, hosts, first_index, round: 1, place: 0, first_place: 0, step: 1 }
    }

    /// Every `of`-th host, beginning with the `number`-th: a host stays with its connection, so its order is kept.
    pub(super) fn part(self, number: u32, of: u32) -> Self {
        Self { place: number, first_place: number, step: of, ..self }
    }

    /// Messages of all hosts that should have been sent by now.
    pub(super) fn due(&self) -> u64 {
        let slots = self.start.elapsed().as_nanos() * u128::from(self.hosts) / self.tick.as_nanos();
        // The first tick passes before the first sample: seq 1 is due at start + tick.
        (slots as u64).saturating_sub(u64::from(self.hosts))
    }

    /// When the next message is due.
    fn at(&self) -> Instant {
        let slots = u128::from(self.round) * u128::from(self.hosts) + u128::from(self.place);
        self.start + Duration::from_nanos((self.tick.as_nanos() * slots / u128::from(self.hosts)) as u64)
    }

    /// Host and sequence of the next message, and on to the one after it.
    fn take(&mut self) -> (u32, u64) {
        let due = (self.first_index + self.place, self.round);
        self.place += self.step;
        if self.place >= self.hosts {
            self.place = self.first_place;
            self.round += 1;
        }
        due
    }
}

/// One connection and what it waits for.
pub(super) struct Lane {
    client: Client,
    inbox: String,
    answers: Subscriber,
    fleet: Fleet,
    ledger: Arc<Mutex<Ledger>>,
    in_flight: HashSet<(u32, u64)>,
    sent: VecDeque<(Instant, (u32, u64))>,
    frame: Vec<u8>,
}

impl Lane {
    pub(super) async fn connect(
        target: &Target,
        fleet: &Fleet,
        number: u32,
        ledger: Arc<Mutex<Ledger>>,
    ) -> Result<Self> {
        let inbox = subjects::fleet_inbox(&target.team);
        let settings = Connect {
            url: target.nats.clone(),
            creds: target.creds.clone(),
            name: "fleet",
            inbox: inbox.clone(),
        };
        let client = connect(&settings).await?.client;
        // Several fleets may run with one credential: the id of the connection keeps their answers apart.
        let inbox = format!("{}.{number}", client.new_inbox());
        let answers =
            client.subscribe(format!("{inbox}.*")).await.context("subscribing to the fleet's answers")?;
        let (in_flight, sent) = (HashSet::new(), VecDeque::new());
        Ok(Self { client, inbox, answers, fleet: fleet.clone(), ledger, in_flight, sent, frame: Vec::new() })
    }

    /// Sends what is due until `ended`, then waits for the answers that are still to come.
    pub(super) async fn play(mut self, mut pace: Pace, mut ended: watch::Receiver<bool>) -> Result<()> {
        loop {
            let ready =
                self.in_flight.len() < IN_FLIGHT_MAX && self.client.connection_state() == State::Connected;
            let wake = if ready { pace.at() } else { Instant::now() + LOOK_AGAIN };
            tokio::select! {
                biased;
                _ = ended.changed() => break,
                Some(answer) = self.answers.next() => self.note(&answer)?,
                () = tokio::time::sleep_until(wake) => {
                    self.expire();
                    if ready {
                        self.send_due(&mut pace).await?;
                    }
                }
            }
        }
        while !self.in_flight.is_empty() {
            match tokio::time::timeout(LOOK_AGAIN, self.answers.next()).await {
                Ok(Some(answer)) => self.note(&answer)?,
                Ok(None) => break,
                Err(_) => self.expire(),
            }
        }
        Ok(())
    }

    async fn send_due(&mut self, pace: &mut Pace) -> Result<()> {
        while self.in_flight.len() < IN_FLIGHT_MAX && pace.at() <= Instant::now() {
            let (index, seq) = pace.take();
            let sample = sample(&self.fleet, index, seq)?;
            codec::encode(&sample, &mut self.frame)?;
            let subject = SampleSubject::live(sample.team, sample.host).to_string();
            let reply = Subject::from(format!("{}.{index}-{seq}", self.inbox));
            let payload = self.frame.clone().into();
            self.client.publish_with_reply(subject, reply, payload).await.context("publishing a sample")?;
            self.in_flight.insert((index, seq));
            self.sent.push_back((Instant::now(), (index, seq)));
            self.ledger().published();
        }
        self.client.flush().await.context("flushing samples to NATS")
    }

    fn note(&mut self, answer: &Message) -> Result<()> {
        #[derive(Deserialize)]
        struct PubAck {
            seq: Option<u64>,
        }
        let Some(of) = answer.subject.rsplit('.').next().and_then(host_and_seq) else { return Ok(()) };
        let late = !self.in_flight.remove(&of);
        let stored = match answer.status {
            Some(StatusCode::NO_RESPONDERS) => None,
            Some(_) | None => serde_json::from_slice::<PubAck>(&answer.payload).ok().and_then(|ack| ack.seq),
        };
        let mut ledger = self.ledger();
        if late {
            ledger.answered_late();
        }
        match stored.filter(|sequence| *sequence > 0) {
            Some(sequence) => ledger.acknowledged(of.0, of.1, sequence),
            None => {
                ledger.refused();
                Ok(())
            }
        }
    }

    /// Gives up waiting for what was sent too long ago.
    fn expire(&mut self) {
        while self.sent.front().is_some_and(|(sent, _)| sent.elapsed() > ANSWER_WAIT) {
            if let Some((_, of)) = self.sent.pop_front()
                && self.in_flight.remove(&of)
            {
                self.ledger().unanswered();
            }
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn host_and_seq(token: &str) -> Option<(u32, u64)> {
    let (index, seq) = token.split_once('-')?;
    Some((index.parse().ok()?, seq.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_is_due_once_a_tick_evenly_spread() {
        let fleet = Fleet { team: "t".parse().unwrap(), seed: 1, start_ms: 0, tick_ms: 1000 };
        let all = Pace::starting_now(&fleet, 10, 40);
        let mut parts = [all.clone().part(0, 3), all.clone().part(1, 3), all.clone().part(2, 3)];
        let mut due = Vec::new();
        for part in &mut parts {
            while part.at() < all.start + Duration::from_secs(3) {
                let at = part.at() - all.start;
                due.push((at.as_millis(), part.take()));
            }
        }
        due.sort_unstable();
        let expected: Vec<_> = (0..20)
            .map(|slot| (1000 + slot * 100, (40 + (slot % 10) as u32, (slot / 10) as u64 + 1)))
            .collect();
        assert_eq!(due, expected);
    }
}
