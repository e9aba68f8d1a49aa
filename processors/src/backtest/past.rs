//! Reads the past into a trial: the log as far as it reaches back, before that the minutes of history.

use super::trial::Trial;
use crate::alerts::machine::{Input, Kind, MetricKey, Report, Value, Values};
use crate::history::minutes::{Mean, Minutes, Wanted};
use crate::history::{QuestDb, QuestDbError};
use async_nats::jetstream::context::Context;
use compact_str::CompactString;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;
use watchkeeper_schemas::backtest::{BacktestPart, BacktestProgress, BacktestSource};
use watchkeeper_schemas::ids::{BootId, TeamId};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::{TICK, live_samples_of_team};
use watchkeeper_streams::event::unix_ms;
use watchkeeper_streams::rebuild::{Begin, read_while};
use watchkeeper_streams::topology::SAMPLES;

const MINUTE_MS: u64 = 60_000;
/// Between two ticks where the log has none any more: the longest time that is no gap, in milliseconds.
const TICK_MS: u64 = 5000;
/// Events between two looks at the clock.
const LOOK_EVERY_EVENTS: u64 = 64;

/// The past of one team.
pub(super) struct Past<'a> {
    pub(super) context: &'a Context,
    pub(super) questdb: Option<Arc<QuestDb>>,
    pub(super) team: &'a TeamId,
    /// Nobody else's samples are in the log.
    pub(super) alone: bool,
    pub(super) from: UnixMs,
    pub(super) to: UnixMs,
    pub(super) deadline: Instant,
    pub(super) progress: &'a watch::Sender<BacktestProgress>,
}

/// What was read, and what was not.
#[derive(Debug, Default)]
pub(super) struct Covered {
    pub(super) parts: Vec<BacktestPart>,
    pub(super) left_out: Vec<String>,
    samples: u64,
}

impl Past<'_> {
    /// Every input of the range, in order.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(super) async fn read(&self, trial: &mut Trial) -> Result<Covered, async_nats::Error> {
        let mut covered = Covered::default();
        let kept = self.kept_since().await?.unwrap_or(self.to).min(self.to);
        if kept > self.from {
            self.read_minutes(trial, kept, &mut covered).await?;
        }
        if kept < self.to && Instant::now() < self.deadline {
            self.read_log(trial, kept.max(self.from), &mut covered).await?;
        }
        Ok(covered)
    }

    /// Since when the log is kept; nothing where it is empty.
    async fn kept_since(&self) -> Result<Option<UnixMs>, async_nats::Error> {
        let state = self.context.get_stream_no_info(SAMPLES).await?.get_info().await?.state;
        Ok((state.messages > 0).then(|| unix_ms(state.first_timestamp)))
    }

    async fn read_log(
        &self,
        trial: &mut Trial,
        from: UnixMs,
        covered: &mut Covered,
    ) -> Result<(), async_nats::Error> {
        // Behind a filter the server reads several times more slowly.
        let own = [live_samples_of_team(self.team), TICK.to_owned()];
        let filters: Vec<&str> = own.iter().map(String::as_str).filter(|_| !self.alone).collect();
        let (mut events, mut samples, mut stopped) = (0_u64, 0_u64, None);
        read_while(self.context, SAMPLES, &filters, Begin::Time(from), |event| {
            events += 1;
            let time = event.received;
            if time >= self.to {
                return ControlFlow::Break(());
            }
            if events.is_multiple_of(LOOK_EVERY_EVENTS) {
                self.tell(covered.samples + samples, time);
                if Instant::now() >= self.deadline {
                    stopped = Some(time);
                    return ControlFlow::Break(());
                }
            }
            let place = (event.sequence, time);
            if let Some(input) = trial.reads().input(self.team, place, &event.subject, &event.payload) {
                samples += u64::from(matches!(input.kind, Kind::Live(_)));
                trial.step(input);
            }
            ControlFlow::Continue(())
        })
        .await?;
        covered.add(BacktestSource::Samples, (from, stopped.unwrap_or(self.to)), samples);
        covered.left_out.extend(stopped.map(stopped_at));
        Ok(())
    }

    /// The minutes up to `until`; where history does not answer it is said.
    async fn read_minutes(
        &self,
        trial: &mut Trial,
        until: UnixMs,
        covered: &mut Covered,
    ) -> Result<(), async_nats::Error> {
        let Some(questdb) = &self.questdb else {
            covered
                .left_out
                .push(format!("Before {until} the log keeps nothing, and no history is configured."));
            return Ok(());
        };
        let (begin, end) = (self.from.0 / MINUTE_MS * MINUTE_MS, until.0 / MINUTE_MS * MINUTE_MS);
        let (mut at, mut samples, mut cut) = (begin, 0, false);
        let mut why = None;
        while at < end {
            if Instant::now() >= self.deadline {
                why = Some(stopped_at(UnixMs(at)));
                break;
            }
            let (means, last) = match self.means(trial, questdb, (at, end)).await? {
                Ok((means, is_cut, last)) => {
                    cut |= is_cut;
                    (means, last)
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a back-test cannot read history"
                    );
                    why = Some(format!(
                        "History did not answer: nothing from {} to {until} is in it.",
                        UnixMs(at)
                    ));
                    break;
                }
            };
            for input in inputs(trial.reads().metrics(), (at, last), means) {
                samples += u64::from(matches!(input.kind, Kind::Live(_)));
                trial.step(input);
            }
            at = last;
            self.tell(samples, UnixMs(at));
        }
        if samples > 0 {
            covered.add(BacktestSource::Minutes, (UnixMs(begin), UnixMs(at)), samples);
            let mean = "a sample is the mean of its minute: `for` below 2 m is inexact there.";
            covered.left_out.push(format!("Before {until} {mean}"));
        } else if why.is_none() && at > begin {
            covered.left_out.push(format!("Nothing of these hosts is kept from before {until}."));
        }
        if cut {
            covered
                .left_out
                .push("Some minutes have more series than are read; the rest is left out.".to_owned());
        }
        covered.left_out.extend(why);
        Ok(())
    }

    /// The next minutes, and where they end.
    async fn means(
        &self,
        trial: &Trial,
        questdb: &Arc<QuestDb>,
        (at, end): (u64, u64),
    ) -> Result<Result<(Vec<Mean>, bool, u64), QuestDbError>, async_nats::Error> {
        let metrics: Vec<Wanted> = trial.reads().metrics().iter().map(wanted).collect();
        let (questdb, team, hosts) = (Arc::clone(questdb), self.team.clone(), trial.reads().hosts().clone());
        // QuestDB's answer is waited for on a thread that may wait.
        let read = tokio::task::spawn_blocking(move || {
            let minutes = Minutes { team: &team, hosts: &hosts, metrics: &metrics };
            let last = end.min(at + minutes.at_once() * MINUTE_MS);
            minutes.read(&questdb, (UnixMs(at), UnixMs(last))).map(|(means, cut)| (means, cut, last))
        });
        Ok(read.await?)
    }

    fn tell(&self, samples: u64, time: UnixMs) {
        let (all, done) = (self.to.0 - self.from.0, time.0.saturating_sub(self.from.0));
        let done_pct = (done as f64 / all.max(1) as f64 * 100.0).min(100.0);
        self.progress.send_replace(BacktestProgress { waits: false, samples, done_pct });
    }
}

