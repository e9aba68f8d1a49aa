//! What the gateway counts of itself, for Prometheus.

use crate::alerting::notices::Notices;
use crate::fleet::status::Status;
use crate::fleet::watch::now;
use crate::live::Live;
use crate::system::SystemView;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::{AtomicU64, Ordering};

/// Edges of the buckets for history queries, in seconds.
const HISTORY_SECONDS: [f64; 9] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// What the gateway counts of itself.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// What is of the whole system, and read by this gateway.
    of_system: Registry,
    /// Answers by route and status.
    pub requests: Family<Request, Counter>,
    /// Entries of the live view that could not be read.
    pub entries_unreadable: Counter,
    /// How often the connection to NATS was made anew.
    pub reconnects: Counter,
    /// Time of each history query.
    pub history_seconds: Histogram,
    hosts: Family<Hosts, Gauge>,
    clients: Gauge,
    lag_events: Family<Processor, Gauge>,
    lag_seconds: Family<Processor, Gauge<f64, AtomicU64>>,
    parked: Gauge,
    notices: Family<NoticeLabels, Counter>,
    notices_waiting: Gauge,
    notices_oldest: Gauge<f64, AtomicU64>,
}

/// The labels of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Request {
    /// The route as the API documents it; empty where none matched.
    pub route: String,
    /// The HTTP status.
    pub status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Hosts {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Processor {
    processor: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoticeLabels {
    channel: &'static str,
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("watchkeeper_gateway"),
            of_system: Registry::with_prefix("watchkeeper"),
            requests: Family::default(),
            entries_unreadable: Counter::default(),
            reconnects: Counter::default(),
            history_seconds: Histogram::new(HISTORY_SECONDS),
            hosts: Family::default(),
            clients: Gauge::default(),
            lag_events: Family::default(),
            lag_seconds: Family::default(),
            parked: Gauge::default(),
            notices: Family::default(),
            notices_waiting: Gauge::default(),
            notices_oldest: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Answers by route and status", self.requests.clone());
        registry.register(
            "entries_unreadable",
            "Entries of the live view that could not be read",
            self.entries_unreadable.clone(),
        );
        registry.register("reconnects", "Connections to NATS after the first", self.reconnects.clone());
        let history = self.history_seconds.clone();
        registry.register_with_unit("history_query", "Time of each history query", Unit::Seconds, history);
        registry.register("hosts", "Hosts by status", self.hosts.clone());
        registry.register("live_clients", "Clients of the live stream", self.clients.clone());
        registry.register("lag_events", "Events that a processor has not handled", self.lag_events.clone());
        let lag = self.lag_seconds.clone();
        registry.register_with_unit("lag", "Age of the oldest of them", Unit::Seconds, lag);
        registry.register("parked_events", "Events that can never be handled", self.parked.clone());
        let registry = &mut self.of_system;
        let about = "Notices by channel and by what became of them, as far back as they are kept";
        registry.register("notices", about, self.notices.clone());
        registry.register(
            "notices_waiting",
            "Notices that are still to be told",
            self.notices_waiting.clone(),
        );
        let oldest = self.notices_oldest.clone();
        let about = "Age of the oldest notice that is still to be told; 0 where none is";
        registry.register_with_unit("notices_waiting_oldest", about, Unit::Seconds, oldest);
    }

    fn tell_notices(&self, notices: &Notices) {
        for ((channel, state), count) in notices.counts() {
            // Of a receiver that was removed before the notice could be told.
            let channel = channel.map_or("none", |channel| channel.as_str());
            let counter = self.notices.get_or_create_owned(&NoticeLabels { channel, result: state.as_str() });
            counter.inner().store(count, Ordering::Relaxed);
        }
        let (count, first) = notices.waiting();
        self.notices_waiting.set(whole(count as u64));
        let age_ms = first.map_or(0, |first| now().0.saturating_sub(first.0));
        self.notices_oldest.set(age_ms as f64 / 1000.0);
    }

    /// Everything as Prometheus reads it.
    #[must_use]
    pub fn scrape(&self, live: &Live, notices: &Notices, system: &SystemView) -> String {
        self.tell_notices(notices);
        for status in Status::ALL {
            let count = live.fleet().hosts().filter(|host| host.status == status).count();
            self.hosts.get_or_create(&Hosts { status: status.as_str() }).set(whole(count as u64));
        }
        self.clients.set(whole(live.clients() as u64));
        for lag in &system.processors {
            let label = Processor { processor: lag.name.to_owned() };
            self.lag_events.get_or_create(&label).set(whole(lag.lag_events));
            self.lag_seconds.get_or_create(&label).set(lag.lag_s);
        }
        self.parked.set(whole(system.parked.total));
        let mut text = String::new();
        let written = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &self.of_system))
            .and_then(|()| encode_eof(&mut text));
        match written {
            Ok(()) => text,
            Err(std::fmt::Error) => String::new(),
        }
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
