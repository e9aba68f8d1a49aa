//! Any sample that a host could send, for proptest.

use proptest::collection::vec;
use proptest::prelude::*;
use watchkeeper_schemas::ids::BootId;
use watchkeeper_schemas::quantity::{Kib, Num, Pct, Text, UnixMs};
use watchkeeper_schemas::sample::*;
use watchkeeper_schemas::subjects::SampleSubject;

/// Largest number that every field of bytes or events takes.
const AMOUNT_MAX: u64 = 1 << 42;
const ROWS_MAX: usize = 5;

pub(crate) fn any_sample() -> impl Strategy<Value = Sample> {
    (head(), scalars(), rows(), option_of(inventory())).prop_map(|(head, scalars, rows, inventory)| {
        let mut sample = head;
        (sample.cpu, sample.load, sample.memory, sample.swap) = scalars.0;
        (sample.processes, sample.pressure, sample.system) = scalars.1;
        (sample.cores, sample.disks, sample.disk_io, sample.networks, sample.temperatures, sample.custom) =
            rows;
        sample.inventory = inventory.map(Box::new);
        sample
    })
}

fn option_of<T: std::fmt::Debug + Clone>(
    strategy: impl Strategy<Value = T>,
) -> impl Strategy<Value = Option<T>> {
    proptest::option::of(strategy)
}

fn head() -> impl Strategy<Value = Sample> {
    let ids = ("[a-z0-9][a-z0-9_-]{0,31}", "[a-z0-9][a-z0-9_-]{0,63}", any::<[u8; 16]>());
    let numbers = (1..1_u64 << 53, 1_577_836_800_000..4_102_444_800_000_u64, 100..=3_600_000_u32);
    let extra = (any::<i64>(), 0..1_u64 << 53, any::<u32>());
    (ids, numbers, extra).prop_map(|((team, host, boot), (seq, time, interval_ms), extra)| {
        let subject = SampleSubject::live(team.parse().unwrap(), host.parse().unwrap());
        let mut sample = Sample::empty(&subject, BootId(boot), seq, UnixMs(time), interval_ms);
        (sample.clock_step_ms, sample.lost_samples, sample.dropped_values) = extra;
        sample
    })
}

type Scalars = (
    (Option<Cpu>, Option<Load>, Option<Memory>, Option<Swap>),
    (Option<Processes>, Option<Pressure>, Option<System>),
);

fn scalars() -> impl Strategy<Value = Scalars> {
    let cpu =
        ([pct(), pct(), pct(), pct(), pct(), pct(), pct()], option_of(0..=100_000_u32), any::<[u32; 2]>())
            .prop_map(
                |(
                    [usage_pct, user_pct, system_pct, iowait_pct, steal_pct, nice_pct, irq_pct],
                    frequency_mhz,
                    per_s,
                )| Cpu {
                    usage_pct,
                    user_pct,
                    system_pct,
                    iowait_pct,
                    steal_pct,
                    nice_pct,
                    irq_pct,
                    frequency_mhz,
                    context_switches_per_s: per_s[0],
                    interrupts_per_s: per_s[1],
                },
            );
    let load = [0_f32..1e6, 0_f32..100.0, 0_f32..1.0].prop_map(|it| Load {
        avg_1: Num(it[0]),
        avg_5: Num(it[1]),
        avg_15: Num(it[2]),
    });
    let memory = [kib(), kib(), kib(), kib(), kib(), kib(), kib()].prop_map(
        |[total, available, cached, buffers, shared, slab, dirty]| Memory {
            total,
            available,
            cached,
            buffers,
            shared,
            slab,
            dirty,
        },
    );
    let swap = (kib(), kib(), any::<[u32; 2]>()).prop_map(|(total, used, pages)| Swap {
        total,
        used,
        in_pages_per_s: pages[0],
        out_pages_per_s: pages[1],
    });
    let processes = any::<[u32; 4]>().prop_map(|[total, threads, running, blocked]| Processes {
        total,
        threads,
        running,
        blocked,
    });
    let pressure = [pct(), pct(), pct()].prop_map(|[cpu_pct, memory_pct, io_pct]| Pressure {
        cpu_pct,
        memory_pct,
        io_pct,
    });
    let system = (0..AMOUNT_MAX, any::<[u32; 2]>()).prop_map(|(uptime_s, [open_files, tcp_connections])| {
        System { uptime_s, open_files, tcp_connections }
    });
    (
        (option_of(cpu), option_of(load), option_of(memory), option_of(swap)),
        (option_of(processes), option_of(pressure), option_of(system)),
    )
}

