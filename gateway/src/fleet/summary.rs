//! One line of the fleet: the few numbers of a host view that a table shows.

use crate::fleet::status::Status;
use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use watchkeeper_schemas::ids::HostId;
use watchkeeper_schemas::quantity::UnixMs;

/// What decides about a view before anybody looks at its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The host.
    pub host: HostId,
    /// Place of its newest sample in the log; 0 before the first.
    pub sequence: u64,
    /// When the broker stored that sample.
    pub received: Option<UnixMs>,
    /// Until the next sample is due, in milliseconds.
    pub interval_ms: u32,
}

impl Heard {
    /// Reads it out of a host view, and no further than to the last of it: a tenth of the whole.
    ///
    /// # Errors
    /// When something of it is missing or no JSON.
    pub fn of_view(view: &[u8]) -> Result<Self, serde_json::Error> {
        let mut seen = Seeing::default();
        let read = serde_json::Deserializer::from_slice(view).deserialize_map(&mut seen);
        if let Seeing {
            host: Some(host),
            sequence: Some(sequence),
            received: Some(received),
            interval_ms: Some(interval_ms),
        } = seen
        {
            // To stop amid the view is an error only to a reader that wants all of it.
            return Ok(Self { host, sequence, received, interval_ms });
        }
        read.and_then(|()| {
            Err(serde_json::Error::custom("a host view without host, sequence, received or interval_ms"))
        })
    }
}

/// What has been seen so far.
#[derive(Default)]
struct Seeing {
    host: Option<HostId>,
    sequence: Option<u64>,
    received: Option<Option<UnixMs>>,
    interval_ms: Option<u32>,
}

/// The fields that are looked for.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Host,
    Sequence,
    Received,
    IntervalMs,
    #[serde(other)]
    Another,
}

impl<'de> Visitor<'de> for &mut Seeing {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a host view")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while self.host.is_none()
            || self.sequence.is_none()
            || self.received.is_none()
            || self.interval_ms.is_none()
        {
            let Some(field) = map.next_key()? else { break };
            match field {
                Field::Host => self.host = Some(map.next_value()?),
                Field::Sequence => self.sequence = Some(map.next_value()?),
                Field::Received => self.received = Some(map.next_value()?),
                Field::IntervalMs => self.interval_ms = Some(map.next_value()?),
                Field::Another => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// A host in a line: what a table of the fleet shows.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct HostSummary {
    /// The host.
    pub host: HostId,
    /// The name that people gave it, else the one that it gives itself, else its id.
    pub name: String,
    /// How it does.
    pub status: Status,
    /// Its tags, in order.
    pub tags: Vec<String>,
    /// Held back from watching by a person.
    pub paused: bool,
    /// Held off because it floods.
    pub flagged: bool,
    /// What an edit must name; 0 where it is not configured, but heard.
    pub revision: u64,
    /// Place of its newest sample in the log; never steps back. 0 before the first.
    pub sequence: u64,
    /// When that sample was taken, by the host's clock.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub time: Option<UnixMs>,
    /// When the broker stored it.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub received: Option<UnixMs>,
    /// Until the next sample is due, in milliseconds.
    pub interval_ms: u32,
    /// Name and version of the operating system.
    #[schema(required)]
    pub os: Option<String>,
    /// Processors that are online.
    #[schema(required)]
    pub cores: Option<u32>,
    /// Time since the host started.
    #[schema(required)]
    pub uptime_s: Option<f64>,
    /// Share of processor time that was not idle.
    #[schema(required)]
    pub cpu_usage_pct: Option<f64>,
    /// Share of memory that is not available.
    #[schema(required)]
    pub memory_used_pct: Option<f64>,
    /// Share of swap space in use.
    #[schema(required)]
    pub swap_used_pct: Option<f64>,
    /// The fullest file system: share of its space in use.
    #[schema(required)]
    pub disk_used_pct: Option<f64>,
    /// Where that file system is mounted.
    #[schema(required)]
    pub disk_mount: Option<String>,
    /// Bytes received a second, all interfaces together.
    #[schema(required)]
    pub net_rx_bytes_per_s: Option<f64>,
    /// Bytes sent a second, all interfaces together.
    #[schema(required)]
    pub net_tx_bytes_per_s: Option<f64>,
    /// Tasks running or waiting, mean over 1 minute.
    #[schema(required)]
    pub load_1: Option<f64>,
    /// The hottest sensor.
    #[schema(required)]
    pub temp_max_celsius: Option<f64>,
}

impl HostSummary {
    /// Reads the summary out of a host view; serde passes over everything else in it.
    ///
    /// # Errors
    /// When it is no JSON, or lacks what identifies a host.
    pub fn of_view(view: &[u8]) -> Result<Self, serde_json::Error> {
        let seen: Seen<'_> = serde_json::from_slice(view)?;
        let fullest = seen.disks.iter().filter(|disk| disk.used_pct.is_some());
        let fullest = fullest.max_by(|a, b| a.used_pct.unwrap_or(0.0).total_cmp(&b.used_pct.unwrap_or(0.0)));
        let inventory = seen.inventory.unwrap_or_default();
        let name = inventory.hostname.filter(|name| !name.is_empty());
        Ok(Self {
            name: name.map_or_else(|| seen.host.to_string(), Cow::into_owned),
            host: seen.host,
            status: Status::Active,
            tags: Vec::new(),
            paused: false,
            flagged: false,
            revision: 0,
            sequence: seen.sequence,
            time: seen.time,
            received: seen.received,
            interval_ms: seen.interval_ms,
            os: inventory.os.filter(|os| !os.is_empty()).map(Cow::into_owned),
            cores: inventory.cores.filter(|cores| *cores > 0),
            uptime_s: seen.system.uptime_s,
            cpu_usage_pct: seen.cpu.usage_pct,
            memory_used_pct: seen.memory.used_pct,
            swap_used_pct: seen.swap.used_pct,
            disk_used_pct: fullest.and_then(|disk| disk.used_pct),
            disk_mount: fullest.map(|disk| disk.mount.clone().into_owned()),
            net_rx_bytes_per_s: sum(seen.networks.iter().map(|network| network.rx_bytes_per_s)),
            net_tx_bytes_per_s: sum(seen.networks.iter().map(|network| network.tx_bytes_per_s)),
            load_1: seen.load.avg_1,
            temp_max_celsius: seen.temperatures.iter().filter_map(|it| it.celsius).max_by(f64::total_cmp),
        })
    }

    /// The line of a host whose numbers cannot be read.
    #[must_use]
    pub fn without_numbers(heard: &Heard) -> Self {
        Self {
            host: heard.host.clone(),
            name: heard.host.to_string(),
            status: Status::Active,
            tags: Vec::new(),
            paused: false,
            flagged: false,
            revision: 0,
            sequence: heard.sequence,
            time: None,
            received: heard.received,
            interval_ms: heard.interval_ms,
            os: None,
            cores: None,
            uptime_s: None,
            cpu_usage_pct: None,
            memory_used_pct: None,
            swap_used_pct: None,
            disk_used_pct: None,
            disk_mount: None,
            net_rx_bytes_per_s: None,
            net_tx_bytes_per_s: None,
            load_1: None,
            temp_max_celsius: None,
        }
    }
}

/// The sum of what is known; unknown where nothing is.
fn sum(numbers: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    numbers.flatten().fold(None, |sum, number| Some(sum.unwrap_or(0.0) + number))
}

/// What the summary needs of a host view.
#[derive(Deserialize)]
struct Seen<'a> {
    host: HostId,
    sequence: u64,
    time: Option<UnixMs>,
    received: Option<UnixMs>,
    interval_ms: u32,
    #[serde(borrow)]
    inventory: Option<Inventory<'a>>,
    #[serde(default)]
    cpu: Used,
    #[serde(default)]
    memory: Used,
    #[serde(default)]
    swap: Used,
    #[serde(default)]
    load: Used,
    #[serde(default)]
    system: Used,
    #[serde(default, borrow)]
    disks: Vec<Disk<'a>>,
    #[serde(default)]
    networks: Vec<Network>,
    #[serde(default)]
    temperatures: Vec<Temperature>,
}

#[derive(Deserialize, Default)]
struct Inventory<'a> {
    #[serde(borrow)]
    hostname: Option<Cow<'a, str>>,
    #[serde(borrow)]
    os: Option<Cow<'a, str>>,
    cores: Option<u32>,
}

