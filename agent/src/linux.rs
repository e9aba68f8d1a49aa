//! Linux: the collectors of one host, each over a file or two of /proc and /sys that stay open.
//!
//! Each collector has a pure `parse` of the kernel's text and a `collect` that fills its section of a sample. A section
//! whose source is missing, or whose rates cannot be known yet, stays absent.

mod cpu;
mod disk_io;
mod disks;
mod inventory;
mod memory;
mod mounts;
mod networks;
mod pressure;
mod processes;
mod roots;
mod source;
mod system;
mod temperatures;

use crate::collectors::{Collector, Observe};
use roots::Roots;
use std::time::{Duration, Instant};
use watchkeeper_schemas::sample::{Inventory, Sample};

/// Rows of one list in a sample; with all lists full a sample still fits into its frame.
const ROWS_MAX: usize = 48;

/// What one tick gives every collector.
struct Tick<'a> {
    now: Instant,
    /// Since the tick before; rates need it.
    elapsed: Duration,
    /// For the contents of files, used again and again.
    buffer: &'a mut Vec<u8>,
}

/// The host's collectors with what they remember between ticks.
pub(crate) struct Host {
    without: Vec<Collector>,
    last: Option<Instant>,
    buffer: Vec<u8>,
    cpu: cpu::CpuCollector,
    memory: memory::MemoryCollector,
    disks: disks::DiskCollector,
    disk_io: disk_io::DiskIoCollector,
    networks: networks::NetworkCollector,
    temperatures: temperatures::TemperatureCollector,
    processes: processes::ProcessCollector,
    pressure: pressure::PressureCollector,
    system: system::SystemCollector,
    inventory: inventory::InventoryCollector,
}

impl Host {
    /// Opens the host below `observe.root` and takes the first reading, which rates count from.
    #[must_use]
    pub(crate) fn open(observe: &Observe, now: Instant) -> Self {
        let roots = Roots::new(&observe.root);
        let mut host = Self {
            without: observe.without.clone(),
            last: None,
            buffer: Vec::new(),
            cpu: cpu::CpuCollector::new(&roots),
            memory: memory::MemoryCollector::new(&roots),
            disks: disks::DiskCollector::new(&roots, observe.mounts.clone()),
            disk_io: disk_io::DiskIoCollector::new(&roots),
            networks: networks::NetworkCollector::new(&roots),
            temperatures: temperatures::TemperatureCollector::new(&roots),
            processes: processes::ProcessCollector::new(&roots),
            pressure: pressure::PressureCollector::new(&roots),
            system: system::SystemCollector::new(&roots),
            inventory: inventory::InventoryCollector::new(&roots),
        };
        host.read(now, None);
        host
    }

    /// Fills every section of `sample`; true where the host is no longer what its inventory said.
    pub(crate) fn collect(&mut self, now: Instant, sample: &mut Sample) -> bool {
        self.read(now, Some(sample))
    }

    /// What the host is.
    #[must_use]
    pub(crate) fn inventory(&self) -> &Inventory {
        self.inventory.known()
    }

    fn read(&mut self, now: Instant, sample: Option<&mut Sample>) -> bool {
        let elapsed =
            self.last.replace(now).map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        let mut tick = Tick { now, elapsed, buffer: &mut self.buffer };
        let on = |collector| !self.without.contains(&collector);
        let (cpu, stat) = self.cpu.read(&mut tick);
        let (memory, swap) = self.memory.read(&mut tick);
        let disks = if on(Collector::Disks) { self.disks.read(&mut tick) } else { Vec::new() };
        let disk_io = if on(Collector::DiskIo) { self.disk_io.read(&mut tick) } else { Vec::new() };
        let networks = if on(Collector::Networks) { self.networks.read(&mut tick) } else { Vec::new() };
        let temperatures = if on(Collector::Temperatures) { self.temperatures.read(&mut tick) } else { &[] };
        let (load, processes) = self.processes.read(&mut tick, &stat);
        let pressure = if on(Collector::Pressure) { self.pressure.read(&mut tick) } else { None };
        let system = if on(Collector::System) { self.system.read(&mut tick) } else { None };
        let facts = inventory::Facts { cores: stat.cores, booted: stat.booted, memory: memory.as_ref() };
        let changed = self.inventory.read(&mut tick, &facts, self.disks.mounted());
        if let Some(sample) = sample {
            sample.cpu = cpu.total.filter(|_| on(Collector::Cpu));
            sample.cores = if on(Collector::Cores) { cpu.cores } else { Vec::new() };
            sample.load = load.filter(|_| on(Collector::Load));
            sample.processes = processes.filter(|_| on(Collector::Processes));
            sample.memory = memory.filter(|_| on(Collector::Memory));
            sample.swap = swap.filter(|_| on(Collector::Swap));
            sample.disks = disks;
            sample.disk_io = disk_io;
            sample.networks = networks;
            sample.temperatures = temperatures.to_vec();
            sample.pressure = pressure;
            sample.system = system;
        }
        changed
    }
}