type Rows = (Vec<Core>, Vec<Disk>, Vec<DiskIo>, Vec<Network>, Vec<Temperature>, Vec<Custom>);

fn rows() -> impl Strategy<Value = Rows> {
    let core = (any::<u16>(), pct()).prop_map(|(core, usage_pct)| Core { core, usage_pct });
    let disk =
        (name(), [kib(), kib(), kib()], pct()).prop_map(|(mount, [total, used, free], inodes_used_pct)| {
            Disk { mount, total, used, free, inodes_used_pct }
        });
    let disk_io =
        (name(), [amount(), amount()], any::<[u32; 4]>(), pct()).prop_map(|(device, bytes, it, busy_pct)| {
            DiskIo {
                device,
                read_bytes_per_s: bytes[0],
                write_bytes_per_s: bytes[1],
                reads_per_s: it[0],
                writes_per_s: it[1],
                read_latency_us: it[2],
                write_latency_us: it[3],
                busy_pct,
            }
        });
    let network = (name(), any::<[u32; 2]>(), [amount(), amount(), amount(), amount(), amount(), amount()])
        .prop_map(|(interface, packets, it)| Network {
            interface,
            rx_bytes_per_s: it[0],
            tx_bytes_per_s: it[1],
            rx_packets_per_s: packets[0],
            tx_packets_per_s: packets[1],
            rx_errors: it[2],
            tx_errors: it[3],
            rx_drops: it[4],
            tx_drops: it[5],
        });
    let temperature = (name(), -273_f32..1000.0)
        .prop_map(|(sensor, celsius)| Temperature { sensor, celsius: Num(celsius) });
    let custom = ("[a-z][a-z0-9_]{0,9}(\\.[a-z][a-z0-9_]{0,9}){0,2}", -1e300..1e300)
        .prop_map(|(name, value)| Custom { name: Text::fit(&name), value });
    (
        vec(core, 0..ROWS_MAX),
        vec(disk, 0..ROWS_MAX),
        vec(disk_io, 0..ROWS_MAX),
        vec(network, 0..ROWS_MAX),
        vec(temperature, 0..ROWS_MAX),
        vec(custom, 0..ROWS_MAX),
    )
}

fn inventory() -> impl Strategy<Value = Inventory> {
    let disk = [name(), name(), name()].prop_map(|[mount, device, fs]| MountedDisk { mount, device, fs });
    let texts = [name(), name(), name(), name(), name(), name(), name()];
    (texts, any::<u16>(), kib(), amount(), vec(disk, 0..ROWS_MAX)).prop_map(
        |(texts, cores, memory_bytes, boot, disks)| {
            let [hostname, os, kernel, arch, cpu_model, virtualization, agent_version] = texts;
            let boot_time = UnixMs(boot);
            Inventory {
                hostname,
                os,
                kernel,
                arch,
                cpu_model,
                cores,
                memory_bytes,
                virtualization,
                agent_version,
                boot_time,
                disks,
            }
        },
    )
}

fn pct() -> impl Strategy<Value = Pct> {
    (0..=1000_u16).prop_map(Pct)
}

fn amount() -> impl Strategy<Value = u64> {
    // As many small numbers as large ones: every length on the wire comes up.
    (0..42_u32, any::<u64>()).prop_map(|(bits, it)| it % (1 << bits))
}

fn kib() -> impl Strategy<Value = Kib> {
    amount().prop_map(Kib)
}

fn name() -> impl Strategy<Value = Text> {
    prop_oneof![
        Just("/".to_owned()),
        Just("eth0".to_owned()),
        Just("Core 3".to_owned()),
        "[a-z/:. -]{0,40}",
        "\\PC{0,60}"
    ]
    .prop_map(|text| Text::fit(&text))
}
