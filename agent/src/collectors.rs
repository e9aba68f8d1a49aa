//! What of a host is read: the names of the collectors and where the host lies.

use std::path::PathBuf;

/// One collector, as `--without` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collector {
    /// Time of all processors, their clock rate, context switches, interrupts.
    Cpu,
    /// Each processor.
    Cores,
    /// Run queue averages.
    Load,
    /// Main memory.
    Memory,
    /// Swap space.
    Swap,
    /// Mounted file systems.
    Disks,
    /// Block devices.
    DiskIo,
    /// Network interfaces.
    Networks,
    /// Temperature sensors.
    Temperatures,
    /// Processes and threads.
    Processes,
    /// Time in which something waited for a resource.
    Pressure,
    /// Uptime, open files, TCP sockets.
    System,
}

impl Collector {
    /// Every collector.
    pub const ALL: [Self; 12] = [
        Self::Cpu,
        Self::Cores,
        Self::Load,
        Self::Memory,
        Self::Swap,
        Self::Disks,
        Self::DiskIo,
        Self::Networks,
        Self::Temperatures,
        Self::Processes,
        Self::Pressure,
        Self::System,
    ];

    /// Its name: that of the section in a sample which it fills.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cores => "cores",
            Self::Load => "load",
            Self::Memory => "memory",
            Self::Swap => "swap",
            Self::Disks => "disks",
            Self::DiskIo => "disk_io",
            Self::Networks => "networks",
            Self::Temperatures => "temperatures",
            Self::Processes => "processes",
            Self::Pressure => "pressure",
            Self::System => "system",
        }
    }

    /// The collector of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|collector| collector.name() == name)
    }
}

/// Which file systems are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mounts {
    /// Every real one: no pseudo file systems, no images, each device once.
    Auto,
    /// These, whatever they are.
    List(Vec<PathBuf>),
}

/// What is read, and where.
#[derive(Debug, Clone)]
pub struct Observe {
    /// The host's `/`; elsewhere where a container sees its host.
    pub root: PathBuf,
    /// Which file systems are told.
    pub mounts: Mounts,
    /// Collectors that are switched off.
    pub without: Vec<Collector>,
}
