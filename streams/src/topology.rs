//! ONE table of streams, buckets and consumers, ensured at start: created, verified, safely changed or refused.

use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::{Context, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use futures_util::future::try_join_all;
use std::time::Duration;
use watchkeeper_schemas::codec::FRAME_BYTES_MAX;
use watchkeeper_schemas::subjects;

/// Every sample and tick, for a day.
pub const SAMPLES: &str = "SAMPLES";
/// Facts about configuration, for good.
pub const JOURNAL: &str = "JOURNAL";
/// Who did what, chained by hashes, for good.
pub const AUDIT: &str = "AUDIT";
/// Transitions of alerts.
pub const ALERTS: &str = "ALERTS";
/// Notices: decided, tried, delivered.
pub const NOTICES: &str = "NOTICES";
/// Events that can never be handled.
pub const PARKED: &str = "PARKED";
/// Bucket: the newest view of every host.
pub const LATEST: &str = "LATEST";
/// Bucket: state of processors with the input sequence that it stands for.
pub const SNAPSHOTS: &str = "SNAPSHOTS";
/// Bucket: refresh-token families.
pub const SESSIONS: &str = "SESSIONS";
/// Bucket: sealed secrets.
pub const SECRETS: &str = "SECRETS";

/// Bucket: secrets of channels, sealed for the notifier alone.
pub const CHANNELS: &str = "CHANNELS";

/// The processor that keeps the newest view of every host.
pub const LATEST_CONSUMER: Consumer = Consumer {
    processor: "latest",
    stream: SAMPLES,
    // A tenth of a second is at once to a person; where some events come sooner, they do not wait for more.
    gather: Gather { longest: Duration::from_millis(100), events: 20 },
};
/// The processor that writes history.
pub const HISTORY_CONSUMER: Consumer = Consumer {
    processor: "history",
    stream: SAMPLES,
    // A database takes one large request much more cheaply than a hundred small ones.
    gather: Gather { longest: Duration::from_secs(1), events: 2048 },
};
/// The processor that decides which alerts are open and who hears.
pub const ALERTS_CONSUMER: Consumer = Consumer {
    processor: "alerts",
    stream: SAMPLES,
    // Nobody who is woken at night wakes 40 ms earlier.
    gather: Gather { longest: Duration::from_millis(40), events: 8 },
};
/// Every durable consumer.
pub static CONSUMERS: [Consumer; 3] = [LATEST_CONSUMER, HISTORY_CONSUMER, ALERTS_CONSUMER];

/// Events that a consumer may have delivered and not seen acknowledged.
pub const ACK_PENDING_EVENTS_MAX: i64 = 16_384;
/// Bytes that a reader asks for at once; no event that is read so may be larger. The client asks again when half has
/// come and the server counts what it is just writing, so that more than three times as much can be under way: a
/// connection with more than the server's `max_pending` of 4 MB is cut.
pub const AHEAD_BYTES_MAX: usize = 1 << 20;
/// A pull is renewed this often.
pub const PULL_EXPIRES: Duration = Duration::from_secs(30);
/// The server tells a waiting reader this often that it is there.
pub const PULL_HEARTBEAT: Duration = Duration::from_secs(5);
/// The runner resets its consumer whenever it begins anew, so that this only guards against a runner that hangs.
const ACK_WAIT: Duration = Duration::from_secs(600);
/// SAMPLES keeps at most this many of one host, so that a flooder evicts only itself.
const SAMPLES_PER_SUBJECT_MAX: i64 = 100_000;
const DAY: Duration = Duration::from_secs(24 * 3600);
const MIB: i64 = 1 << 20;

/// A durable consumer: its name is the processor's. It takes every event of its stream: behind a filter the server
/// looks up each event by its subject and reads ten times more slowly; what does not concern a processor it passes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consumer {
    /// The processor that reads it.
    pub processor: &'static str,
    /// The stream it reads.
    pub stream: &'static str,
    /// How many events are to be handled together.
    pub gather: Gather,
}

/// Shorter rests are none: a timer is no finer, and would make them longer.
const REST_MIN: Duration = Duration::from_millis(1);

/// How events that come one by one are gathered: whoever handled some rests until about so many have come again. The
/// first after a rest is handled at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gather {
    /// Longest rest.
    pub longest: Duration,
    /// Events that are worth waking up for.
    pub events: u32,
}

impl Gather {
    /// How long to rest where `handled` events came in the time since the batch before.
    #[must_use]
    pub fn pause(&self, handled: usize, since: Duration) -> Duration {
        let each = since.div_f64(handled.max(1) as f64);
        let rest = each.saturating_mul(self.events).min(self.longest);
        if rest < REST_MIN { Duration::ZERO } else { rest }
    }
}

/// What an installation chooses: how much is kept and on how many servers.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Age after which a sample leaves SAMPLES.
    pub samples_age: Duration,
    /// Bytes that SAMPLES holds at most.
    pub samples_bytes: i64,
    /// Servers that hold each stream.
    pub replicas: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { samples_age: DAY, samples_bytes: 8 * 1024 * MIB, replicas: 1 }
    }
}

