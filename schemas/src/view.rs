//! What people and other programs read: the view of a host, the public feed. JSON, with published schemas.

use crate::catalogue::{Metric, Row, Section};
use crate::ids::{BootId, HostId, Shard, TeamId};
use crate::quantity::UnixMs;
use crate::sample::{Inventory, Sample};
use schemars::JsonSchema;
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Deserialize, Serialize, Serializer};
use std::sync::LazyLock;

/// The newest state of a host, without its numbers: whose it is and where it stands in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostHead {
    /// Version of this form; 1.
    pub v: u8,
    /// The owner.
    pub team: TeamId,
    /// The host.
    pub host: HostId,
    /// Its shard, two digits.
    pub shard: Shard,
    /// Place of the newest sample in SAMPLES; never steps back.
    pub sequence: u64,
    /// The boot that `seq` counts in.
    pub boot: BootId,
    /// Number of the sample in its boot.
    pub seq: u64,
    /// When the sample was taken, by the host's clock.
    pub time: UnixMs,
    /// When the broker stored it.
    pub received: UnixMs,
    /// Until the next sample is due, in milliseconds.
    pub interval_ms: u32,
    /// Samples that the agent had to give up since it started.
    pub lost_samples: u64,
    /// Values of this sample that were not a number.
    pub dropped_values: u32,
    /// Messages under the host's subject that could not be read and were parked.
    pub unreadable_samples: u64,
    /// What the host is, once it has told.
    pub inventory: Option<Inventory>,
}

/// The view of a host as LATEST and the public feed hold it: head and numbers, named as in the catalogue.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct HostView<'a> {
    /// Whose and where.
    #[serde(flatten)]
    pub head: &'a HostHead,
    /// The numbers.
    #[serde(flatten)]
    pub numbers: Numbers<'a>,
}

/// The numbers of a sample as JSON: scalars under their group, rows in lists, absent ones as null.
#[derive(Debug, Clone, Copy)]
pub struct Numbers<'a>(pub &'a Sample);

/// Fields of a group or of a row, each with its metric.
type Fields = Vec<(&'static str, &'static Metric)>;

/// Where each metric stands in a view, read from the catalogue once.
struct Layout {
    groups: Vec<(&'static str, Fields)>,
    lists: Vec<(&'static str, Section, Fields)>,
}

static LAYOUT: LazyLock<Layout> = LazyLock::new(|| {
    let mut groups: Vec<(&'static str, Fields)> = Vec::new();
    for metric in Section::Host.metrics() {
        let (group, field) = metric.parts();
        match groups.iter_mut().find(|(name, _)| *name == group) {
            Some((_, fields)) => fields.push((field, metric)),
            None => groups.push((group, vec![(field, metric)])),
        }
    }
    let fields = |section: Section| section.metrics().map(|metric| (metric.parts().1, metric)).collect();
    let lists =
        Section::ALL.into_iter().filter_map(|section| Some((section.list()?, section, fields(section))));
    Layout { groups, lists: lists.collect() }
});

impl Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (group, fields) in &LAYOUT.groups {
            map.serialize_entry(group, &Object { label: None, row: Row::Host(self.0), fields })?;
        }
        for (list, section, fields) in &LAYOUT.lists {
            map.serialize_entry(list, &List { section: *section, fields, sample: self.0 })?;
        }
        map.serialize_entry("custom", &self.0.custom)?;
        map.end()
    }
}

struct List<'a> {
    section: Section,
    fields: &'a Fields,
    sample: &'a Sample,
}

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        let key = self.section.label().unwrap_or_default();
        let mut done = Ok(());
        self.section.rows(self.sample, |label, row| {
            if done.is_ok() {
                done =
                    list.serialize_element(&Object { label: Some((key, label)), row, fields: self.fields });
            }
        });
        done?;
        list.end()
    }
}

/// A group of scalars, or a row with its label first.
struct Object<'a> {
    label: Option<(&'static str, &'a str)>,
    row: Row<'a>,
    fields: &'a Fields,
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some((key, label)) = self.label {
            map.serialize_entry(key, label)?;
        }
        for (field, metric) in self.fields {
            map.serialize_entry(field, &Plain(metric.read(self.row)))?;
        }
        map.end()
    }
}

/// A number as people write it: whole ones without a point, unknown as null.
struct Plain(f64);

impl Serialize for Plain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.0.is_finite() {
            serializer.serialize_none()
        } else if self.0.fract() == 0.0 && self.0.abs() < 9e15 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}
