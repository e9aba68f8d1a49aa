//! A machine as bytes, and again as it was.

use super::Machine;
use super::rules::Entry;
use super::values::Values;
use bincode::config::{self, Configuration};
use bincode::error::{DecodeError, EncodeError};
use bincode::serde::{decode_from_slice, encode_into_std_write, encode_to_vec};
use watchkeeper_schemas::catalogue::CATALOGUE;

/// The form of the bytes. Whoever changes a field of anything that is kept raises it: bytes do not name their fields.
const FORM: u8 = 5;
/// Integers as short as they are.
const LAYOUT: Configuration = config::standard();

impl Machine {
    /// The state as bytes.
    ///
    /// # Errors
    /// None that a state of this machine can cause.
    pub fn snapshot(&self) -> Result<Vec<u8>, EncodeError> {
        let metrics: Vec<&str> = CATALOGUE.iter().map(|metric| metric.name).collect();
        let mut bytes = encode_to_vec((FORM, metrics), LAYOUT)?;
        encode_into_std_write(self, &mut bytes, LAYOUT)?;
        Ok(bytes)
    }

    /// The machine as it was when the snapshot was taken.
    ///
    /// # Errors
    /// When the bytes are no snapshot of this form.
    pub fn restore(snapshot: &[u8]) -> Result<Self, DecodeError> {
        if snapshot.first() != Some(&FORM) {
            return Err(DecodeError::Other("the snapshot has another form"));
        }
        let ((_, metrics), head) = decode_from_slice::<(u8, Vec<String>), _>(snapshot, LAYOUT)?;
        let (mut machine, length) = decode_from_slice::<Self, _>(&snapshot[head..], LAYOUT)?;
        if head + length != snapshot.len() {
            return Err(DecodeError::Other("the snapshot is longer than its machine"));
        }
        machine.rules.iter_mut().for_each(Entry::compile);
        // The columns of a sample are those of the catalogue that wrote it; the next samples are there within seconds.
        if metrics.iter().ne(CATALOGUE.iter().map(|metric| metric.name)) {
            machine.hosts.values_mut().for_each(|host| host.last = Values::default());
        }
        Ok(machine)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Input, Key, Kind, MetricKey, Report, Value};
    use super::*;
    use watchkeeper_schemas::alerting::{AlertFact, SavedRule};
    use watchkeeper_schemas::audit::Hash;
    use watchkeeper_schemas::ids::BootId;

    const RULES: [(&str, &str); 3] = [
        ("deep", "custom.queue > 5 critical when custom.queue > 8"),
        ("long", "avg(custom.queue, 10s) > 5"),
        ("slow", "custom.queue > 5 for 1m"),
    ];

    /// A machine in which much is under way; it knows no column of the catalogue.
    fn machine() -> Machine {
        let mut machine = Machine::default();
        let rule = |(id, text): (&str, &str)| {
            let (scope, receivers) = (Default::default(), ["ops".to_owned()].into());
            let saved = SavedRule {
                text: text.to_owned(),
                scope,
                receivers,
                state: Default::default(),
                policy: vec![],
            };
            AlertFact::Rule { id: id.parse().unwrap(), value: Some(saved) }
        };
        machine.begin(RULES.map(rule).into());
        machine.meet("h1");
        for n in 1..6 {
            let metric = MetricKey::find("custom.queue").unwrap();
            let value = Value { metric, label: Default::default(), number: 2.0 * n as f64 };
            let (sequence, time) = (n, 1_000_000 + 5000 * n);
            let (host, boot) = ("h1".to_owned(), BootId([1; 16]));
            let values = Values::new(vec![value]);
            let report = Report { host, boot, seq: n, time, interval_ms: 5000, clock_step_ms: 0, values };
            machine.step(Input { sequence, time, kind: Kind::Live(Box::new(report)) });
        }
        machine
    }

    #[test]
    fn whoever_changes_what_is_kept_raises_the_form() {
        let bytes = encode_to_vec(machine(), LAYOUT).unwrap();
        let known = (5, "c14d7a77cb902557");
        assert_eq!((FORM, &Hash::of(&bytes).to_string()[..16]), known, "raise FORM, and write both here");
    }

    #[test]
    fn bytes_that_were_not_written_so_are_no_machine() {
        let bytes = machine().snapshot().unwrap();
        assert_eq!(Machine::restore(&bytes).unwrap().snapshot().unwrap(), bytes);
        let longer = [&bytes[..], b"x"].concat();
        let other_form = [&[FORM + 1], &bytes[1..]].concat();
        let json = b"{\"now\":0,\"sequence\":0}".to_vec();
        for bad in [Vec::new(), longer, other_form, json] {
            assert!(Machine::restore(&bad).is_err(), "{} bytes", bad.len());
        }
        for end in 0..bytes.len() {
            assert!(Machine::restore(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn of_another_catalogue_only_the_last_values_are_forgotten() {
        let machine = machine();
        let mut bytes = encode_to_vec((FORM, vec!["cpu.usage_pct", "cpu.of_another_day"]), LAYOUT).unwrap();
        bytes.extend(encode_to_vec(&machine, LAYOUT).unwrap());
        let restored = Machine::restore(&bytes).unwrap();
        assert!(machine.last_sample("h1").is_some_and(|(_, values)| *values != Values::default()));
        assert_eq!(restored.last_sample("h1").unwrap().1, &Values::default());
        let open = |machine: &Machine| RULES.map(|(id, _)| machine.open_episode(&Key::new(id, "h1", "")));
        assert_eq!(open(&restored), [Some(3), Some(4), None]);
        assert_eq!(open(&restored), open(&machine));
        assert_eq!(restored.hosts["h1"].runs, machine.hosts["h1"].runs);
    }
}