/// Why the table could not be ensured.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// JetStream did not answer as it should.
    #[error("cannot {action} {name}")]
    JetStream {
        /// What was attempted.
        action: &'static str,
        /// The stream or consumer.
        name: String,
        /// What went wrong.
        source: async_nats::Error,
    },
    /// What stands there differs in a way that cannot be changed without losing something.
    #[error(
        "stream {name} stands there with other settings: {differences}. Back it up and remove it, or start with the settings it has"
    )]
    Differs {
        /// The stream.
        name: String,
        /// Each setting: what is there, what is wanted.
        differences: String,
    },
}

/// The table of streams and buckets.
#[must_use]
pub fn streams(limits: &Limits) -> Vec<Config> {
    let log = |name: &str, filters: &[&str], age: Duration, bytes: i64| Config {
        name: name.to_owned(),
        subjects: filters.iter().map(ToString::to_string).collect(),
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        discard: DiscardPolicy::Old,
        max_age: age,
        max_bytes: bytes,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_message_size: 64 * 1024,
        max_consumers: -1,
        num_replicas: limits.replicas,
        duplicate_window: Duration::from_secs(120),
        deny_delete: true,
        deny_purge: true,
        allow_direct: true,
        ..Config::default()
    };
    let bucket = |name: &str, storage: StorageType, value_bytes: i32, age: Duration| Config {
        storage,
        max_message_size: value_bytes,
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        deny_purge: false,
        ..log(&bucket_stream(name), &[&subjects::bucket_filter(name)], age, -1)
    };
    vec![
        Config {
            max_message_size: FRAME_BYTES_MAX as i32,
            max_messages_per_subject: SAMPLES_PER_SUBJECT_MAX,
            // Agents send no message ids: their names could be guessed and others' samples suppressed.
            duplicate_window: Duration::from_millis(100),
            ..log(SAMPLES, &subjects::SAMPLES_FILTERS, limits.samples_age, limits.samples_bytes)
        },
        log(JOURNAL, &[subjects::JOURNAL_FILTER], Duration::ZERO, -1),
        log(AUDIT, &[subjects::AUDIT_FILTER], Duration::ZERO, -1),
        log(ALERTS, &[subjects::ALERTS_FILTER], 400 * DAY, -1),
        Config {
            discard: DiscardPolicy::New,
            max_messages_per_subject: 1,
            discard_new_per_subject: true,
            ..log(NOTICES, &[subjects::NOTICES_FILTER], 400 * DAY, -1)
        },
        log(PARKED, &[subjects::PARKED_FILTER], 30 * DAY, 256 * MIB),
        bucket(LATEST, StorageType::Memory, 64 * 1024, Duration::ZERO),
        bucket(SNAPSHOTS, StorageType::File, MIB as i32, Duration::ZERO),
        bucket(SESSIONS, StorageType::File, 16 * 1024, 31 * DAY),
        bucket(SECRETS, StorageType::File, 64 * 1024, Duration::ZERO),
        bucket(CHANNELS, StorageType::File, 16 * 1024, Duration::ZERO),
    ]
}

/// The stream behind a bucket.
#[must_use]
pub fn bucket_stream(bucket: &str) -> String {
    format!("KV_{bucket}")
}

/// The settings of a durable consumer.
#[must_use]
pub fn consumer_config(consumer: &Consumer) -> pull::Config {
    pull::Config {
        durable_name: Some(consumer.processor.to_owned()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::All,
        ack_wait: ACK_WAIT,
        max_ack_pending: ACK_PENDING_EVENTS_MAX,
        ..pull::Config::default()
    }
}

/// Makes everything in the table exist as it stands there.
///
/// # Errors
/// When JetStream does not answer, or a stream differs in what cannot be changed safely.
pub async fn ensure(context: &Context, limits: &Limits) -> Result<(), TopologyError> {
    let streams = streams(limits);
    try_join_all(streams.iter().map(|wanted| ensure_stream(context, wanted))).await?;
    try_join_all(CONSUMERS.iter().map(|consumer| ensure_consumer(context, consumer))).await?;
    Ok(())
}

async fn ensure_stream(context: &Context, wanted: &Config) -> Result<(), TopologyError> {
    let failed = |action, source: async_nats::Error| TopologyError::JetStream {
        action,
        name: wanted.name.clone(),
        source,
    };
    let found = match context.get_stream(&wanted.name).await {
        Ok(stream) => stream.cached_info().config.clone(),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(reply) if reply.code() == 404 => {
                context.create_stream(wanted.clone()).await.map_err(|e| failed("create", e.into()))?;
                tracing::info!(stream = wanted.name, "stream created");
                return Ok(());
            }
            GetStreamErrorKind::JetStream(_)
            | GetStreamErrorKind::EmptyName
            | GetStreamErrorKind::Request
            | GetStreamErrorKind::InvalidStreamName => return Err(failed("look up", error.into())),
        },
    };
    let differences = differences(&found, wanted);
    if differences.is_empty() {
        return Ok(());
    }
    let unsafe_ones: Vec<_> = differences.iter().filter(|d| !d.safe).map(ToString::to_string).collect();
    if !unsafe_ones.is_empty() {
        return Err(TopologyError::Differs {
            name: wanted.name.clone(),
            differences: unsafe_ones.join("; "),
        });
    }
    context.update_stream(wanted.clone()).await.map_err(|e| failed("update", e.into()))?;
    for difference in differences {
        tracing::info!(stream = wanted.name, %difference, "stream setting changed");
    }
    Ok(())
}

