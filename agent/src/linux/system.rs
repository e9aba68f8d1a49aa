//! The system as a whole: /proc/uptime, open file handles, TCP sockets.

use super::Tick;
use super::roots::Roots;
use super::source::Source;
use watchkeeper_schemas::sample::System;

fn parse_uptime(text: &str) -> Option<u64> {
    let seconds: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    (0.0..1e12).contains(&seconds).then_some(seconds as u64)
}

/// Allocated less those which are free.
fn parse_file_handles(text: &str) -> Option<u32> {
    let mut words = text.split_ascii_whitespace().map(|word| word.parse::<u64>().ok());
    let (allocated, free) = (words.next()??, words.next()??);
    u32::try_from(allocated.saturating_sub(free)).ok()
}

/// TCP sockets in use, of one address family's `sockstat`.
fn parse_tcp_in_use(text: &str) -> Option<u32> {
    let line =
        text.lines().find_map(|line| line.strip_prefix("TCP: ").or_else(|| line.strip_prefix("TCP6: ")))?;
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == "inuse")?;
    words.next()?.parse().ok()
}

pub(super) struct SystemCollector {
    uptime: Source,
    file_handles: Source,
    sockets: [Source; 2],
}

impl SystemCollector {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            uptime: Source::new(roots.path("proc/uptime")),
            file_handles: Source::new(roots.path("proc/sys/fs/file-nr")),
            sockets: ["net/sockstat", "net/sockstat6"].map(|file| Source::new(roots.of_process(file))),
        }
    }

    pub(super) fn read(&mut self, tick: &mut Tick<'_>) -> Option<System> {
        let uptime_s = self.uptime.read(tick.buffer).and_then(|text| parse_uptime(&text))?;
        let open_files = self.file_handles.read(tick.buffer).and_then(|text| parse_file_handles(&text))?;
        let families =
            self.sockets.iter_mut().filter_map(|source| parse_tcp_in_use(&source.read(tick.buffer)?));
        Some(System { uptime_s, open_files, tcp_connections: families.fold(0, u32::saturating_add) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_handles_and_sockets_are_told() {
        assert_eq!(parse_uptime("2678.28 3871.39\n"), Some(2678));
        assert_eq!(parse_file_handles("2043\t3\t2466177\n"), Some(2040));
        assert_eq!(
            parse_tcp_in_use("sockets: used 96\nTCP: inuse 9 orphan 0 tw 23 alloc 9 mem 243\n"),
            Some(9)
        );
        assert_eq!(parse_tcp_in_use("TCP6: inuse 4\nUDP6: inuse 1\n"), Some(4));
    }

    #[test]
    fn what_is_no_such_text_tells_nothing() {
        for none in ["", "x", "-1 2", "inf", "TCP: used 3", "TCP: inuse", "TCP: inuse x"] {
            assert_eq!((parse_uptime(none), parse_tcp_in_use(none)), (None, None), "{none:?}");
        }
        assert_eq!(
            [parse_file_handles(""), parse_file_handles("1"), parse_file_handles("-3 1 1")],
            [None; 3]
        );
    }
}
