//! A sample: everything one host reported at one tick, in typed sections.
//!
//! Field names end with their unit and equal those of the catalogue; `Kib`, `Pct` and `Num` say how they travel.

use crate::ids::{BootId, HostId, TeamId};
use crate::quantity::{Kib, Num, Pct, Text, UnixMs};
use crate::subjects::SampleSubject;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything one host reported at one tick.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The owner; equals the subject's.
    pub team: TeamId,
    /// The host; equals the subject's.
    pub host: HostId,
    /// The boot in which `seq` counts.
    pub boot: BootId,
    /// Counts samples of a boot from 1, without holes where nothing was lost.
    pub seq: u64,
    /// When it was taken, by the host's clock.
    pub time: UnixMs,
    /// Until the next one is due, in milliseconds.
    pub interval_ms: u32,
    /// How far the host's clock was set since the sample before, in milliseconds.
    pub clock_step_ms: i64,
    /// Samples that this agent had to give up since it started.
    pub lost_samples: u64,
    /// Values that were not a number and were left out of this sample.
    pub dropped_values: u32,
    /// Time of all processors.
    pub cpu: Option<Cpu>,
    /// Each processor.
    pub cores: Vec<Core>,
    /// Run queue averages.
    pub load: Option<Load>,
    /// Main memory.
    pub memory: Option<Memory>,
    /// Swap space.
    pub swap: Option<Swap>,
    /// Each mounted file system.
    pub disks: Vec<Disk>,
    /// Each block device.
    pub disk_io: Vec<DiskIo>,
    /// Each network interface.
    pub networks: Vec<Network>,
    /// Each temperature sensor.
    pub temperatures: Vec<Temperature>,
    /// Processes and threads.
    pub processes: Option<Processes>,
    /// Share of time in which something waited for a resource (Linux PSI, last 10 s).
    pub pressure: Option<Pressure>,
    /// The system as a whole.
    pub system: Option<System>,
    /// Gauges that the host's owner added.
    pub custom: Vec<Custom>,
    /// What the host is; in the first sample, when it changed, and every few minutes.
    pub inventory: Option<Box<Inventory>>,
}

/// Shares of the time of all processors since the sample before.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the catalogue describes every field")]
pub struct Cpu {
    pub usage_pct: Pct,
    pub user_pct: Pct,
    pub system_pct: Pct,
    pub iowait_pct: Pct,
    pub steal_pct: Pct,
    pub nice_pct: Pct,
    pub irq_pct: Pct,
    pub frequency_mhz: Option<u32>,
    pub context_switches_per_s: u32,
    pub interrupts_per_s: u32,
}

/// One processor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the catalogue describes every field")]
pub struct Core {
    pub core: u16,
    pub usage_pct: Pct,
}

/// Run queue averages over 1, 5 and 15 minutes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the catalogue describes every field")]
pub struct Load {
    pub avg_1: Num,
    pub avg_5: Num,
    pub avg_15: Num,
}

/// Main memory; what is used follows from total and available.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the catalogue describes every field")]
pub struct Memory {
    pub total: Kib,
    pub available: Kib,
    pub cached: Kib,
    pub buffers: Kib,
    pub shared: Kib,
    pub slab: Kib,
    pub dirty: Kib,
}

/// Swap space.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the catalogue describes every field")]
pub struct Swap {
    pub total: Kib,
    pub used: Kib,
    pub in_pages_per_s: u32,
    pub out_pages_per_s: u32,
}

/// One mounted file system.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the catalogue describes every field")]
pub struct Disk {
    pub mount: Text,
    pub total: Kib,
    pub used: Kib,
    pub free: Kib,
    pub inodes_used_pct: Pct,
}

/// One block device.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the catalogue describes every field")]
pub struct DiskIo {
    pub device: Text,
    pub read_bytes_per_s: u64,
    pub write_bytes_per_s: u64,
    pub reads_per_s: u32,
    pub writes_per_s: u32,
    pub read_latency_us: u32,
    pub write_latency_us: u32,
    pub busy_pct: Pct,
}

