//! The guard on calls to addresses that people chose: names are resolved once and the connection goes to what was found;
//! nothing private, local or of a cloud's own is called unless the installation allows its network; no redirects; an
//! answer is bounded in time and size.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// Longest wait for a channel's answer.
pub const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A network that receivers may be in, as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a network as 10.0.0.0/8 or fd00::/8, or one address")]
pub struct NoNetwork;

impl FromStr for Network {
    type Err = NoNetwork;
    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NoNetwork)?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(all), str::parse).map_err(|_| NoNetwork)?;
        if bits <= all { Ok(Self { address, bits }) } else { Err(NoNetwork) }
    }
}

/// Calls what may be called.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Private networks that may be called.
    pub allowed: Vec<Network>,
}
