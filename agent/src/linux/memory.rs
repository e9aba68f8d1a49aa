//! Main memory and swap: /proc/meminfo and the swap counters of /proc/vmstat.

use super::Tick;
use super::roots::Roots;
use super::source::Source;
use crate::rates::{Width, events_per_second, growth};
use watchkeeper_schemas::quantity::Kib;
use watchkeeper_schemas::sample::{Memory, Swap};

/// Both sections as /proc/meminfo tells them; swap without its rates. `None` where it is no such text.
fn parse(text: &str) -> Option<(Memory, Swap)> {
    let (mut memory, mut swap) = (Memory::default(), Swap::default());
    let (mut free, mut swap_free, mut reclaimable, mut available) = (0, 0, 0, None);
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        let Some(kib) = rest.split_ascii_whitespace().next().and_then(|word| word.parse().ok()) else {
            continue;
        };
        match name {
            "MemTotal" => memory.total = Kib(kib),
            "MemFree" => free = kib,
            "MemAvailable" => available = Some(kib),
            "Buffers" => memory.buffers = Kib(kib),
            "Cached" => memory.cached = Kib(kib),
            "SwapTotal" => swap.total = Kib(kib),
            "SwapFree" => swap_free = kib,
            "Dirty" => memory.dirty = Kib(kib),
            "Shmem" => memory.shared = Kib(kib),
            "Slab" => memory.slab = Kib(kib),
            "SReclaimable" => reclaimable = kib,
            _ => {}
        }
    }
    // Kernels before 3.14 tell no MemAvailable: what could be given back comes near.
    let near = free + memory.buffers.0 + (memory.cached.0 + reclaimable).saturating_sub(memory.shared.0);
    memory.available = Kib(available.unwrap_or(near).min(memory.total.0));
    swap.used = Kib(swap.total.0.saturating_sub(swap_free));
    (memory.total.0 > 0).then_some((memory, swap))
}

/// Pages read from and written to swap since the host started.
fn parse_vmstat(text: &str) -> Option<[u64; 2]> {
    let count = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    };
    Some([count("pswpin")?, count("pswpout")?])
}

pub(super) struct MemoryCollector {
    meminfo: Source,
    vmstat: Source,
    before: Option<[u64; 2]>,
}

impl MemoryCollector {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            meminfo: Source::new(roots.path("proc/meminfo")),
            vmstat: Source::new(roots.path("proc/vmstat")),
            before: None,
        }
    }

    pub(super) fn read(&mut self, tick: &mut Tick<'_>) -> (Option<Memory>, Option<Swap>) {
        let Some((memory, mut swap)) = self.meminfo.read(tick.buffer).and_then(|text| parse(&text)) else {
            return (None, None);
        };
        let swapped = self.vmstat.read(tick.buffer).and_then(|text| parse_vmstat(&text));
        let rates = self.before.zip(swapped).and_then(|(before, now)| {
            let rate =
                |way: usize| events_per_second(growth(before[way], now[way], Width::Bits64)?, tick.elapsed);
            Some([rate(0)?, rate(1)?])
        });
        self.before = swapped;
        // A kernel built without swap counts no pages: none are swapped.
        let no_swap = swapped.is_none() && swap.total.0 == 0;
        let swap = rates.or(no_swap.then_some([0, 0])).map(|[pages_in, pages_out]| {
            swap.in_pages_per_s = pages_in;
            swap.out_pages_per_s = pages_out;
            swap
        });
        (Some(memory), swap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       24684092 kB\nMemFree:        17746580 kB\nMemAvailable:   22822544 kB\n\
        Buffers:          114848 kB\nCached:          4952452 kB\nSwapCached:            0 kB\nSwapTotal:       2097148 kB\n\
        SwapFree:        2000000 kB\nDirty:             87736 kB\nShmem:             14224 kB\nSlab:             381536 kB\n\
        SReclaimable:     336812 kB\nHugePages_Total:       0\n";

    #[test]
    fn memory_and_swap_are_told_as_the_kernel_does() {
        let (memory, swap) = parse(MEMINFO).unwrap();
        assert_eq!(
            (memory.total, memory.available, memory.dirty),
            (Kib(24_684_092), Kib(22_822_544), Kib(87_736))
        );
        assert_eq!(
            (memory.cached, memory.buffers, memory.shared),
            (Kib(4_952_452), Kib(114_848), Kib(14_224))
        );
        assert_eq!((swap.total, swap.used, memory.slab), (Kib(2_097_148), Kib(97_148), Kib(381_536)));
    }

    #[test]
    fn an_old_kernel_tells_no_available_memory_and_it_is_near() {
        let (memory, _) = parse(&MEMINFO.replace("MemAvailable", "Other")).unwrap();
        assert_eq!(memory.available, Kib(17_746_580 + 114_848 + 4_952_452 + 336_812 - 14_224));
    }

    #[test]
    fn what_is_no_meminfo_tells_nothing() {
        for none in ["", "MemTotal: kB", "MemFree: 3 kB", "MemTotal:\n\n:", "MemTotal: -3 kB"] {
            assert_eq!(parse(none), None, "{none:?}");
        }
        let (memory, swap) =
            parse("MemTotal: 5 kB\nMemAvailable: 9 kB\nSwapTotal: 1 kB\nSwapFree: 4 kB").unwrap();
        assert_eq!((memory.available, swap.used), (Kib(5), Kib(0)), "never more than there is");
    }

    #[test]
    fn swapped_pages_are_found_by_their_whole_name() {
        assert_eq!(parse_vmstat("pswpin_other 9\npswpin 3\npswpout 4\n"), Some([3, 4]));
        assert_eq!(
            [parse_vmstat(""), parse_vmstat("pswpin 3\n"), parse_vmstat("pswpin x\npswpout 4")],
            [None; 3]
        );
    }
}
