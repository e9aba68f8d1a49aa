//! What the host is: read at start and every few minutes, told again when it changed.

use super::Tick;
use super::roots::Roots;
use super::source::{Source, read_once};
use crate::pace::Pace;
use std::path::PathBuf;
use std::time::Duration;
use watchkeeper_schemas::quantity::{Text, UnixMs};
use watchkeeper_schemas::sample::{Inventory, Memory, MountedDisk};

const LOOK_EVERY: Duration = Duration::from_secs(300);
/// The first processor stands for all.
const CPUINFO_BYTES_ENOUGH: usize = 4096;
/// Words in the maker's name of a virtual machine, and what it is called in samples.
const MACHINES: [(&str, &str); 11] = [
    ("amazon", "amazon"),
    ("google", "google"),
    ("microsoft", "microsoft"),
    ("vmware", "vmware"),
    ("innotek", "virtualbox"),
    ("virtualbox", "virtualbox"),
    ("parallels", "parallels"),
    ("xen", "xen"),
    ("qemu", "kvm"),
    ("kvm", "kvm"),
    ("red hat", "kvm"),
];

/// What other collectors read already.
pub(super) struct Facts<'a> {
    pub(super) cores: usize,
    /// Seconds since 1970.
    pub(super) booted: u64,
    pub(super) memory: Option<&'a Memory>,
}

pub(super) struct InventoryCollector {
    hostname: PathBuf,
    kernel: PathBuf,
    releases: [PathBuf; 2],
    cpuinfo: PathBuf,
    makers: [PathBuf; 2],
    /// Present in containers of the engine of that name.
    engines: [(PathBuf, &'static str); 3],
    pace: Pace,
    known: Inventory,
}

impl InventoryCollector {
    pub(super) fn new(roots: &Roots) -> Self {
        let hostname = if roots.is_elsewhere() { "etc/hostname" } else { "proc/sys/kernel/hostname" };
        Self {
            hostname: roots.path(hostname),
            kernel: roots.path("proc/sys/kernel/osrelease"),
            releases: ["etc/os-release", "usr/lib/os-release"].map(|file| roots.path(file)),
            cpuinfo: roots.path("proc/cpuinfo"),
            makers: ["sys/class/dmi/id/sys_vendor", "sys/class/dmi/id/product_name"]
                .map(|file| roots.path(file)),
            engines: [(".dockerenv", "docker"), ("run/.containerenv", "podman"), ("dev/lxd", "lxc")]
                .map(|(file, engine)| (roots.path(file), engine)),
            pace: Pace::every(LOOK_EVERY),
            known: Inventory::default(),
        }
    }

    pub(super) fn known(&self) -> &Inventory {
        &self.known
    }

    /// True where something changed.
    pub(super) fn read(&mut self, tick: &mut Tick<'_>, facts: &Facts<'_>, mounted: &[MountedDisk]) -> bool {
        if !self.pace.is_due(tick.now) {
            let moved = self.known.disks != mounted;
            if moved {
                self.known.disks = mounted.to_vec();
            }
            return moved;
        }
        let now = self.look(tick.buffer, facts, mounted);
        // The kernel works the boot time out anew from a clock that is trimmed.
        let same = Inventory { boot_time: self.known.boot_time, ..now.clone() } == self.known;
        if same && self.known.boot_time.0.abs_diff(now.boot_time.0) < 60_000 {
            return false;
        }
        self.known = now;
        true
    }

    fn look(&self, buffer: &mut Vec<u8>, facts: &Facts<'_>, mounted: &[MountedDisk]) -> Inventory {
        let mut text = |path: &PathBuf| read_once(path.clone(), buffer).unwrap_or_default();
        let (hostname, kernel) = (text(&self.hostname), text(&self.kernel));
        let os = self
            .releases
            .iter()
            .find_map(|path| pretty_name(&text(path)))
            .unwrap_or_else(|| "Linux".to_owned());
        let maker = self.makers.iter().map(&mut text).collect::<Vec<_>>().join(" ");
        let cpuinfo =
            Source::new(self.cpuinfo.clone()).read_up_to(CPUINFO_BYTES_ENOUGH, buffer).unwrap_or_default();
        let engine = self.engines.iter().find(|(path, _)| path.exists()).map(|(_, engine)| *engine);
        Inventory {
            hostname: Text::fit(&hostname),
            os: Text::fit(&os),
            kernel: Text::fit(&kernel),
            arch: Text::fit(std::env::consts::ARCH),
            cpu_model: Text::fit(cpu_model(&cpuinfo)),
            cores: u16::try_from(facts.cores).unwrap_or(u16::MAX),
            memory_bytes: facts.memory.map(|memory| memory.total).unwrap_or_default(),
            virtualization: Text::fit(engine.unwrap_or_else(|| machine(&cpuinfo, &maker))),
            agent_version: Text::fit(env!("CARGO_PKG_VERSION")),
            boot_time: UnixMs(facts.booted.saturating_mul(1000)),
            disks: mounted.to_vec(),
        }
    }
}

/// PRETTY_NAME of an os-release.
fn pretty_name(release: &str) -> Option<String> {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    let name = name.trim().trim_matches(['"', '\'']).replace('\\', "");
    (!name.is_empty()).then_some(name)
}

/// As x86, ARM boards and others call it.
fn cpu_model(cpuinfo: &str) -> &str {
    let named = |key: &str| {
        cpuinfo.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == key).then(|| value.trim())
        })
    };
    ["model name", "Model", "Hardware", "cpu model", "Processor"]
        .into_iter()
        .find_map(named)
        .unwrap_or_default()
}

