//! The TCP ports of one stack on 127.0.0.1.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

/// Free ports are taken from below the range from which the system gives ports to outgoing connections: else a client
/// that retries while a killed server is down may sit on the server's port, or connect to itself.
const FREE_PORTS: std::ops::Range<u16> = 10_240..32_000;

/// Ports given out by this process, so that two stacks in one test program never meet.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// One port for each listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The page and the API.
    pub gateway: u16,
    /// Prometheus metrics of the gateway.
    pub metrics: u16,
    pub nats: u16,
    pub questdb_http: u16,
    pub questdb_pg: u16,
    /// QuestDB's health checks and metrics.
    pub questdb_min: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            gateway: 7171,
            metrics: 7172,
            nats: 4222,
            questdb_http: 9000,
            questdb_pg: 8812,
            questdb_min: 9003,
        }
    }
}

impl Ports {
    /// Ports that nobody listens on now.
    pub fn free() -> Result<Self> {
        Ok(Self {
            gateway: free_port()?,
            metrics: free_port()?,
            nats: free_port()?,
            questdb_http: free_port()?,
            questdb_pg: free_port()?,
            questdb_min: free_port()?,
        })
    }

    /// Each port with what listens there and the flag of `cargo xtask up` that changes it.
    pub fn named(&self) -> [(&'static str, &'static str, u16); 6] {
        [
            ("the page", "--port", self.gateway),
            ("the gateway's metrics", "--metrics-port", self.metrics),
            ("NATS", "--nats-port", self.nats),
            ("QuestDB's HTTP", "--questdb-http-port", self.questdb_http),
            ("QuestDB's PostgreSQL wire", "--questdb-pg-port", self.questdb_pg),
            ("QuestDB's health checks", "--questdb-min-port", self.questdb_min),
        ]
    }

    /// Names every port that cannot be listened on, and the flag which changes it.
    pub fn check_unused(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        let mut mistakes = Vec::new();
        for (what, flag, port) in self.named() {
            if !seen.insert(port) {
                mistakes.push(format!("port {port} is given twice; {what} takes another with {flag} PORT"));
            } else if let Err(refusal) = TcpListener::bind(address(port)) {
                mistakes.push(format!(
                    "port {port} for {what} cannot be listened on ({refusal}); choose another with {flag} PORT"
                ));
            }
        }
        if mistakes.is_empty() { Ok(()) } else { bail!("{}", mistakes.join("\n  ")) }
    }
}

/// The loopback address with this port.
pub fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A port that nobody listens on now and that this process gives to nobody else.
pub fn free_port() -> Result<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let span = FREE_PORTS.end - FREE_PORTS.start;
    let mut random = [0; 2];
    getrandom::fill(&mut random).context("reading random numbers for a port")?;
    let first = u16::from_le_bytes(random) % span;
    let port = (0..span)
        .map(|step| {
            FREE_PORTS.start + (u32::from(first) + u32::from(step)).rem_euclid(u32::from(span)) as u16
        })
        .find(|port| !given.contains(port) && TcpListener::bind(address(*port)).is_ok())
        .context("no free port between 10240 and 32000 on 127.0.0.1")?;
    given.insert(port);
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_with_the_flag_that_changes_it() {
        let mut ports = Ports::free().unwrap();
        let occupied = TcpListener::bind(address(0)).unwrap();
        ports.nats = occupied.local_addr().unwrap().port();
        let message = ports.check_unused().unwrap_err().to_string();
        assert!(message.contains(&format!("port {}", ports.nats)), "{message}");
        assert!(message.contains("--nats-port"), "{message}");
        assert!(!message.contains("--questdb"), "only the one in use is named: {message}");
    }

    #[test]
    fn a_port_given_twice_is_refused() {
        let mut ports = Ports::free().unwrap();
        ports.metrics = ports.gateway;
        let message = ports.check_unused().unwrap_err().to_string();
        assert!(message.contains("given twice") && message.contains("--metrics-port"), "{message}");
    }

    #[test]
    fn free_ports_are_all_different_and_below_the_outgoing_range() {
        let (one, two) = (Ports::free().unwrap(), Ports::free().unwrap());
        let all: BTreeSet<u16> = [one, two].iter().flat_map(Ports::named).map(|(_, _, port)| port).collect();
        assert_eq!(all.len(), 12);
        assert!(all.iter().all(|port| FREE_PORTS.contains(port)));
    }
}
