//! What the gateway counts of itself, for Prometheus.

use crate::fleet::status::Status;
use crate::live::Live;
use crate::system::SystemView;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

/// Edges of the buckets for history queries, in seconds.
const HISTORY_SECONDS: [f64; 9] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// What the gateway counts of itself.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
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

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("watchkeeper_gateway"),
            requests: Family::default(),
            entries_unreadable: Counter::default(),
            reconnects: Counter::default(),
            history_seconds: Histogram::new(HISTORY_SECONDS),
            hosts: Family::default(),
            clients: Gauge::default(),
            lag_events: Family::default(),
            lag_seconds: Family::default(),
            parked: Gauge::default(),
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
    }

    /// Everything as Prometheus reads it.
    #[must_use]
    pub fn scrape(&self, live: &Live, system: &SystemView) -> String {
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
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(std::fmt::Error) => String::new(),
        }
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
