//! Ids and names that parse at the edge and can then be trusted: none can hold `.`, `*`, `>` or white space.

use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Hosts are spread over this many shards; the number is part of every subject and never changes.
pub const SHARDS: u8 = 64;

/// Text that is not an id: what was being read, what was found and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {found:?} is not valid: expected {expected}")]
pub struct InvalidId {
    /// The kind of id, in words: "host id".
    pub what: &'static str,
    /// What was given, cut to 80 characters.
    pub found: String,
    /// The form that would have been accepted.
    pub expected: &'static str,
}

impl InvalidId {
    fn new(what: &'static str, found: &str, expected: &'static str) -> Self {
        Self { what, found: found.chars().take(80).collect(), expected }
    }
}

/// Declares a text id of one alphabet; the macro keeps parsing, serde and schema the same for all of them.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $expected:literal, $pattern:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(CompactString);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&[u8]) -> bool = $valid;
                if text.is_empty() || text.len() > $max || !valid(text.as_bytes()) {
                    return Err(InvalidId::new($what, text, $expected));
                }
                Ok(Self(CompactString::new(text)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = CompactString::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern, "maxLength": $max })
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some($pattern))
                    .max_length(Some($max))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

fn is_slug(bytes: &[u8]) -> bool {
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-' || *b == b'_';
    bytes.first().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) && bytes.iter().all(inner)
}

fn is_user_key(bytes: &[u8]) -> bool {
    let base32 = |b: &u8| b.is_ascii_uppercase() || (b'2'..=b'7').contains(b);
    bytes.len() == 56 && bytes[0] == b'U' && bytes.iter().all(base32)
}

/// Digits of the hash that stands for a series.
pub(crate) const SERIES_DIGITS: usize = 16;

fn is_episode_id(bytes: &[u8]) -> bool {
    let mut parts = bytes.split(|b| *b == b'~');
    let mut part = || parts.next().unwrap_or_default();
    let (rule, host, number, series) = (part(), part(), part(), part());
    let hex = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
    let is_number = std::str::from_utf8(number)
        .is_ok_and(|number| number.bytes().all(|b| b.is_ascii_digit()) && number.parse::<u64>().is_ok());
    is_slug(rule)
        && rule.len() <= 64
        && (host == b"_" || is_slug(host) && host.len() <= 64)
        && is_number
        && series.len() == SERIES_DIGITS
        && series.iter().all(hex)
        && parts.next().is_none()
}

fn is_metric_name(bytes: &[u8]) -> bool {
    bytes.contains(&b'.') && are_words(bytes)
}

/// Words joined by dots, each a letter and then letters, digits and `_`.
fn are_words(bytes: &[u8]) -> bool {
    bytes.split(|b| *b == b'.').all(|word| {
        word.first().is_some_and(u8::is_ascii_lowercase)
            && word.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_')
    })
}

/// Whether `custom.<name>` is the name of a metric.
pub(crate) fn is_custom_name(name: &str) -> bool {
    name.len() <= CUSTOM_NAME_BYTES_MAX && are_words(name.as_bytes())
}

/// What a metric name leaves after `custom.`.
const CUSTOM_NAME_BYTES_MAX: usize = 96 - "custom.".len();

text_id!(
    /// The owner of hosts, rules and receivers.
    TeamId, "team id", 32, "1 to 32 of a-z, 0-9, - and _, beginning with a letter or digit",
    "^[a-z0-9][a-z0-9_-]{0,31}$", is_slug
);
text_id!(
    /// A monitored machine.
    HostId, "host id", 64, "1 to 64 of a-z, 0-9, - and _, beginning with a letter or digit",
    "^[a-z0-9][a-z0-9_-]{0,63}$", is_slug
);
text_id!(
    /// A rule of a team, or a built-in one.
    RuleId, "rule id", 64, "1 to 64 of a-z, 0-9, - and _, beginning with a letter or digit",
    "^[a-z0-9][a-z0-9_-]{0,63}$", is_slug
);
text_id!(
    /// A silence or a maintenance window.
    SilenceId, "silence id", 32, "1 to 32 of a-z, 0-9, - and _, beginning with a letter or digit",
    "^[a-z0-9][a-z0-9_-]{0,31}$", is_slug
);
text_id!(
    /// Maintenance of every week: short, because each of its windows is a silence named after it and the day.
    MaintenanceId, "maintenance id", 21, "1 to 21 of a-z, 0-9, - and _, beginning with a letter or digit",
    "^[a-z0-9][a-z0-9_-]{0,20}$", is_slug
);
text_id!(
    /// One run of a back-test.
    RunId, "run id", 32, "1 to 32 of a-z, 0-9, - and _, beginning with a letter or digit",
    "^[a-z0-9][a-z0-9_-]{0,31}$", is_slug
);
text_id!(
    /// Who hears of alerts.
    ReceiverId, "receiver", 64, "1 to 64 of a-z, 0-9, - and _, beginning with a letter or digit",
    "^[a-z0-9][a-z0-9_-]{0,63}$", is_slug
);
text_id!(
    /// An episode for ever: `<rule>~<host>~<number>~<16 hexadecimal digits of the series' hash>`, `_` for no host.
    EpisodeId, "episode id", 192, "<rule>~<host>~<number>~<16 hexadecimal digits>",
    "^[a-z0-9][a-z0-9_-]*~([a-z0-9][a-z0-9_-]*|_)~[0-9]+~[0-9a-f]{16}$", is_episode_id
);
text_id!(
    /// A person: the name that they log in with.
    UserId, "user name", 32, "1 to 32 of a-z, 0-9, - and _, beginning with a letter or digit",
    "^[a-z0-9][a-z0-9_-]{0,31}$", is_slug
);
text_id!(
    /// A personal token: the part of it that is no secret.
    TokenId, "token id", 32, "1 to 32 of a-z, 0-9, - and _, beginning with a letter or digit",
    "^[a-z0-9][a-z0-9_-]{0,31}$", is_slug
);
text_id!(
    /// An invitation.
    InvitationId, "invitation id", 32, "1 to 32 of a-z, 0-9, - and _, beginning with a letter or digit",
    "^[a-z0-9][a-z0-9_-]{0,31}$", is_slug
);
text_id!(
    /// A third-party tool that hears a team's public feed.
    ReaderName, "reader name", 32, "1 to 32 of a-z, 0-9, - and _, beginning with a letter or digit",
    "^[a-z0-9][a-z0-9_-]{0,31}$", is_slug
);
text_id!(
    /// The public nkey of a NATS user.
    PublicKey, "public key", 56, "the public nkey of a user: U and 55 of A-Z and 2-7",
    "^U[A-Z2-7]{55}$", is_user_key
);
text_id!(
    /// A processor: the name of a durable consumer and of what it does.
    ProcessorName, "processor name", 32, "1 to 32 of a-z, 0-9, - and _, beginning with a letter or digit",
    "^[a-z0-9][a-z0-9_-]{0,31}$", is_slug
);
text_id!(
    /// The name of a metric: two or more words joined by dots, as the catalogue writes them (`cpu.usage_pct`).
    MetricName, "metric name", 96, "words of a-z, 0-9 and _ joined by dots, such as cpu.usage_pct",
    "^[a-z][a-z0-9_]*(\\.[a-z][a-z0-9_]*)+$", is_metric_name
);

