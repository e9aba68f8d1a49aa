//! What of a host is read: the names of the collectors and where the host lies.

use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as ValueError;
use std::path::PathBuf;

pub use watchkeeper_schemas::journal::Collector;

/// The collector of a name: that of the section in a sample which it fills.
///
/// # Errors
/// The names there are.
pub fn collector(name: &str) -> Result<Collector, ValueError> {
    Collector::deserialize(name.into_deserializer())
}

/// Which file systems are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mounts {
    /// Every real one: no pseudo file systems, no images, each device once.
    Auto,
    /// These, whatever they are.
    List(Vec<PathBuf>),
}

/// What is read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observe {
    /// The host's `/`; elsewhere where a container sees its host.
    pub root: PathBuf,
    /// Which file systems are told.
    pub mounts: Mounts,
    /// Collectors that are switched off.
    pub without: Vec<Collector>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_named_as_in_the_api() {
        assert_eq!(collector("disk_io"), Ok(Collector::DiskIo));
        let told = collector("gpus").unwrap_err().to_string();
        assert!(told.contains("gpus") && told.contains("temperatures"), "{told}");
    }
}
