//! The newest numbers of hosts, read from LATEST when somebody asks for them.

use serde::Deserialize;
use std::collections::BTreeMap;
use watchkeeper_schemas::ids::{HostId, TeamId};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects;
use watchkeeper_streams::rebuild::{Begin, RebuildError, read};
use watchkeeper_streams::topology::{LATEST, bucket_stream};

/// Shortest time without a sample after which a host is silent, in milliseconds.
const SILENT_MS_MIN: u64 = 30_000;

/// What is shown of a host; null where it does not tell.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct View {
    /// Which host.
    pub host: HostId,
    /// When its newest sample was stored.
    pub received: UnixMs,
    /// Between two samples.
    pub interval_ms: u32,
    /// Processors.
    #[serde(default)]
    pub cpu: Cpu,
    /// Memory.
    #[serde(default)]
    pub memory: Space,
    /// Swap space.
    #[serde(default)]
    pub swap: Space,
    /// Run queue averages.
    #[serde(default)]
    pub load: Load,
    /// File systems.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// Interfaces.
    #[serde(default)]
    pub networks: Vec<Network>,
    /// Sensors.
    #[serde(default)]
    pub temperatures: Vec<Temperature>,
    /// The rest.
    #[serde(default)]
    pub system: System,
}

/// Processors.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Cpu {
    /// Not idle.
    pub usage_pct: Option<f64>,
    /// Waiting for disks.
    pub iowait_pct: Option<f64>,
}

/// Memory or swap.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Space {
    /// Used.
    pub used_pct: Option<f64>,
    /// Used.
    pub used_bytes: Option<f64>,
    /// There is.
    pub total_bytes: Option<f64>,
}

/// Run queue averages.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Load {
    /// Over a minute.
    pub avg_1: Option<f64>,
    /// Over five.
    pub avg_5: Option<f64>,
    /// Over fifteen.
    pub avg_15: Option<f64>,
}

/// A file system.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Disk {
    /// Where it stands.
    pub mount: String,
    /// Used.
    pub used_pct: Option<f64>,
    /// Free.
    pub free_bytes: Option<f64>,
    /// Names that are used up.
    pub inodes_used_pct: Option<f64>,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Network {
    /// Its name.
    pub interface: String,
    /// Received.
    pub rx_bytes_per_s: Option<f64>,
    /// Sent.
    pub tx_bytes_per_s: Option<f64>,
}

/// A sensor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Temperature {
    /// Its name.
    pub sensor: String,
    /// How warm.
    pub celsius: Option<f64>,
}

/// The rest.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct System {
    /// Since it started.
    pub uptime_s: Option<f64>,
}

impl View {
    /// For how long it has been silent; nothing while it reports.
    #[must_use]
    pub fn silent_ms(&self, now: UnixMs) -> Option<u64> {
        let age = now.0.saturating_sub(self.received.0);
        (age > SILENT_MS_MIN.max(3 * u64::from(self.interval_ms))).then_some(age)
    }

    /// The fullest file system.
    #[must_use]
    pub fn fullest(&self) -> Option<&Disk> {
        let used = |disk: &&Disk| disk.used_pct.unwrap_or(-1.0);
        self.disks.iter().max_by(|a, b| used(a).total_cmp(&used(b)))
    }
}

/// The newest view of every host of a team that ever reported.
///
/// # Errors
/// When JetStream does not answer.
pub async fn views(
    context: &async_nats::jetstream::Context,
    team: &TeamId,
) -> Result<BTreeMap<HostId, View>, RebuildError> {
    let filter = subjects::bucket_key(LATEST, &subjects::latest_of_team(team));
    let mut views = BTreeMap::new();
    read(context, &bucket_stream(LATEST), &[&filter], Begin::LastPerSubject, |event| {
        // A host that was removed leaves an empty value behind.
        if let Ok(view) = serde_json::from_slice::<View>(&event.payload) {
            views.insert(view.host.clone(), view);
        }
    })
    .await?;
    Ok(views)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_view_is_read() {
        let golden = include_bytes!("../../../../schemas/golden/host-view-usual.json");
        let view: View = serde_json::from_slice(golden).unwrap();
        assert_eq!((view.cpu.usage_pct, view.memory.used_pct), (Some(34.2), Some(54.5)));
        assert_eq!(view.disks.first().map(|it| it.mount.as_str()), Some("/"));
        assert_eq!(view.system.uptime_s, Some(432_060.0));
        assert_eq!(view.silent_ms(UnixMs(view.received.0 + 30_000)), None);
        assert_eq!(view.silent_ms(UnixMs(view.received.0 + 30_001)), Some(30_001));
    }
}
