//! Back-tests: says what a rule would have done, to the gateway that asks, over core NATS and past the log.
//!
//! Read `trial.rs` (what is decided, pure), `scope.rs` (what of the log is looked at, pure) and `past.rs` (where the past
//! is read); here is who is served, when, and until when. Several programs share the questions.

mod past;
pub mod scope;
pub mod trial;

use crate::config::Config;
use crate::connection::Connection;
use crate::history::{self, QuestDb};
use async_nats::jetstream::context::Context;
use async_nats::{Client, Message, Subscriber};
use futures_util::StreamExt as _;
use past::{Covered, Past};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use trial::{Findings, Question, Trial};
use watchkeeper_schemas::alerting::WatchedHost;
use watchkeeper_schemas::backtest::{
    BacktestAsk, BacktestProgress, BacktestResult, BacktestTold, EPISODES_PER_MESSAGE, HEED_ON, TriedEpisode,
};
use watchkeeper_schemas::ids::{HostId, TeamId};
use watchkeeper_schemas::registry::Registry;
use watchkeeper_schemas::subjects::{self, BACKTEST_ASKS};
use watchkeeper_streams::journal::Facts;

/// Programs that answer are one group: each question goes to one of them.
const GROUP: &str = "backtest";
/// Runs at one time; it is the work of one core.
const RUNNING_MAX: usize = 1;
/// Runs that were taken on, those that wait included.
const TAKEN_MAX: usize = 4;
/// Runs of one team among them.
const TEAM_TAKEN_MAX: usize = 2;
/// A run takes no longer.
const RUN_MAX: Duration = Duration::from_secs(600);
/// Between two words about how far a run is.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// Between two words that a run waits.
const TELL_WAITING_EVERY: Duration = Duration::from_secs(1);
/// Who has not said for so long that somebody waits has gone.
const HEED_MAX: Duration = Duration::from_secs(5);
/// Longest wait until JOURNAL was read for the first time.
const FACTS_MAX: Duration = Duration::from_secs(5);
/// Hosts that are judged.
const HOSTS_MAX: usize = 10_000;

/// Answers until it is told to stop.
///
/// # Errors
/// When it cannot even begin: a credential cannot be read, or the address is none.
pub async fn run(config: &Config, shutdown: &mut watch::Receiver<bool>) -> anyhow::Result<()> {
    let connection = Connection::open(config, "backtest").await?;
    // Without it older samples are out of reach, which the answer says.
    let questdb = history::questdb(config).ok().map(Arc::new);
    let service = Service {
        client: connection.client().clone(),
        context: connection.context.clone(),
        facts: connection.facts.clone(),
        questdb,
        turn: Arc::new(Semaphore::new(RUNNING_MAX)),
        shutdown: shutdown.clone(),
    };
    let mut asks = connection.client().queue_subscribe(BACKTEST_ASKS, GROUP.to_owned()).await?;
    let mut runs = Runs::default();
    loop {
        tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => break,
            Some(ended) = runs.set.join_next_with_id() => runs.ended(ended),
            ask = asks.next() => match ask {
                Some(ask) => service.take(ask, &mut runs).await,
                None => anyhow::bail!("the connection to NATS is closed"),
            }
        }
    }
    // Each tells that it stops.
    while runs.set.join_next().await.is_some() {}
    Ok(())
}

/// Runs that were taken on.
#[derive(Default)]
struct Runs {
    set: JoinSet<()>,
    /// Whose each of them is.
    teams: Vec<(Id, TeamId)>,
}

impl Runs {
    fn has_room(&self, team: &TeamId) -> bool {
        let taken = self.teams.iter().filter(|(_, of)| of == team).count();
        self.teams.len() < TAKEN_MAX && taken < TEAM_TAKEN_MAX
    }

    /// One that panicked ends alone: other rules are judged on.
    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let ended = ended.map(|(id, ())| id).unwrap_or_else(|error| {
            tracing::error!(%error, "a back-test has panicked");
            error.id()
        });
        self.teams.retain(|(id, _)| *id != ended);
    }
}

/// What every run shares.
#[derive(Clone)]
struct Service {
    client: Client,
    context: Context,
    facts: watch::Receiver<Facts>,
    questdb: Option<Arc<QuestDb>>,
    turn: Arc<Semaphore>,
    shutdown: watch::Receiver<bool>,
}

impl Service {
    /// Takes a question on, or says that there is no room. The team is the subject's, whatever the body says.
    async fn take(&self, message: Message, runs: &mut Runs) {
        let Some(team) = subjects::team_of_backtest_ask(&message.subject) else { return };
        let Ok(ask) = serde_json::from_slice::<BacktestAsk>(&message.payload) else {
            tracing::warn!(%team, "a question for a back-test does not read");
            return;
        };
        let subject = subjects::backtest_told(&team, &ask.run);
        let teller = Teller { client: self.client.clone(), subject };
        if !runs.has_room(&team) {
            return teller.tell(&BacktestTold::Busy).await;
        }
        let heeded = self.client.subscribe(subjects::backtest_heed(&team, &ask.run)).await;
        let Ok(heeded) = heeded else { return };
        let run = Run { service: self.clone(), team: team.clone(), ask, teller };
        runs.teams.push((runs.set.spawn(run.run(heeded)).id(), team));
    }
}

/// Where a run tells.
struct Teller {
    client: Client,
    subject: String,
}

