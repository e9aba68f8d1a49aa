//! What the NATS server lists about its connections, and how it is asked.

use super::projection::{Listed, Look};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use watchkeeper_nats::Holder;
use watchkeeper_nats::claims::{Claims, User};
use watchkeeper_schemas::ids::PublicKey;
use watchkeeper_schemas::quantity::UnixMs;

/// Connections that were active last, asked for at each look: a flooder is always among them.
const RECENT_MAX: usize = 256;
/// Connections in order, asked for at each look: the whole server is seen bit by bit, idle ones included.
const SWEPT_MAX: usize = 512;
/// The server's words for open connections alone and for those that have ended, too.
const OPEN: u8 = 0;
const OPEN_AND_ENDED: u8 = 2;

/// Asks for the connections that were active last.
pub(super) fn recent() -> String {
    json!({ "auth": true, "sort": "last", "state": OPEN_AND_ENDED, "limit": RECENT_MAX }).to_string()
}

/// Asks for the connections from the `offset`th on.
pub(super) fn swept(offset: usize) -> String {
    json!({ "auth": true, "sort": "cid", "state": OPEN, "limit": SWEPT_MAX, "offset": offset }).to_string()
}

/// Where the next sweep begins; `most`: how many connections a server has at most.
pub(super) fn next_offset(offset: usize, most: usize) -> usize {
    if offset + SWEPT_MAX < most { offset + SWEPT_MAX } else { 0 }
}

/// One answer of one server.
#[derive(Deserialize)]
pub(super) struct Listing {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    server_id: String,
    now: jiff::Timestamp,
    total: usize,
    connections: Vec<Connection>,
}

#[derive(Deserialize)]
struct Connection {
    cid: u64,
    #[serde(default)]
    authorized_user: String,
    #[serde(default)]
    jwt: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    in_msgs: u64,
    start: jiff::Timestamp,
    stop: Option<jiff::Timestamp>,
}

impl Listing {
    /// Reads an answer.
    pub(super) fn read(payload: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(payload)
    }

    /// The id of the server.
    pub(super) fn server(&self) -> &str {
        &self.data.server_id
    }

    /// How many connections it has.
    pub(super) fn total(&self) -> usize {
        self.data.total
    }

    /// What it says of connections with a team: our own programs have none.
    pub(super) fn look(&self) -> Look {
        let listed = self.data.connections.iter().filter(|connection| !connection.tags.is_empty());
        let listed = listed.filter_map(|connection| {
            Some(Listed {
                id: connection.cid,
                key: connection.authorized_user.parse().ok()?,
                messages: connection.in_msgs,
                since: unix_ms(connection.start),
                ended: connection.stop.map(unix_ms),
            })
        });
        Look { server: self.data.server_id.clone(), at: unix_ms(self.data.now), listed: listed.collect() }
    }

    /// Whose a key is, and its open connections.
    pub(super) fn holder(&self, key: &PublicKey) -> Option<(Holder, Vec<u64>)> {
        let of_key =
            || self.data.connections.iter().filter(|connection| connection.authorized_user == key.as_str());
        let claims = Claims::<User>::verify(&of_key().next()?.jwt).ok()?;
        let open = of_key().filter(|connection| connection.stop.is_none()).map(|connection| connection.cid);
        Some((claims.name.parse().ok()?, open.collect()))
    }
}

/// How many connections each server said to have.
#[derive(Default)]
pub(super) struct Totals(BTreeMap<String, usize>);

impl Totals {
    /// Notes what a server said.
    pub(super) fn note(&mut self, listing: &Listing) {
        self.0.insert(listing.server().to_owned(), listing.total());
    }

    /// The most of any server; forgotten with it.
    pub(super) fn take_most(&mut self) -> usize {
        std::mem::take(&mut self.0).into_values().max().unwrap_or(0)
    }
}

fn unix_ms(time: jiff::Timestamp) -> UnixMs {
    UnixMs(u64::try_from(time.as_millisecond()).unwrap_or(0))
}