async fn ensure_consumer(context: &Context, consumer: &Consumer) -> Result<(), TopologyError> {
    let failed = |action, source: async_nats::Error| TopologyError::JetStream {
        action,
        name: format!("consumer {} of {}", consumer.processor, consumer.stream),
        source,
    };
    let stream =
        context.get_stream_no_info(consumer.stream).await.map_err(|e| failed("look up", e.into()))?;
    let wanted = consumer_config(consumer);
    let found: consumer::PullConsumer = stream
        .get_or_create_consumer(consumer.processor, wanted.clone())
        .await
        .map_err(|e| failed("create", e.into()))?;
    let info = &found.cached_info().config;
    let filtered = !info.filter_subjects.is_empty() || !info.filter_subject.is_empty();
    if filtered || info.max_ack_pending != wanted.max_ack_pending || info.ack_wait != wanted.ack_wait {
        stream.update_consumer(wanted).await.map_err(|e| failed("update", e.into()))?;
        tracing::info!(consumer = consumer.processor, "consumer settings changed");
    }
    Ok(())
}

/// One setting that is not as wanted.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    setting: &'static str,
    found: String,
    wanted: String,
    /// Whether changing it in place loses nothing.
    safe: bool,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is {}, wanted {}", self.setting, self.found, self.wanted)
    }
}

fn differences(found: &Config, wanted: &Config) -> Vec<Difference> {
    macro_rules! compare {
        ($($setting:ident: $safe:expr),+ $(,)?) => {
            [$(Difference {
                setting: stringify!($setting),
                found: format!("{:?}", found.$setting),
                wanted: format!("{:?}", wanted.$setting),
                safe: $safe,
            }),+]
        };
    }
    let grows = wanted.subjects.iter().all(|subject| !subject.is_empty())
        && found.subjects.iter().all(|subject| wanted.subjects.contains(subject));
    compare!(
        subjects: grows,
        retention: false,
        storage: false,
        discard: false,
        discard_new_per_subject: false,
        max_age: true,
        max_bytes: true,
        max_messages: true,
        max_messages_per_subject: true,
        max_message_size: true,
        num_replicas: true,
        duplicate_window: true,
        allow_rollup: true,
        allow_direct: true,
        deny_delete: false,
        deny_purge: false,
        allow_message_ttl: false,
        allow_atomic_publish: true,
        allow_message_schedules: false,
    )
    .into_iter()
    .filter(|difference| difference.found != difference.wanted)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_busy_rests_shortly_and_nobody_rests_longer_than_allowed() {
        let gather = Gather { longest: Duration::from_millis(25), events: 4 };
        let check = |handled, since_ms, rest_ms| {
            assert_eq!(
                gather.pause(handled, Duration::from_millis(since_ms)),
                Duration::from_millis(rest_ms),
                "{handled} events in {since_ms} ms"
            );
        };
        check(1, 60_000, 25);
        check(5, 25, 20);
        check(40, 20, 2);
        check(2048, 4, 0);
    }

    fn samples() -> Config {
        streams(&Limits::default()).into_iter().find(|config| config.name == SAMPLES).unwrap()
    }

    #[test]
    fn a_longer_age_is_a_safe_change_and_another_storage_is_not() {
        let wanted = samples();
        assert_eq!(differences(&wanted, &wanted), []);
        let younger = Config { max_age: DAY / 2, ..wanted.clone() };
        assert!(differences(&younger, &wanted).iter().all(|d| d.safe));
        let memory = Config { storage: StorageType::Memory, ..wanted.clone() };
        let found = differences(&memory, &wanted);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), "storage is Memory, wanted File");
        assert!(!found[0].safe);
    }

    #[test]
    fn samples_give_agents_nothing_to_suppress_or_erase() {
        let samples = samples();
        assert!(samples.deny_delete && samples.deny_purge && !samples.allow_rollup);
        assert!(
            !samples.allow_message_ttl && !samples.allow_message_schedules && !samples.allow_atomic_publish
        );
        assert!(samples.duplicate_window <= Duration::from_millis(100));
        assert_eq!(samples.max_message_size as usize, FRAME_BYTES_MAX);
    }
}