impl Teller {
    async fn tell(&self, told: &BacktestTold) {
        let sent = match serde_json::to_vec(told) {
            Ok(payload) => {
                self.client.publish(self.subject.clone(), payload.into()).await.map_err(|e| e.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = sent {
            tracing::debug!(error, "a word of a back-test was not told");
        }
    }
}

/// One back-test.
struct Run {
    service: Service,
    team: TeamId,
    ask: BacktestAsk,
    teller: Teller,
}

impl Run {
    /// Runs to its end, until nobody waits for it any more or until it is told to stop.
    async fn run(self, heeded: Subscriber) {
        let mut shutdown = self.service.shutdown.clone();
        let begun = Instant::now();
        let last = tokio::select! {
            last = self.work() => Some(last),
            () = until_unheeded(heeded) => None,
            _ = shutdown.wait_for(|stop| *stop) => {
                Some(BacktestTold::Failed { detail: "the processor was stopped: try again".to_owned() })
            }
        };
        match &last {
            Some(last) => self.teller.tell(last).await,
            None => tracing::debug!(team = %self.team, took = ?begun.elapsed(), "a back-test was given up"),
        }
    }

    /// The last word.
    async fn work(&self) -> BacktestTold {
        let told = async {
            // The run ends with its turn.
            let _turn = self.turn().await.ok_or("the processor was stopped: try again")?;
            let facts = self.facts().await.ok_or("JOURNAL has not been read yet: try again")?;
            self.try_rules(&facts).await
        };
        let told: Result<BacktestResult, async_nats::Error> = told.await;
        match told {
            Ok(result) => BacktestTold::Done(Box::new(result)),
            Err(error) => BacktestTold::Failed { detail: error.to_string() },
        }
    }

    /// Waits until it may run, and says so at once and then again.
    async fn turn(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        loop {
            let waits = self.service.turn.available_permits() == 0;
            let progress = BacktestProgress { waits, ..BacktestProgress::default() };
            self.teller.tell(&BacktestTold::Progress(progress)).await;
            let turn = Arc::clone(&self.service.turn).acquire_owned();
            if let Ok(turn) = timeout(TELL_WAITING_EVERY, turn).await {
                return turn.ok();
            }
        }
    }

    async fn facts(&self) -> Option<Arc<Registry>> {
        let mut facts = self.service.facts.clone();
        let known = timeout(FACTS_MAX, facts.wait_for(Option::is_some)).await;
        known.ok()?.ok()?.clone()
    }

    async fn try_rules(&self, facts: &Registry) -> Result<BacktestResult, async_nats::Error> {
        let (hosts, mut left_out) = self.hosts(facts);
        let BacktestAsk { rule, before, from, to, .. } = self.ask.clone();
        let mut trial = Trial::new(Question { rule, before, hosts })?;
        let (progress, progressed) = watch::channel(BacktestProgress::default());
        let past = Past {
            context: &self.service.context,
            questdb: self.service.questdb.clone(),
            team: &self.team,
            alone: facts.all_teams().count() == 1,
            from,
            to,
            deadline: Instant::now() + RUN_MAX,
            progress: &progress,
        };
        let Covered { parts, left_out: uncovered, .. } = tokio::select! {
            covered = past.read(&mut trial) => covered?,
            never = self.tell_progress(progressed) => match never {},
        };
        let Findings { mut rule, mut before, difference, left_out: unfound } = trial.findings();
        self.tell_episodes(false, std::mem::take(&mut rule.episodes)).await;
        if let Some(before) = &mut before {
            self.tell_episodes(true, std::mem::take(&mut before.episodes)).await;
        }
        left_out.extend(uncovered.into_iter().chain(unfound));
        Ok(BacktestResult { from, to, parts, rule, before, difference, left_out })
    }

    /// The team's hosts as they are today, and what is not to be judged.
    fn hosts(&self, facts: &Registry) -> (BTreeMap<HostId, WatchedHost>, Vec<String>) {
        let mut left_out = Vec::new();
        let Some(team) = facts.team(&self.team) else { return (BTreeMap::new(), left_out) };
        let watched = team.hosts.iter().map(|(id, host)| {
            let (tags, paused, interval_ms) = (host.tags.clone(), host.paused, host.interval_ms);
            (id.clone(), WatchedHost { tags, paused, interval_ms })
        });
        let hosts: BTreeMap<HostId, WatchedHost> = watched.take(HOSTS_MAX).collect();
        let (all, paused) = (team.hosts.iter().count(), hosts.values().filter(|host| host.paused).count());
        if all > hosts.len() {
            left_out.push(format!("Only the first {HOSTS_MAX} hosts by name are judged, of {all}."));
        }
        if paused > 0 {
            left_out.push(format!("Hosts that are paused today are not judged: {paused}."));
        }
        (hosts, left_out)
    }

    async fn tell_progress(
        &self,
        mut progressed: watch::Receiver<BacktestProgress>,
    ) -> std::convert::Infallible {
        loop {
            sleep(TELL_EVERY).await;
            let progress = *progressed.borrow_and_update();
            self.teller.tell(&BacktestTold::Progress(progress)).await;
        }
    }

    async fn tell_episodes(&self, before: bool, episodes: Vec<TriedEpisode>) {
        for some in episodes.chunks(EPISODES_PER_MESSAGE) {
            self.teller.tell(&BacktestTold::Episodes { before, episodes: some.to_vec() }).await;
        }
    }
}

/// Returns once nobody waits any more: because it was said, or because it was not said for long that somebody does.
async fn until_unheeded(mut heeded: Subscriber) {
    while let Ok(Some(word)) = timeout(HEED_MAX, heeded.next()).await {
        if &word.payload[..] != HEED_ON {
            return;
        }
    }
}