/// One network interface; errors and drops count since the interface came up.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the catalogue describes every field")]
pub struct Network {
    pub interface: Text,
    pub rx_bytes_per_s: u64,
    pub tx_bytes_per_s: u64,
    pub rx_packets_per_s: u32,
    pub tx_packets_per_s: u32,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_drops: u64,
    pub tx_drops: u64,
}

/// One temperature sensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the catalogue describes every field")]
pub struct Temperature {
    pub sensor: Text,
    pub celsius: Num,
}

/// Processes and threads.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the catalogue describes every field")]
pub struct Processes {
    pub total: u32,
    pub threads: u32,
    pub running: u32,
    pub blocked: u32,
}

/// Share of time in which at least one task waited for the resource.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the catalogue describes every field")]
pub struct Pressure {
    pub cpu_pct: Pct,
    pub memory_pct: Pct,
    pub io_pct: Pct,
}

/// The system as a whole.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the catalogue describes every field")]
pub struct System {
    pub uptime_s: u64,
    pub open_files: u32,
    pub tcp_connections: u32,
}

/// A gauge that the host's owner added; its metric is `custom.<name>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Custom {
    /// The name behind `custom.`: words of a-z, 0-9 and _ joined by dots.
    pub name: Text,
    /// The value; not a number is dropped and counted.
    pub value: f64,
}

/// What a host is: read once, and again when it changed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Inventory {
    /// The name that the host gives itself.
    pub hostname: Text,
    /// Name and version of the operating system.
    pub os: Text,
    /// Version of the kernel.
    pub kernel: Text,
    /// Architecture of the processor.
    pub arch: Text,
    /// Model of the processor.
    pub cpu_model: Text,
    /// Processors that are online.
    pub cores: u16,
    /// Main memory.
    pub memory_bytes: Kib,
    /// Kind of virtual machine or container, empty on bare metal or where unknown.
    pub virtualization: Text,
    /// Version of the agent.
    pub agent_version: Text,
    /// When the host started.
    pub boot_time: UnixMs,
    /// What is mounted where.
    pub disks: Vec<MountedDisk>,
}

/// A mounted file system: what it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct MountedDisk {
    /// Where it is mounted.
    pub mount: Text,
    /// The device behind it.
    pub device: Text,
    /// Kind of file system.
    pub fs: Text,
}

impl Sample {
    /// An empty sample of a host; sections are filled in by collectors.
    #[must_use]
    pub fn empty(subject: &SampleSubject, boot: BootId, seq: u64, time: UnixMs, interval_ms: u32) -> Self {
        Self {
            team: subject.team.clone(),
            host: subject.host.clone(),
            boot,
            seq,
            time,
            interval_ms,
            clock_step_ms: 0,
            lost_samples: 0,
            dropped_values: 0,
            cpu: None,
            cores: Vec::new(),
            load: None,
            memory: None,
            swap: None,
            disks: Vec::new(),
            disk_io: Vec::new(),
            networks: Vec::new(),
            temperatures: Vec::new(),
            processes: None,
            pressure: None,
            system: None,
            custom: Vec::new(),
            inventory: None,
        }
    }

    /// Leaves out what is not a finite number and counts it in `dropped_values`.
    pub fn drop_non_finite(&mut self) {
        let mut dropped = 0;
        if let Some(load) = &mut self.load {
            for value in [&mut load.avg_1, &mut load.avg_5, &mut load.avg_15] {
                if !value.0.is_finite() {
                    value.0 = f32::NAN;
                    dropped += 1;
                }
            }
        }
        let before = self.temperatures.len() + self.custom.len();
        self.temperatures.retain(|temperature| temperature.celsius.0.is_finite());
        self.custom.retain(|custom| custom.value.is_finite());
        dropped += before - self.temperatures.len() - self.custom.len();
        self.dropped_values = self.dropped_values.saturating_add(dropped as u32);
    }
}
