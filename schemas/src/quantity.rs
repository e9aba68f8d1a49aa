//! Numbers as they travel: small on the wire, in plain units as JSON.

use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// Longest text of a label or an inventory field, in bytes.
pub const TEXT_BYTES_MAX: usize = 128;

/// A share in tenths of a percent, 0 to 1000 on the wire; JSON: percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Pct(pub u16);

impl Pct {
    /// Rounds a percentage; outside 0–100 it is cut to the edge, not a number becomes nothing.
    #[must_use]
    pub fn new(percent: f64) -> Option<Self> {
        percent.is_finite().then(|| Self((percent.clamp(0.0, 100.0) * 10.0).round() as u16))
    }

    /// `part` of `whole`, 0 where the whole is 0.
    #[must_use]
    pub fn ratio(part: f64, whole: f64) -> Self {
        if whole > 0.0 { Self::new(part / whole * 100.0).unwrap_or_default() } else { Self(0) }
    }

    /// The percentage, 0 to 100.
    #[must_use]
    pub fn value(self) -> f64 {
        f64::from(self.0) / 10.0
    }
}

/// An amount of memory or disk in KiB on the wire; JSON: bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Kib(pub u64);

impl Kib {
    /// Rounds bytes down to whole KiB.
    #[must_use]
    pub fn of_bytes(bytes: u64) -> Self {
        Self(bytes / 1024)
    }

    /// The amount in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0.saturating_mul(1024)
    }

    /// The amount in bytes, as the catalogue reads it.
    #[must_use]
    pub fn value(self) -> f64 {
        self.bytes() as f64
    }
}

/// A measured number in its base unit; not a number means that it is unknown. JSON: number or null.
#[derive(Debug, Clone, Copy)]
pub struct Num(pub f32);

impl Num {
    /// The number with the digits that it was written with, or NaN where unknown.
    #[must_use]
    pub fn value(self) -> f64 {
        (f64::from(self.0) * 1e4).round() / 1e4
    }
}

impl PartialEq for Num {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || (self.0.is_nan() && other.0.is_nan())
    }
}

/// A moment: milliseconds since 1970 on the wire; JSON: RFC 3339 in UTC with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMs(pub u64);

impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        write!(f, "{:.3}", ms.unwrap_or(jiff::Timestamp::MAX))
    }
}

/// A short text from a host: printable, of limited length. What is not is refused where it enters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(CompactString);

impl Text {
    /// Makes any text fit: what could not be printed becomes `?`, the rest is cut at a character.
    #[must_use]
    pub fn fit(text: &str) -> Self {
        let mut fitted = CompactString::default();
        for c in text.chars().map(|c| if is_printable(c) { c } else { '?' }) {
            if fitted.len() + c.len_utf8() > TEXT_BYTES_MAX {
                break;
            }
            fitted.push(c);
        }
        Self(fitted)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes a text as it is, if it is printable and short enough.
    #[inline]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|b| (0x20..0x7f).contains(&b));
        let fits = text.len() <= TEXT_BYTES_MAX && (plain || text.chars().all(is_printable));
        fits.then(|| Self(CompactString::new(text)))
    }

    /// One of the names that our own list holds.
    #[inline]
    pub(crate) fn well_known(name: &'static str) -> Self {
        Self(CompactString::new(name))
    }
}

/// Neither control characters nor those that turn the direction of what follows.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&CompactString::deserialize(deserializer)?).ok_or_else(|| {
            serde::de::Error::custom("a text is longer than 128 bytes or holds control characters")
        })
    }
}

/// Declares how a quantity is written as JSON; on the wire it is the number inside.
macro_rules! json_form {
    ($name:ident, |$out:ident| $to_json:expr, $json:ty, |$in:ident| $from_json:expr, $schema:tt) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $out = self;
                $to_json.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let $in = <$json>::deserialize(deserializer)?;
                $from_json.ok_or_else(|| serde::de::Error::custom(concat!("not a ", stringify!($name))))
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

json_form!(Pct, |it| it.value(), f64, |json| Pct::new(json), { "type": "number", "minimum": 0, "maximum": 100 });
json_form!(Kib, |it| it.bytes(), u64, |json| Some(Kib::of_bytes(json)), { "type": "integer", "minimum": 0 });
json_form!(
    Num, |it| Some(it.value()).filter(|v| v.is_finite()),
    Option<f64>, |json| Some(Num(json.map_or(f32::NAN, |v| v as f32))), { "type": ["number", "null"] }
);
json_form!(
    UnixMs, |it| it.to_string(),
    String, |json| json.parse::<jiff::Timestamp>().ok().and_then(|t| u64::try_from(t.as_millisecond()).ok()).map(UnixMs),
    { "type": "string", "format": "date-time" }
);

impl schemars::JsonSchema for Text {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "maxLength": 128 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_shows_plain_units() {
        assert_eq!(serde_json::to_string(&Pct(123)).unwrap(), "12.3");
        assert_eq!(serde_json::to_string(&Kib(3)).unwrap(), "3072");
        assert_eq!(serde_json::to_string(&Num(0.42)).unwrap(), "0.42");
        assert_eq!(serde_json::to_string(&Num(f32::NAN)).unwrap(), "null");
        assert_eq!(
            serde_json::to_string(&UnixMs(1_700_000_000_123)).unwrap(),
            "\"2023-11-14T22:13:20.123Z\""
        );
        assert_eq!(
            serde_json::from_str::<UnixMs>("\"2023-11-14T22:13:20.123Z\"").unwrap(),
            UnixMs(1_700_000_000_123)
        );
    }

    #[test]
    fn a_percentage_is_never_beyond_its_edges() {
        assert_eq!(
            [Pct::new(-3.0), Pct::new(250.0), Pct::new(f64::NAN)],
            [Some(Pct(0)), Some(Pct(1000)), None]
        );
        assert_eq!(Pct::ratio(1.0, 0.0), Pct(0));
    }

    #[test]
    fn texts_that_would_disturb_a_reader_are_refused_or_made_to_fit() {
        for bad in ["a\u{0}b", "a\nb", "\u{202e}evil", &"x".repeat(129)] {
            let json = serde_json::to_string(bad).unwrap();
            assert!(serde_json::from_str::<Text>(&json).is_err(), "{bad:?}");
            let fitted = Text::fit(bad);
            assert!(fitted.as_str().len() <= TEXT_BYTES_MAX && fitted.as_str().chars().all(is_printable));
        }
        assert_eq!(Text::fit("/srv/blå").as_str(), "/srv/blå");
    }
}
