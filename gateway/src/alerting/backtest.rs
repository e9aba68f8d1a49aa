//! One back-test as the gateway has it: asks the processors, says that somebody waits, hands on what they tell.

use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::identity::Identity;
use crate::identity::authorize::Bell;
use crate::identity::secret::readable_id;
use crate::shutdown::stopped;
use async_nats::connection::State;
use async_nats::{Client, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use watchkeeper_schemas::backtest::{
    BacktestAsk, BacktestLine, BacktestProgress, BacktestResult, BacktestTold, EPISODES_MAX, HEED_OFF,
    HEED_ON, TriedEpisode, TriedRule,
};
use watchkeeper_schemas::ids::RunId;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::{backtest_ask, backtest_heed, backtest_told};

/// Longest wait for the first word; where nobody listens the server says so at once.
const FIRST_WORD_MAX: Duration = Duration::from_secs(2);
/// Longest wait for any other; a processor tells some times a second.
const NEXT_WORD_MAX: Duration = Duration::from_secs(15);
/// Between two words that somebody waits.
const HEED_EVERY: Duration = Duration::from_secs(1);
/// When whoever found no processor should come again, in seconds.
const AWAY_RETRY_S: u32 = 5;
/// When whoever found all of them busy should come again, in seconds.
const BUSY_RETRY_S: u32 = 10;

/// What is to be tried.
#[derive(Debug)]
pub struct Tried {
    /// The rule.
    pub rule: TriedRule,
    /// The same rule as it is saved.
    pub before: Option<TriedRule>,
    /// The beginning, inclusive.
    pub from: UnixMs,
    /// The end, exclusive.
    pub to: UnixMs,
}

/// Whether whoever asked may still have the answer.
pub struct Leave {
    /// Who asked.
    pub principal: Principal,
    /// Knows what became of them.
    pub identity: Arc<Identity>,
    /// Rings when that may have changed.
    pub bell: Bell,
    /// Ends the answer, too.
    pub shutdown: watch::Receiver<bool>,
}

/// A back-test under way.
pub struct Backtest {
    told: Subscriber,
    leave: Leave,
    /// The first word, until it was handed on.
    first: Option<BacktestProgress>,
    episodes: [Vec<TriedEpisode>; 2],
    over: bool,
    /// As long as this lives, somebody waits.
    _waits: oneshot::Sender<Infallible>,
}

impl Backtest {
    /// Asks the processors; returns once one of them has taken it on.
    ///
    /// # Errors
    /// 503 where none answers, or all are busy.
    pub async fn begin(client: Client, leave: Leave, tried: Tried) -> Result<Self, Problem> {
        let away = || Problem::unavailable("no processor answers: a back-test needs one", AWAY_RETRY_S);
        // What is handed over without a connection would be asked when nobody waits any more.
        if client.connection_state() != State::Connected {
            return Err(away());
        }
        let run: RunId = readable_id().ok().and_then(|id| id.parse().ok()).ok_or_else(away)?;
        let team = leave.principal.team.clone();
        let subject = backtest_told(&team, &run);
        let mut told = client.subscribe(subject.clone()).await.map_err(|_| away())?;
        let Tried { rule, before, from, to } = tried;
        let heed = backtest_heed(&team, &run);
        let ask = BacktestAsk { v: 1, run, rule, before, from, to };
        let payload = serde_json::to_vec(&ask).map_err(|_| away())?;
        client.publish_with_reply(backtest_ask(&team), subject, payload.into()).await.map_err(|_| away())?;
        let first = timeout(FIRST_WORD_MAX, told.next()).await.ok().flatten().ok_or_else(away)?;
        if first.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(away());
        }
        let first = match serde_json::from_slice(&first.payload) {
            Ok(BacktestTold::Progress(progress)) => progress,
            Ok(BacktestTold::Busy) => {
                let detail = "the processors try other rules just now: come again in a moment";
                return Err(Problem::unavailable(detail, BUSY_RETRY_S));
            }
            Ok(BacktestTold::Failed { detail }) => return Err(Problem::unavailable(detail, AWAY_RETRY_S)),
            Ok(BacktestTold::Episodes { .. } | BacktestTold::Done(_)) | Err(_) => return Err(away()),
        };
        let (waits, until) = oneshot::channel();
        tokio::spawn(heed_until_dropped(client, heed, until));
        Ok(Self { told, leave, first: Some(first), episodes: Default::default(), over: false, _waits: waits })
    }

    /// The answer line by line; dropped, it cancels.
    pub fn into_lines(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        futures_util::stream::unfold(self, |mut backtest| async move {
            if backtest.over {
                return None;
            }
            let line = backtest.next().await;
            backtest.over = !matches!(line, BacktestLine::Progress(_));
            // What the processors wrote can be written again.
            let mut bytes = serde_json::to_vec(&line).ok()?;
            bytes.push(b'\n');
            Some((Ok(Bytes::from(bytes)), backtest))
        })
    }

    async fn next(&mut self) -> BacktestLine {
        if let Some(first) = self.first.take() {
            return BacktestLine::Progress(first);
        }
        loop {
            // What ends by time rings no bell.
            if let Err(end) = self.leave.identity.still(&self.leave.principal) {
                return error(end.as_str());
            }
            let word = tokio::select! {
                biased;
                () = stopped(&mut self.leave.shutdown) => return error("the gateway was stopped: try again"),
                () = self.leave.bell.rung() => continue,
                word = timeout(NEXT_WORD_MAX, self.told.next()) => word,
            };
            let Ok(Some(word)) = word else { return error("the processor that tried it answers no more") };
            match serde_json::from_slice(&word.payload) {
                Ok(BacktestTold::Progress(progress)) => return BacktestLine::Progress(progress),
                Ok(BacktestTold::Episodes { before, episodes }) => self.keep(before, episodes),
                Ok(BacktestTold::Done(result)) => return BacktestLine::Result(self.whole(result)),
                Ok(BacktestTold::Failed { detail }) => return error(&detail),
                Ok(BacktestTold::Busy) | Err(_) => {
                    return error("the processor says what nobody understands");
                }
            }
        }
    }

    fn keep(&mut self, before: bool, episodes: Vec<TriedEpisode>) {
        let kept = &mut self.episodes[usize::from(before)];
        kept.extend(episodes);
        kept.truncate(EPISODES_MAX);
    }

    fn whole(&mut self, mut result: Box<BacktestResult>) -> Box<BacktestResult> {
        let [rule, before] = std::mem::take(&mut self.episodes);
        result.rule.episodes = rule;
        if let Some(outcome) = &mut result.before {
            outcome.episodes = before;
        }
        result
    }
}

fn error(detail: &str) -> BacktestLine {
    BacktestLine::Error { detail: detail.to_owned() }
}

/// Says again and again that somebody waits, and at last that nobody does.
async fn heed_until_dropped(client: Client, subject: String, mut waits: oneshot::Receiver<Infallible>) {
    let mut ticks = interval(HEED_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut word = HEED_ON;
    while word == HEED_ON {
        tokio::select! {
            _ = &mut waits => word = HEED_OFF,
            _ = ticks.tick() => {}
        }
        if let Err(error) = client.publish(subject.clone(), Bytes::from_static(word)).await {
            tracing::debug!(%error, "whether somebody waits for a back-test was not said");
        }
    }
}
