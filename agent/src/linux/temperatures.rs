//! Temperature sensors: /sys/class/hwmon, and the thermal zones that no chip of hwmon already tells.

use super::roots::Roots;
use super::source::{Source, read_once};
use super::{ROWS_MAX, Tick};
use crate::pace::Pace;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use watchkeeper_schemas::quantity::{Num, Text};
use watchkeeper_schemas::sample::Temperature;

/// Some sensors are asked over slow buses.
const READ_EVERY: Duration = Duration::from_secs(10);
/// Sensors come and go with modules and disks.
const LOOK_EVERY: Duration = Duration::from_secs(300);
/// A sensor outside of these is broken or absent.
const CELSIUS: std::ops::RangeInclusive<f32> = -100.0..=250.0;

/// Thousandths of a degree, as the kernel tells them.
fn parse(text: &str) -> Option<Num> {
    let celsius = text.trim().parse::<i32>().ok()? as f32 / 1000.0;
    CELSIUS.contains(&celsius).then_some(Num(celsius))
}

pub(super) struct TemperatureCollector {
    hwmon: PathBuf,
    thermal: PathBuf,
    look: Pace,
    pace: Pace,
    sensors: Vec<(Text, Source)>,
    known: Vec<Temperature>,
}

impl TemperatureCollector {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            hwmon: roots.path("sys/class/hwmon"),
            thermal: roots.path("sys/class/thermal"),
            look: Pace::every(LOOK_EVERY),
            pace: Pace::every(READ_EVERY),
            sensors: Vec::new(),
            known: Vec::new(),
        }
    }

    pub(super) fn read(&mut self, tick: &mut Tick<'_>) -> &[Temperature] {
        if self.look.is_due(tick.now) {
            self.sensors = find(&self.hwmon, &self.thermal, tick.buffer);
        }
        if self.pace.is_due(tick.now) {
            let told = self.sensors.iter_mut().filter_map(|(sensor, source)| {
                let celsius = source.read(tick.buffer).and_then(|text| parse(&text))?;
                Some(Temperature { sensor: sensor.clone(), celsius })
            });
            self.known = told.collect();
        }
        &self.known
    }
}

/// Every sensor with a name of its own: its label, else its chip, else chip and number.
fn find(hwmon: &Path, thermal: &Path, buffer: &mut Vec<u8>) -> Vec<(Text, Source)> {
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    let mut chips = BTreeSet::new();
    for folder in numbered(hwmon, "hwmon", "") {
        let chip = read_once(folder.join("name"), buffer).unwrap_or_else(|| "sensor".to_owned());
        let inputs = numbered(&folder, "temp", "_input");
        for input in &inputs {
            let stem = input.to_string_lossy().trim_end_matches("_input").to_owned();
            let label =
                read_once(PathBuf::from(format!("{stem}_label")), buffer).filter(|label| !label.is_empty());
            let number = stem.rsplit_once('/').map_or("", |(_, name)| name);
            let alone = inputs.len() == 1;
            let name = label.unwrap_or_else(|| if alone { chip.clone() } else { format!("{chip} {number}") });
            found.push((name, input.clone()));
        }
        chips.insert(chip);
    }
    for folder in numbered(thermal, "thermal_zone", "") {
        let kind = read_once(folder.join("type"), buffer).unwrap_or_else(|| "zone".to_owned());
        // A zone that is a chip of hwmon too is named so there.
        if !chips.contains(&kind.replace('-', "_")) {
            found.push((kind, folder.join("temp")));
        }
    }
    with_own_names(found)
}

/// The second of a name gets ` #2` behind it, and so on.
fn with_own_names(found: Vec<(String, PathBuf)>) -> Vec<(Text, Source)> {
    let mut taken = BTreeSet::new();
    let mut named = Vec::new();
    for (name, path) in found.into_iter().take(ROWS_MAX) {
        let mut text = Text::fit(&name);
        let mut place = 2;
        while !taken.insert(text.clone()) {
            text = Text::fit(&format!("{} #{place}", name.chars().take(40).collect::<String>()));
            place += 1;
        }
        named.push((text, Source::new(path)));
    }
    named
}

/// Entries `<before><number><after>` of a folder, by their number.
fn numbered(folder: &Path, before: &str, after: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix(before)?.strip_suffix(after)?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn put(folder: &Path, file: &str, text: &str) {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn every_sensor_has_a_name_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("sys/class/hwmon/hwmon2/name", "coretemp\n"),
            ("sys/class/hwmon/hwmon2/temp1_input", "61000\n"),
            ("sys/class/hwmon/hwmon2/temp1_label", "Package id 0\n"),
            ("sys/class/hwmon/hwmon10/name", "nvme\n"),
            ("sys/class/hwmon/hwmon10/temp1_input", "43850\n"),
            ("sys/class/hwmon/hwmon10/temp1_label", "Composite\n"),
            ("sys/class/hwmon/hwmon11/name", "nvme\n"),
            ("sys/class/hwmon/hwmon11/temp1_input", "44000\n"),
            ("sys/class/hwmon/hwmon11/temp1_label", "Composite\n"),
            ("sys/class/hwmon/hwmon0/name", "acpitz\n"),
            ("sys/class/hwmon/hwmon0/temp1_input", "27800\n"),
            ("sys/class/hwmon/hwmon3/name", "k10temp\n"),
            ("sys/class/hwmon/hwmon3/temp1_input", "-273200\n"),
            ("sys/class/hwmon/hwmon3/temp3_input", "55000\n"),
            ("sys/class/thermal/thermal_zone0/type", "acpitz\n"),
            ("sys/class/thermal/thermal_zone0/temp", "27800\n"),
            ("sys/class/thermal/thermal_zone1/type", "x86_pkg_temp\n"),
            ("sys/class/thermal/thermal_zone1/temp", "60000\n"),
        ] {
            put(root.path(), file, text);
        }
        let mut collector = TemperatureCollector::new(&Roots::new(root.path()));
        let mut buffer = Vec::new();
        let mut tick = Tick { now: std::time::Instant::now(), elapsed: Duration::ZERO, buffer: &mut buffer };
        let told: Vec<_> =
            collector.read(&mut tick).iter().map(|t| (t.sensor.as_str(), t.celsius.value())).collect();
        let expected = [
            ("acpitz", 27.8),
            ("Package id 0", 61.0),
            ("k10temp temp3", 55.0),
            ("Composite", 43.85),
            ("Composite #2", 44.0),
            ("x86_pkg_temp", 60.0),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_no_sensor_can_tell_is_nothing() {
        for none in ["", "x", "999999999", "-300000", "61.5"] {
            assert_eq!(parse(none), None, "{none:?}");
        }
        assert_eq!(parse("-5000\n"), Some(Num(-5.0)));
    }
}