impl TeamId {
    /// Stands in a sample that turned out to be none, until it is thrown away.
    pub(crate) fn unread() -> Self {
        Self(CompactString::const_new("unread"))
    }
}

impl HostId {
    /// Stands in a sample that turned out to be none, until it is thrown away.
    pub(crate) fn unread() -> Self {
        Self(CompactString::const_new("unread"))
    }
}

/// One of [`SHARDS`] partitions, written as two digits. Permission, partition and filter are this one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u8);

impl Shard {
    /// The shard of a host: 64-bit FNV-1a of its id, modulo [`SHARDS`].
    #[must_use]
    pub fn of(host: &HostId) -> Self {
        let hash = host.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self((hash % u64::from(SHARDS)) as u8)
    }

    /// Every shard in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SHARDS).map(Self)
    }

    /// The shard's number, 0 to 63.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for Shard {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let two_digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|number| two_digits && *number < SHARDS)
            .map(Self)
            .ok_or_else(|| InvalidId::new("shard", text, "two digits from 00 to 63"))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}", self.0)
    }
}

impl Serialize for Shard {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Shard {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        CompactString::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Shard {
    fn schema_name() -> Cow<'static, str> {
        "Shard".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-6][0-9]$" })
    }
}

/// A start of a host's agent-visible life: 128 random bits, new at every boot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootId(pub [u8; 16]);

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BootId({self})")
    }
}

impl FromStr for BootId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId::new("boot id", text, "32 hexadecimal digits, as a UUID");
        let mut bytes = [0_u8; 16];
        let mut digits = text.chars().filter(|c| *c != '-');
        for byte in &mut bytes {
            let high = digits.next().and_then(|c| c.to_digit(16)).ok_or_else(invalid)?;
            let low = digits.next().and_then(|c| c.to_digit(16)).ok_or_else(invalid)?;
            *byte = (high * 16 + low) as u8;
        }
        if digits.next().is_some() { Err(invalid()) } else { Ok(Self(bytes)) }
    }
}

impl Serialize for BootId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BootId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        CompactString::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for BootId {
    fn schema_name() -> Cow<'static, str> {
        "BootId".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "uuid" })
    }
}

impl utoipa::PartialSchema for BootId {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::schema::Type::String).into()
    }
}

impl utoipa::ToSchema for BootId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_leave_their_subject_token_are_refused() {
        for bad in ["", "a.b", "a*", ">", "a b", "A", "-a", "é", "a\n", "a\0", "$js"] {
            assert!(bad.parse::<HostId>().is_err(), "{bad:?}");
            assert!(bad.parse::<TeamId>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(65).parse::<HostId>().is_err());
        assert!("web-1_x".parse::<HostId>().is_ok());
    }

    #[test]
    fn metric_names_need_a_section_and_a_field() {
        for bad in ["cpu", "cpu.", ".cpu", "cpu..x", "Cpu.x", "cpu.1x", "cpu x.y"] {
            assert!(bad.parse::<MetricName>().is_err(), "{bad:?}");
        }
        assert!("cpu.usage_pct".parse::<MetricName>().is_ok());
    }

    #[test]
    fn shards_are_two_digits_and_fixed_for_ever() {
        let shard_of = |id: &str| Shard::of(&id.parse().unwrap()).to_string();
        assert_eq!([shard_of("web-1"), shard_of("db"), shard_of("host-00042")], GOLDEN_SHARDS);
        for bad in ["0", "64", "007", "-1", "+1", "aa", ""] {
            assert!(bad.parse::<Shard>().is_err(), "{bad:?}");
        }
        assert!(Shard::all().all(|shard| shard.to_string().parse() == Ok(shard)));
    }
    const GOLDEN_SHARDS: [&str; 3] = ["31", "35", "32"];

    #[test]
    fn a_boot_id_reads_back_what_it_prints() {
        let text = "01020304-0506-0708-090a-0b0c0d0e0f10";
        assert_eq!(text.parse::<BootId>().unwrap().to_string(), text);
        assert!("0102".parse::<BootId>().is_err());
        assert!("zz020304-0506-0708-090a-0b0c0d0e0f10".parse::<BootId>().is_err());
    }
}
