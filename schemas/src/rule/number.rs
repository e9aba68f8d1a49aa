//! Numbers with units as people write them, and what they are in a metric's own unit and wire type.

use crate::catalogue::{Metric, Unit};
use crate::quantity::Num;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Beyond this a double no longer holds every whole number.
pub(super) const NUMBER_MAX: f64 = 9_007_199_254_740_992.0;
/// Digits behind the point that a number may have.
pub(super) const DECIMALS_MAX: usize = 6;

/// A number as written: value and unit; without a unit it is in the unit of what it is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// The digits.
    pub value: f64,
    /// The unit behind them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitWord>,
}

/// The word for a unit, as `GiB` or `%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitWord(&'static str);

/// Every word with the unit that it measures and how many of that unit it is.
const WORDS: [(&str, Unit, f64); 39] = [
    ("%", Unit::Percent, 1.0),
    ("B", Unit::Bytes, 1.0),
    ("kB", Unit::Bytes, 1e3),
    ("KB", Unit::Bytes, 1e3),
    ("MB", Unit::Bytes, 1e6),
    ("GB", Unit::Bytes, 1e9),
    ("TB", Unit::Bytes, 1e12),
    ("KiB", Unit::Bytes, 1024.0),
    ("MiB", Unit::Bytes, 1_048_576.0),
    ("GiB", Unit::Bytes, 1_073_741_824.0),
    ("TiB", Unit::Bytes, 1_099_511_627_776.0),
    ("B/s", Unit::BytesPerSecond, 1.0),
    ("kB/s", Unit::BytesPerSecond, 1e3),
    ("KB/s", Unit::BytesPerSecond, 1e3),
    ("MB/s", Unit::BytesPerSecond, 1e6),
    ("GB/s", Unit::BytesPerSecond, 1e9),
    ("KiB/s", Unit::BytesPerSecond, 1024.0),
    ("MiB/s", Unit::BytesPerSecond, 1_048_576.0),
    ("GiB/s", Unit::BytesPerSecond, 1_073_741_824.0),
    ("bit/s", Unit::BytesPerSecond, 0.125),
    ("kbit/s", Unit::BytesPerSecond, 125.0),
    ("Mbit/s", Unit::BytesPerSecond, 125e3),
    ("Gbit/s", Unit::BytesPerSecond, 125e6),
    ("/s", Unit::PerSecond, 1.0),
    ("/min", Unit::PerSecond, 1.0 / 60.0),
    ("C", Unit::Celsius, 1.0),
    ("°C", Unit::Celsius, 1.0),
    ("MHz", Unit::Megahertz, 1.0),
    ("GHz", Unit::Megahertz, 1e3),
    ("ms", Unit::Seconds, 1e-3),
    ("s", Unit::Seconds, 1.0),
    ("m", Unit::Seconds, 60.0),
    ("h", Unit::Seconds, 3600.0),
    ("d", Unit::Seconds, 86_400.0),
    ("us", Unit::Microseconds, 1.0),
    ("µs", Unit::Microseconds, 1.0),
    ("ms", Unit::Microseconds, 1e3),
    ("s", Unit::Microseconds, 1e6),
    ("m", Unit::Microseconds, 60e6),
];

impl UnitWord {
    /// Finds a unit by its word.
    #[must_use]
    pub fn find(word: &str) -> Option<Self> {
        WORDS.iter().find(|(known, ..)| *known == word).map(|(known, ..)| Self(known))
    }

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// How many of `unit` it is; none where it measures something else.
    #[must_use]
    pub fn factor(self, unit: Unit) -> Option<f64> {
        WORDS.iter().find(|(word, of, _)| *word == self.0 && *of == unit).map(|(.., factor)| *factor)
    }

    /// Whether two words can measure the same thing.
    pub(super) fn meets(self, other: Self) -> bool {
        WORDS.iter().any(|(word, unit, _)| *word == self.0 && other.factor(*unit).is_some())
    }

