//! The public feed: the view of a host as the body, `CloudEvents` 1.0 attributes as headers (binary mode).

use crate::view::HostHead;

/// The type of an event that tells the newest view of a host.
pub const HOST_EVENT_TYPE: &str = "watchkeeper.host.v1";

/// The headers of an event that tells the newest view of a host, in order.
#[must_use]
pub fn host_event_headers(head: &HostHead) -> [(&'static str, String); 6] {
    [
        ("ce-specversion", "1.0".to_owned()),
        ("ce-type", HOST_EVENT_TYPE.to_owned()),
        ("ce-source", format!("/teams/{}/hosts/{}", head.team, head.host)),
        ("ce-id", head.sequence.to_string()),
        ("ce-time", head.received.to_string()),
        ("content-type", "application/json".to_owned()),
    ]
}
