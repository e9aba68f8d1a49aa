//! What the machine decided, as ALERTS and NOTICES keep it, with the evidence. Pure.

use crate::alerts::machine::{
    Machine, MetricKey, Notice, Report, Sampled, Transition, TransitionKind, Values,
};
use watchkeeper_schemas::alerting::EpisodeRef;
use watchkeeper_schemas::episode::{
    AlertEvent, Evidence, EvidenceValue, RuleThen, SampleThen, TransitionWord, fingerprint,
};
use watchkeeper_schemas::ids::TeamId;
use watchkeeper_schemas::notice::{Intent, intent_id};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::rule::Rule;

/// Numbers in a piece of evidence at most.
const EVIDENCE_VALUES_MAX: usize = 32;

/// The input that decided, and the machine after it.
pub(super) struct Place<'a> {
    pub(super) team: &'a TeamId,
    pub(super) sequence: u64,
    pub(super) time: UnixMs,
    pub(super) machine: &'a Machine,
    /// The back-filled sample, of which the machine keeps nothing.
    pub(super) backfilled: Option<&'a Report>,
}

impl Place<'_> {
    /// A transition as it is kept; `ordinal` counts the effects of the input. None: its rule or host has no id.
    pub(super) fn transition(
        &self,
        it: Transition,
        ordinal: u32,
        rule: Option<RuleThen>,
    ) -> Option<AlertEvent> {
        let episode = episode(&it.key, it.episode);
        let transition = match it.kind {
            TransitionKind::Fired => TransitionWord::Fired,
            TransitionKind::Level => TransitionWord::Level,
            TransitionKind::Acked => TransitionWord::Acked,
            TransitionKind::Resolved => TransitionWord::Resolved,
        };
        let decided = match self.backfilled {
            Some(report) if it.retro => Some((report.time, &report.values)),
            // The newest sample decided: the machine keeps it, even where a tick made it look again.
            _ if it.evidence.samples.is_empty() => None,
            _ => self.machine.last_sample(&it.key.host),
        };
        let evidence = decided.and_then(|sample| evidence(sample, &it.key.series, rule.as_ref()?));
        let words = [&self.sequence.to_string(), &ordinal.to_string()];
        Some(AlertEvent {
            v: 1,
            id: fingerprint(&[self.team.as_str(), episode.id()?.as_str(), words[0], words[1]]),
            team: self.team.clone(),
            episode_id: episode.id()?,
            episode,
            transition,
            level: it.level,
            reason: it.reason.map(String::from),
            sequence: self.sequence,
            ordinal,
            time: self.time,
            since: UnixMs(it.since),
            value: it.value,
            peak: it.peak,
            duration_ms: it.duration_ms,
            shadow: it.shadow,
            retro: it.retro,
            rule_then: rule,
            samples: it.evidence.samples.iter().map(sample).collect(),
            muted_by: it.evidence.muted_by.into_iter().map(String::from).collect(),
            evidence,
        })
    }

    /// A notice as it is kept.
    pub(super) fn intent(&self, it: Notice, rule: Option<RuleThen>) -> Option<Intent> {
        let episode = episode(&it.key, it.episode);
        let notice = it.kind.word();
        Some(Intent {
            v: 1,
            id: intent_id(self.team, &episode, notice, it.n, &it.receiver),
            team: self.team.clone(),
            episode_id: episode.id()?,
            episode,
            notice,
            n: it.n,
            receiver: it.receiver,
            level: it.level,
            reason: it.reason.map(String::from),
            since: UnixMs(it.since),
            value: it.value,
            peak: it.peak,
            duration_ms: it.duration_ms,
            short_episodes: it.short_episodes,
            shadow: it.shadow,
            rule_then: rule,
            sequence: self.sequence,
            time: self.time,
        })
    }
}

/// The numbers of the sample that the rule reads, of the rows that the alert is about.
fn evidence((taken, sample): (u64, &Values), series: &str, rule: &RuleThen) -> Option<Evidence> {
    let rule: Rule = rule.text.parse().ok()?;
    let mut values = Vec::new();
    for metric in rule.metrics() {
        let Some(key) = MetricKey::find(&metric.name) else { continue };
        let is_meant = |row: &str| {
            let quoted = serde_json::Value::from(row).to_string();
            row.is_empty() || series.is_empty() || series.contains(&quoted)
        };
        let rows = sample.rows(&key).filter(|(row, _)| is_meant(row));
        values.extend(rows.map(|(row, value)| EvidenceValue {
            metric: metric.name.clone(),
            row: row.to_owned(),
            value,
        }));
    }
    values.truncate(EVIDENCE_VALUES_MAX);
    (!values.is_empty()).then_some(Evidence { time: UnixMs(taken), values })
}

fn sample(it: &Sampled) -> SampleThen {
    SampleThen { time: UnixMs(it.time), value: it.value }
}

fn episode(key: &crate::alerts::machine::Key, episode: u64) -> EpisodeRef {
    let [rule, host, series] = [&key.rule, &key.host, &key.series].map(ToString::to_string);
    EpisodeRef { rule, host, series, episode }
}
