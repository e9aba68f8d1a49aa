//! Time in which something waited for a resource: /proc/pressure (Linux 4.20 or later).

use super::Tick;
use super::roots::Roots;
use super::source::Source;
use watchkeeper_schemas::quantity::Pct;
use watchkeeper_schemas::sample::Pressure;

/// The share of the last 10 s in which at least one task waited.
fn parse(text: &str) -> Option<Pct> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let share = some.split_ascii_whitespace().find_map(|word| word.strip_prefix("avg10="))?;
    Pct::new(share.parse().ok()?)
}

pub(super) struct PressureCollector {
    cpu: Source,
    memory: Source,
    io: Source,
}

impl PressureCollector {
    pub(super) fn new(roots: &Roots) -> Self {
        let source = |name: &str| Source::new(roots.path("proc/pressure").join(name));
        Self { cpu: source("cpu"), memory: source("memory"), io: source("io") }
    }

    pub(super) fn read(&mut self, tick: &mut Tick<'_>) -> Option<Pressure> {
        let mut share = |source: &mut Source| source.read(tick.buffer).and_then(|text| parse(&text));
        Some(Pressure {
            cpu_pct: share(&mut self.cpu)?,
            memory_pct: share(&mut self.memory)?,
            io_pct: share(&mut self.io)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ten_second_share_of_some_is_told() {
        let text = "some avg10=92.73 avg60=85.89 avg300=60.03 total=385480281\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(parse(text), Some(Pct(927)));
        for none in ["", "full avg10=1.00", "some avg60=1", "some avg10=NaN", "some avg10="] {
            assert_eq!(parse(none), None, "{none:?}");
        }
    }
}