    /// The words that measure `unit`, as a person would read them in an error.
    pub(super) fn of(unit: Unit) -> String {
        let words: Vec<_> = WORDS.iter().filter(|(_, of, _)| *of == unit).map(|(word, ..)| *word).collect();
        if words.is_empty() { "no unit".to_owned() } else { format!("no unit or {}", words.join(", ")) }
    }

    pub(super) fn words() -> impl Iterator<Item = &'static str> {
        WORDS.iter().map(|(word, ..)| *word)
    }
}

impl Number {
    /// The number in `unit`; as it stands where its own unit does not measure that.
    #[must_use]
    pub fn in_unit(self, unit: Option<Unit>) -> f64 {
        let own = self.unit.zip(unit).and_then(|(word, unit)| word.factor(unit));
        let first = || self.unit.and_then(|word| WORDS.iter().find(|(known, ..)| *known == word.0));
        self.value * own.or_else(|| first().map(|(.., factor)| *factor)).unwrap_or(1.0)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Adding 0 makes a negative zero the plain one.
        write!(f, "{}{}", self.value + 0.0, self.unit.map_or("", UnitWord::as_str))
    }
}

/// How a metric's numbers travel: what lies between two of them cannot be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Tenths,
    Kib,
    Digits,
    Integer,
}

impl Wire {
    pub(super) fn of(metric: &Metric) -> Self {
        match metric.unit {
            Unit::Percent => Self::Tenths,
            Unit::Bytes => Self::Kib,
            Unit::Celsius => Self::Digits,
            Unit::Count if metric.parts().0 == "load" => Self::Digits,
            Unit::Count
            | Unit::BytesPerSecond
            | Unit::PerSecond
            | Unit::Megahertz
            | Unit::Seconds
            | Unit::Microseconds => Self::Integer,
        }
    }

    /// Whether `==` and `!=` mean something.
    pub(super) fn is_integer(self) -> bool {
        matches!(self, Self::Kib | Self::Integer)
    }

    /// The distance between two numbers that can be told apart.
    pub(super) fn step(self) -> f64 {
        match self {
            Self::Tenths => 0.1,
            Self::Kib => 1024.0,
            Self::Digits => 1e-4,
            Self::Integer => 1.0,
        }
    }

    /// The nearest number that can travel.
    pub(super) fn round(self, value: f64) -> f64 {
        match self {
            Self::Tenths => (value * 10.0).round() / 10.0,
            Self::Kib => (value / 1024.0).round() * 1024.0,
            Self::Digits => Num(value as f32).value(),
            Self::Integer => value.round(),
        }
    }
}

impl Serialize for UnitWord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for UnitWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::find(&word).ok_or_else(|| serde::de::Error::custom(format_args!("{word:?} is not a unit")))
    }
}

impl JsonSchema for UnitWord {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "UnitWord".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut words: Vec<_> = Self::words().collect();
        words.sort_unstable();
        words.dedup();
        schemars::json_schema!({ "type": "string", "enum": words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::metric;

    #[test]
    fn a_number_means_the_same_in_every_unit() {
        let gib = Number { value: 10.0, unit: UnitWord::find("GiB") };
        assert_eq!(gib.in_unit(Some(Unit::Bytes)), 10_737_418_240.0);
        let ms = Number { value: 5.0, unit: UnitWord::find("ms") };
        assert_eq!((ms.in_unit(Some(Unit::Seconds)), ms.in_unit(Some(Unit::Microseconds))), (0.005, 5000.0));
        assert_eq!(Number { value: 7.0, unit: None }.in_unit(None), 7.0);
    }

    #[test]
    fn a_threshold_is_a_number_that_can_travel() {
        let round = |name: &str, value| Wire::of(metric(name).unwrap()).round(value);
        assert_eq!(round("cpu.usage_pct", 90.04), 90.0);
        assert_eq!(round("memory.used_bytes", 1500.0), 1024.0);
        assert_eq!(round("load.avg_1", 0.1), Num(0.1).value());
        assert_eq!(round("processes.total", 2.4), 2.0);
    }
}
