//! Asks every part how it does, every two seconds, for everybody.

use crate::history::database::Database;
use crate::live::cursor::LagNews;
use crate::system::judge::{Judge, State};
use crate::system::{LagView, NATS_SERVER, Parked, Part, ProcessorLag, QUESTDB, StreamSize, SystemView};
use async_nats::Client;
use async_nats::connection::State as Connection;
use async_nats::jetstream::context::Context;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::timeout;
use watchkeeper_streams::lag::{Lag, lag};
use watchkeeper_streams::topology::{CONSUMERS, Limits, PARKED, streams};

/// How often the parts are asked.
const POLL: Duration = Duration::from_secs(2);
/// Longest wait for one answer of NATS.
const NATS_ANSWER: Duration = Duration::from_secs(1);

/// Who is asked, and who is told.
pub struct Poll {
    /// The connection to NATS.
    pub client: Client,
    /// JetStream.
    pub context: Context,
    /// The database of history.
    pub database: Arc<Database>,
    /// Changes when the connection was made anew: then there is news.
    pub connects: watch::Receiver<u64>,
    /// Where the whole picture goes.
    pub system: watch::Sender<Arc<SystemView>>,
    /// Where the lag goes.
    pub lag: watch::Sender<LagNews>,
}

impl Poll {
    /// Asks for as long as the program lives.
    pub async fn run(mut self) {
        let mut judges = BTreeMap::new();
        let mut view = SystemView::clone(&self.system.borrow());
        let mut told: Option<LagView> = None;
        let mut tick = tokio::time::interval(POLL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                Ok(()) = self.connects.changed() => {}
            }
            self.look(&mut view, &mut judges).await;
            self.system.send_replace(Arc::new(view.clone()));
            let lag = view.lag();
            if told.as_ref() != Some(&lag) {
                tell(&self.lag, &lag);
                told = Some(lag);
            }
        }
    }

    async fn look(&self, view: &mut SystemView, judges: &mut BTreeMap<&'static str, Judge>) {
        let connected = self.client.connection_state() == Connection::Connected;
        let version = view.part(QUESTDB).and_then(|part| part.version.clone());
        let (questdb, ()) = tokio::join!(self.questdb(version), async {
            if connected {
                self.processors(&mut view.processors, judges).await;
                self.streams(&mut view.streams).await;
            }
        });
        if !connected {
            for processor in &mut view.processors {
                processor.state = State::Down;
            }
        }
        let parked =
            view.streams.iter().find(|stream| stream.name == PARKED).map_or(0, |stream| stream.messages);
        view.parked = Parked { total: parked };
        view.parts = vec![self.nats(connected), questdb];
    }

    fn nats(&self, connected: bool) -> Part {
        let version = Some(self.client.server_info().version).filter(|version| !version.is_empty());
        let (state, detail) = if connected { (State::Ok, "") } else { (State::Down, "is not reached") };
        Part { name: NATS_SERVER, version, state, detail: detail.to_owned() }
    }

    async fn questdb(&self, known: Option<String>) -> Part {
        match self.database.build().await {
            Ok(build) => {
                let version = build.map(|build| version_of(&build)).or(known);
                Part { name: QUESTDB, version, state: State::Ok, detail: String::new() }
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn Error, "QuestDB does not answer");
                Part {
                    name: QUESTDB,
                    version: known,
                    state: State::Down,
                    detail: "does not answer".to_owned(),
                }
            }
        }
    }

    async fn processors(&self, known: &mut Vec<ProcessorLag>, judges: &mut BTreeMap<&'static str, Judge>) {
        let mut seen = Vec::with_capacity(CONSUMERS.len());
        for consumer in &CONSUMERS {
            let name = consumer.processor;
            let before = known.iter().find(|lag| lag.name == name);
            let found = match timeout(NATS_ANSWER, lag(&self.context, consumer)).await {
                Ok(Ok(found)) => Some(found),
                Ok(Err(error)) => {
                    tracing::debug!(error = &error as &dyn Error, "a lag is unknown");
                    None
                }
                Err(_late) => None,
            };
            seen.push(match found {
                Some(found) => processor_lag(name, &found, judges.entry(name).or_default()),
                None => ProcessorLag {
                    name,
                    state: State::Down,
                    lag_events: before.map_or(0, |lag| lag.lag_events),
                    lag_s: before.map_or(0.0, |lag| lag.lag_s),
                },
            });
        }
        *known = seen;
    }

    /// Streams that are there; what does not answer stays as it was known.
    async fn streams(&self, known: &mut Vec<StreamSize>) {
        for config in streams(&Limits::default()) {
            let Ok(Ok(stream)) = timeout(NATS_ANSWER, self.context.get_stream(&config.name)).await else {
                continue;
            };
            let state = &stream.cached_info().state;
            let size = StreamSize { name: config.name, messages: state.messages, bytes: state.bytes };
            match known.iter_mut().find(|stream| stream.name == size.name) {
                Some(before) => *before = size,
                None => known.push(size),
            }
        }
    }
}

fn processor_lag(name: &'static str, lag: &Lag, judge: &mut Judge) -> ProcessorLag {
    let state = judge.judge(lag, Instant::now());
    ProcessorLag { name, state, lag_events: lag.events, lag_s: (lag.seconds * 10.0).round() / 10.0 }
}

/// `Build Information: QuestDB 9.3.4, JDK …` tells 9.3.4.
fn version_of(build: &str) -> String {
    let version = build.split("QuestDB ").nth(1).and_then(|rest| rest.split([',', ' ']).next());
    version.unwrap_or(build).chars().take(40).collect()
}

/// Renders the lag once for every client.
pub fn tell(news: &watch::Sender<LagNews>, lag: &LagView) {
    match serde_json::to_vec(lag) {
        Ok(json) => {
            news.send_modify(|news| *news = LagNews { version: news.version + 1, json: Bytes::from(json) })
        }
        Err(error) => tracing::error!(%error, "the lag cannot be rendered"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_out_of_the_build() {
        assert_eq!(version_of("Build Information: QuestDB 9.3.4, JDK 24.0.2, Commit Hash 9ea"), "9.3.4");
        assert_eq!(version_of("something else"), "something else");
    }
}