impl Covered {
    fn add(&mut self, source: BacktestSource, (from, to): (UnixMs, UnixMs), samples: u64) {
        self.samples += samples;
        self.parts.push(BacktestPart { source, from, to, samples });
    }
}

fn stopped_at(time: UnixMs) -> String {
    format!("It was stopped at {time}, because it took too long: nothing later is in it.")
}

fn wanted(key: &MetricKey) -> Wanted {
    match key {
        MetricKey::Known(column) => Wanted::Known(column.metric()),
        MetricKey::Custom(name) => Wanted::Custom(name.to_string()),
    }
}

/// Minutes as inputs: ticks, and at the end of each minute one sample of each host that reported in it.
fn inputs(metrics: &[MetricKey], (from, to): (u64, u64), means: Vec<Mean>) -> Vec<Input> {
    let mut minutes: BTreeMap<(u64, String), Vec<Value>> = BTreeMap::new();
    for Mean { minute, host, value } in means {
        let values = minutes.entry((minute.0, host)).or_default();
        values.extend(value.and_then(|(at, label, number)| {
            let label = CompactString::from(label);
            metrics.get(at).map(|metric| Value { metric: metric.clone(), label, number })
        }));
    }
    let mut inputs = Vec::new();
    let mut add = |time, kind| inputs.push(Input { sequence: time, time, kind });
    for minute in (from..to).step_by(MINUTE_MS as usize) {
        let end = minute + MINUTE_MS;
        (minute + TICK_MS..end).step_by(TICK_MS as usize).for_each(|time| add(time, Kind::Tick(Vec::new())));
        let hosts = minutes.range_mut((minute, String::new())..(end, String::new()));
        for ((_, host), values) in hosts {
            let report = Report {
                host: host.clone(),
                boot: BootId([0; 16]),
                seq: minute / MINUTE_MS,
                time: end,
                interval_ms: MINUTE_MS as u32,
                clock_step_ms: 0,
                values: Values::new(std::mem::take(values)),
            };
            add(end, Kind::Live(Box::new(report)));
        }
        add(end, Kind::Tick(Vec::new()));
    }
    inputs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_a_sample_at_its_end_among_ticks() {
        let metrics = [MetricKey::find("cpu.usage_pct").unwrap()];
        let mean = |minute, host: &str, value: Option<f64>| Mean {
            minute: UnixMs(minute),
            host: host.to_owned(),
            value: value.map(|number| (0, String::new(), number)),
        };
        let means = vec![
            mean(0, "a", None),
            mean(0, "a", Some(91.0)),
            mean(MINUTE_MS, "a", None),
            mean(MINUTE_MS, "b", None),
        ];
        let inputs = inputs(&metrics, (0, 2 * MINUTE_MS), means);
        let ticks = inputs.iter().filter(|input| matches!(input.kind, Kind::Tick(_))).count();
        assert_eq!(ticks, 24);
        assert!(
            inputs
                .windows(2)
                .all(|pair| pair[0].time <= pair[1].time && pair[1].time - pair[0].time <= TICK_MS)
        );
        let live: Vec<_> = inputs
            .iter()
            .filter_map(|input| match &input.kind {
                Kind::Live(report) => {
                    Some((input.time, report.host.as_str(), report.values.get(&metrics[0], "")))
                }
                Kind::Tick(_) | Kind::Backfill(_) | Kind::Unreadable(_) => None,
            })
            .collect();
        assert_eq!(
            live,
            [(MINUTE_MS, "a", Some(91.0)), (2 * MINUTE_MS, "a", None), (2 * MINUTE_MS, "b", None)]
        );
    }
}
