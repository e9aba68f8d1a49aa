//! What people decide, as files for `replay` write it: one event with its name, its fields as forgiving as can be.

use super::line;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use watchkeeper_schemas::alerting::{
    AlertFact, Defaults, EpisodeRef, Matcher, RuleState, SavedRule, Scope, Silence, Step, WatchedHost,
};
use watchkeeper_schemas::ids::{HostId, RuleId};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::rule::{Rule, Severity};

/// Steps of an escalation policy at most.
const STEPS_MAX: usize = 5;

/// One event of the journal.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Decision {
    RuleCreated(FileRule),
    #[serde(alias = "rule_updated", alias = "rule_edited")]
    RuleChanged(FileRule),
    RuleDeleted(Named),
    #[serde(alias = "silence_changed", alias = "maintenance_created", alias = "maintenance_changed")]
    SilenceCreated(FileSilence),
    #[serde(
        alias = "silence_deleted",
        alias = "silence_removed",
        alias = "silence_expired",
        alias = "maintenance_ended",
        alias = "maintenance_deleted"
    )]
    SilenceEnded(Named),
    #[serde(alias = "host_enrolled", alias = "host_changed", alias = "host_updated")]
    HostCreated(FileHost),
    HostPaused(Named),
    HostResumed(Named),
    HostDeleted(Named),
    #[serde(alias = "episode_acknowledged", alias = "acknowledged", alias = "alert_acked")]
    AlertAcknowledged(FileEpisode),
    #[serde(alias = "acknowledgement_withdrawn", alias = "alert_unacknowledged")]
    AlertAcknowledgementWithdrawn(FileEpisode),
    #[serde(alias = "episode_resolved")]
    AlertResolved(FileEpisode),
    #[serde(alias = "defaults_set", alias = "team_changed", alias = "team_settings_changed")]
    DefaultsChanged(FileDefaults),
    ReceiverFailed(Named),
    ReceiverRecovered(Named),
}

/// A thing by its id.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    #[serde(alias = "rule", alias = "host", alias = "silence", alias = "receiver")]
    id: String,
    #[serde(default, alias = "by", alias = "author")]
    reason: Option<String>,
}

/// A rule as files have it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRule {
    #[serde(alias = "rule")]
    id: RuleId,
    /// What people read; only `rules apply` asks for it.
    #[serde(default)]
    name: Option<String>,
    text: String,
    #[serde(default)]
    scope: Scope,
    #[serde(default)]
    receivers: BTreeSet<String>,
    #[serde(default)]
    state: RuleState,
    #[serde(default, alias = "policy", alias = "escalation_policy", alias = "steps")]
    escalation: Vec<FileStep>,
}

/// A step of an escalation policy as files have it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileStep {
    receivers: BTreeSet<String>,
    #[serde(default, alias = "wait")]
    wait_s: f64,
}

/// A silence as files have it: times in broker seconds, or RFC 3339.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSilence {
    #[serde(default)]
    id: Option<String>,
    #[serde(default, alias = "by", alias = "created_by")]
    author: String,
    #[serde(default, alias = "comment")]
    reason: String,
    #[serde(default, alias = "from", alias = "starts", alias = "starts_at", alias = "start_s")]
    start: Option<FileTime>,
    #[serde(alias = "until", alias = "to", alias = "ends", alias = "ends_at", alias = "end_s")]
    end: FileTime,
    matchers: FileMatchers,
}

/// Broker seconds, or RFC 3339.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a number of seconds or a time such as 2026-01-01T00:00:00Z")]
enum FileTime {
    Seconds(f64),
    Written(UnixMs),
}

/// All of these must match: one object, or a list of objects.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "matchers such as {\"host\":\"h1\",\"severity\":\"warning\"}, or a list of them"
)]
enum FileMatchers {
    One(FileMatcher),
    List(Vec<FileMatcher>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMatcher {
    host: Option<HostId>,
    tag: Option<String>,
    rule: Option<RuleId>,
    severity: Option<Severity>,
    #[serde(default, alias = "labels")]
    label: BTreeMap<String, String>,
}

/// What is known of a host as files have it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileHost {
    #[serde(alias = "host")]
    id: String,
    tags: Option<BTreeSet<String>>,
    paused: Option<bool>,
    interval_s: Option<f64>,
}

/// An episode as files name it; without a number: the one that is open.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileEpisode {
    rule: String,
    host: String,
    #[serde(default)]
    series: String,
    episode: Option<u64>,
    #[serde(default, alias = "author", alias = "user")]
    by: String,
}

/// Who hears where a rule names nobody, as files have it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileDefaults {
    #[serde(default)]
    receivers: BTreeSet<String>,
    #[serde(default, alias = "policy", alias = "escalation_policy", alias = "steps")]
    escalation: Vec<FileStep>,
}

/// What earlier lines said of hosts, and how an open episode is found.
pub(super) struct Before<'a> {
    pub(super) hosts: &'a mut BTreeMap<String, WatchedHost>,
    pub(super) open_episode: &'a dyn Fn(&EpisodeRef) -> Option<u64>,
    /// Log time of the line, in milliseconds.
    pub(super) now: u64,
    /// The line.
    pub(super) number: u64,
}