/// The kind of virtual machine; empty on bare metal.
fn machine(cpuinfo: &str, maker: &str) -> &'static str {
    let maker = maker.to_ascii_lowercase();
    let known = MACHINES.iter().find(|(word, _)| maker.contains(word)).map(|(_, kind)| *kind);
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let virtual_here = flags.split_ascii_whitespace().any(|flag| flag == "hypervisor");
    match known {
        // These make hardware too.
        Some("microsoft" | "google" | "amazon") if !virtual_here && !flags.is_empty() => "",
        Some(kind) => kind,
        None if virtual_here => "vm",
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_each_system_keeps_them() {
        assert_eq!(
            pretty_name("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n").unwrap(),
            "Debian GNU/Linux 12 (bookworm)"
        );
        assert_eq!([pretty_name(""), pretty_name("PRETTY_NAME=\"\"")], [None, None]);
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: Intel(R) Xeon(R)\n"), "Intel(R) Xeon(R)");
        assert_eq!(cpu_model("processor : 0\nBogoMIPS : 108\nModel : Raspberry Pi 4"), "Raspberry Pi 4");
        assert_eq!(cpu_model("no colon"), "");
    }

    #[test]
    fn a_virtual_machine_is_told_from_hardware() {
        let (guest, metal) = ("flags\t: fpu hypervisor sse", "flags\t: fpu sse");
        assert_eq!(machine(guest, "QEMU Standard PC"), "kvm");
        assert_eq!(machine(guest, "Microsoft Corporation Virtual Machine"), "microsoft");
        assert_eq!(
            [machine(metal, "Microsoft Corporation Surface"), machine(metal, "Dell Inc."), machine("", "")],
            ["", "", ""]
        );
        assert_eq!([machine(guest, ""), machine("", "Amazon EC2 c7g.large")], ["vm", "amazon"]);
    }

    #[test]
    fn a_change_is_told_once() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/hostname"), "web-1\n").unwrap();
        let mut collector = InventoryCollector::new(&Roots::new(root.path()));
        let (mut buffer, start) = (Vec::new(), std::time::Instant::now());
        let mut changed_at = |s: u64, booted: u64| {
            let mut tick =
                Tick { now: start + Duration::from_secs(s), elapsed: Duration::ZERO, buffer: &mut buffer };
            collector.read(&mut tick, &Facts { cores: 2, booted, memory: None }, &[])
        };
        assert_eq!(
            [changed_at(0, 1000), changed_at(5, 1000), changed_at(300, 1001), changed_at(600, 2000)],
            [true, false, false, true]
        );
        assert_eq!(collector.known().hostname.as_str(), "web-1");
    }
}