/// The numbers of any group of scalars that the summary shows.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Used {
    usage_pct: Option<f64>,
    used_pct: Option<f64>,
    avg_1: Option<f64>,
    uptime_s: Option<f64>,
}

#[derive(Deserialize)]
struct Disk<'a> {
    #[serde(borrow)]
    mount: Cow<'a, str>,
    used_pct: Option<f64>,
}

#[derive(Deserialize)]
struct Network {
    rx_bytes_per_s: Option<f64>,
    tx_bytes_per_s: Option<f64>,
}

#[derive(Deserialize)]
struct Temperature {
    celsius: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_the_fullest_disk_the_sum_of_interfaces_and_the_hottest_sensor() {
        let view = br#"{"v":1,"team":"default","host":"web-1","sequence":7,"time":"2026-01-01T00:00:00.000Z",
            "received":"2026-01-01T00:00:00.100Z","interval_ms":5000,"inventory":{"hostname":"web-1.example","os":"","cores":4},
            "cpu":{"usage_pct":12.5},"memory":{"used_pct":40},"swap":{"used_pct":null},"load":{"avg_1":0.4},
            "disks":[{"mount":"/","used_pct":20.5},{"mount":"/d\"x","used_pct":96},{"mount":"/n","used_pct":null}],
            "networks":[{"interface":"a","rx_bytes_per_s":1,"tx_bytes_per_s":null},{"interface":"b","rx_bytes_per_s":2,"tx_bytes_per_s":5}],
            "temperatures":[{"sensor":"x","celsius":40.5},{"sensor":"y","celsius":71}],"system":{"uptime_s":9}}"#;
        let summary = HostSummary::of_view(view).unwrap();
        assert_eq!((summary.name.as_str(), summary.os, summary.cores), ("web-1.example", None, Some(4)));
        assert_eq!((summary.disk_used_pct, summary.disk_mount.as_deref()), (Some(96.0), Some("/d\"x")));
        assert_eq!((summary.net_rx_bytes_per_s, summary.net_tx_bytes_per_s), (Some(3.0), Some(5.0)));
        assert_eq!((summary.temp_max_celsius, summary.swap_used_pct), (Some(71.0), None));
        assert_eq!((summary.uptime_s, summary.load_1), (Some(9.0), Some(0.4)));
    }

    #[test]
    fn a_host_that_has_told_little_is_still_shown_and_one_without_identity_is_not() {
        let view = br#"{"host":"a","sequence":1,"time":"2026-01-01T00:00:00Z","received":"2026-01-01T00:00:00Z","interval_ms":1,"inventory":null}"#;
        assert_eq!(HostSummary::of_view(view).unwrap().name, "a");
        assert!(HostSummary::of_view(b"{\"host\":\"a\"}").is_err());
        assert!(HostSummary::of_view(b"").is_err());
    }
}