impl Decision {
    /// The fact that the machine reads.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(super) fn fact(self, before: &mut Before<'_>) -> Result<AlertFact, String> {
        Ok(match self {
            Self::RuleCreated(rule) | Self::RuleChanged(rule) => rule.fact()?,
            Self::RuleDeleted(it) => AlertFact::Rule { id: id(&it.id)?, value: None },
            Self::SilenceCreated(silence) => silence.fact(before)?,
            Self::SilenceEnded(it) => AlertFact::Silence { id: it.id, value: None },
            Self::HostCreated(FileHost { id: host, tags, paused, interval_s }) => {
                let watched = before.hosts.entry(host.clone()).or_default();
                watched.tags = tags.unwrap_or(std::mem::take(&mut watched.tags));
                watched.paused = paused.unwrap_or(watched.paused);
                watched.interval_ms = interval_s.map_or(watched.interval_ms, |s| line::ms(s) as u32);
                AlertFact::Host { id: id(&host)?, value: Some(watched.clone()) }
            }
            Self::HostPaused(it) => pause(&it.id, true, before)?,
            Self::HostResumed(it) => pause(&it.id, false, before)?,
            Self::HostDeleted(it) => {
                before.hosts.remove(&it.id);
                AlertFact::Host { id: id(&it.id)?, value: None }
            }
            Self::AlertAcknowledged(it) => {
                let (by, episode) = it.named(before)?;
                AlertFact::Ack { episode, value: Some(by) }
            }
            Self::AlertAcknowledgementWithdrawn(it) => {
                AlertFact::Ack { episode: it.named(before)?.1, value: None }
            }
            Self::AlertResolved(it) => {
                let (by, episode) = it.named(before)?;
                AlertFact::Resolve { episode, by }
            }
            Self::DefaultsChanged(FileDefaults { receivers, escalation }) => {
                AlertFact::Defaults { value: Defaults { receivers, policy: policy(escalation)? } }
            }
            Self::ReceiverFailed(it) => {
                AlertFact::Receiver { id: it.id, value: Some(it.reason.unwrap_or_default()) }
            }
            Self::ReceiverRecovered(it) => AlertFact::Receiver { id: it.id, value: None },
        })
    }
}

impl FileRule {
    /// The rule as the machine reads it.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(super) fn fact(self) -> Result<AlertFact, String> {
        let (id, _, rule) = self.saved()?;
        Ok(AlertFact::Rule { id, value: Some(rule) })
    }

    /// Its id, its name where it has one, and the rest as it is saved.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(super) fn saved(self) -> Result<(RuleId, Option<String>, SavedRule), String> {
        let Self { id, name, text, scope, receivers, state, escalation } = self;
        text.parse::<Rule>().map_err(|error| format!("rule {id}: {error}"))?;
        let policy = policy(escalation).map_err(|error| format!("rule {id}: {error}"))?;
        Ok((id, name, SavedRule { text, scope, receivers, state, policy }))
    }
}

impl FileSilence {
    fn fact(self, before: &Before<'_>) -> Result<AlertFact, String> {
        let Self { id, author, reason, start, end, matchers } = self;
        let parts = match matchers {
            FileMatchers::One(one) => vec![one],
            FileMatchers::List(list) => list,
        };
        let matchers: Vec<Matcher> = parts.into_iter().flat_map(FileMatcher::matchers).collect();
        if matchers.is_empty() {
            return Err("a silence needs at least one matcher: host, tag, rule, label or severity".to_owned());
        }
        let from = start.map_or(UnixMs(before.now), FileTime::at);
        let silence = Silence { author, reason, from, until: end.at(), matchers };
        let id = id.unwrap_or_else(|| format!("line-{}", before.number));
        Ok(AlertFact::Silence { id, value: Some(silence) })
    }
}

impl FileTime {
    fn at(self) -> UnixMs {
        match self {
            Self::Seconds(seconds) => UnixMs(line::ms(seconds)),
            Self::Written(time) => time,
        }
    }
}

impl FileMatcher {
    fn matchers(self) -> impl Iterator<Item = Matcher> {
        let Self { host, tag, rule, severity, label } = self;
        let labels = label.into_iter().map(|(name, value)| Matcher::Label { name, value });
        let plain = [host.map(Matcher::Host), tag.map(Matcher::Tag), rule.map(Matcher::Rule)];
        plain.into_iter().flatten().chain(severity.map(Matcher::Severity)).chain(labels)
    }
}

impl FileEpisode {
    fn named(self, before: &Before<'_>) -> Result<(String, EpisodeRef), String> {
        let Self { rule, host, series, episode, by } = self;
        let mut named = EpisodeRef { rule, host, series, episode: episode.unwrap_or_default() };
        if episode.is_none() {
            let open = (before.open_episode)(&named);
            named.episode = open
                .ok_or_else(|| format!("nothing of {} {}{} is open", named.rule, named.host, named.series))?;
        }
        Ok((by, named))
    }
}

fn pause(host: &str, paused: bool, before: &mut Before<'_>) -> Result<AlertFact, String> {
    let watched = before.hosts.entry(host.to_owned()).or_default();
    watched.paused = paused;
    Ok(AlertFact::Host { id: id(host)?, value: Some(watched.clone()) })
}

fn policy(steps: Vec<FileStep>) -> Result<Vec<Step>, String> {
    if steps.len() > STEPS_MAX {
        return Err(format!("{} steps: an escalation policy has at most {STEPS_MAX}", steps.len()));
    }
    let step = |step: FileStep| Step { receivers: step.receivers, wait_ms: line::ms(step.wait_s) };
    Ok(steps.into_iter().map(step).collect())
}

fn id<I: std::str::FromStr>(text: &str) -> Result<I, String>
where
    I::Err: std::fmt::Display,
{
    text.parse().map_err(|error: I::Err| error.to_string())
}
