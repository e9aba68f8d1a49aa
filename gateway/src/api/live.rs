//! The live stream: server-sent events.

use crate::app::App;
use crate::fleet::place::Place;
use crate::http::ask::{Ask, Reader};
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::live::alert_cursor::AlertCursor;
use crate::live::cursor::{Cursor, Detail, Interest};
use crate::live::notice_cursor::NoticeCursor;
use crate::live::stream::{Client, Leave};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use std::borrow::Cow;
use std::sync::Arc;
use watchkeeper_schemas::ids::HostId;

/// Hosts that one client may choose.
const HOSTS_MAX: usize = 200;
/// When a client that found all places taken should come again, in seconds.
const FULL_RETRY_S: u32 = 5;

/// What a client wants to hear of, and where it was.
#[derive(Debug)]
pub struct LiveAsk {
    detail: Detail,
    hosts: Option<Vec<HostId>>,
    last: Option<Place>,
}

impl Ask for LiveAsk {
    const QUERY: &'static [&'static str] = &["detail", "hosts"];
    fn read(request: &mut Reader<'_>) -> Option<Self> {
        let detail = request.optional("detail", parse_detail).unwrap_or(Detail::Summary);
        let hosts = request.optional("hosts", parse_hosts);
        // An id that is not ours is of another time: such a client is told so and begins anew.
        let last = request.header("last-event-id").filter(|id| !id.is_empty());
        let last = last.map(|id| id.parse().unwrap_or_default());
        Some(Self { detail, hosts, last })
    }
}

fn parse_detail(text: &str) -> Result<Detail, Cow<'static, str>> {
    match text {
        "summary" => Ok(Detail::Summary),
        "full" => Ok(Detail::Full),
        _ => Err("summary or full".into()),
    }
}

/// Ids in order, each once. None at all is a choice too: of nothing.
fn parse_hosts(text: &str) -> Result<Vec<HostId>, Cow<'static, str>> {
    let ids = text.split(',').filter(|id| !id.is_empty()).take(HOSTS_MAX + 1);
    let read: Result<Vec<HostId>, _> = ids.map(str::parse).collect();
    let Some(mut hosts) = read.ok().filter(|hosts| hosts.len() <= HOSTS_MAX) else {
        return Err(format!("at most {HOSTS_MAX} host ids joined by commas").into());
    };
    hosts.sort_unstable();
    hosts.dedup();
    Ok(hosts)
}

/// Changes as they come, as server-sent events: `snapshot` once, then `host` for each change, `lag` when the views
/// fall behind or catch up, `reset` when what was told is of no use any more (a `snapshot` follows). Ids are
/// `<epoch>-<revision>`; a client that comes back with `Last-Event-ID` gets only what changed meanwhile. A client
/// that reads slowly gets the newest state of each host and misses what was between. `alerts` {open} tells once which
/// alerts are open, `alert` each that changed since. `notices` {waiting} tells once how many notices wait, `notice` each
/// that is decided, tried or settled since, `receivers` {revision} that something about who receives was changed (ask
/// for them again). `end` {reason} is the last event,
/// within a second after a log-out or a change of role; a client signs in again, or comes back with what it may now do.
#[utoipa::path(
    get, path = "/api/v1/live", tag = "hosts", operation_id = "live",
    params(
        ("detail" = Option<String>, Query, description = "`summary` (as in the list, the default) or `full` (as a single host)"),
        ("hosts" = Option<String>, Query, description = "Only these: at most 200 ids joined by commas; one that is not there never appears"),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was received"),
    ),
    responses(
        (status = 200, description = "The stream: `snapshot` {hosts, lag}, `host`, `lag`, `reset` {reason}, `alerts` {open}, `alert`, `notices` {waiting}, `notice`, `receivers` {revision}, `end` {reason}", body = String, content_type = "text/event-stream"),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "All places are taken, or hosts have not been read yet", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn stream(principal: Principal, app: Arc<App>, asked: LiveAsk) -> Result<Response, Problem> {
    let fleet = app.fleet()?;
    let full =
        || Problem::unavailable("as many clients follow the live stream as there are places", FULL_RETRY_S);
    let place = app.live.enter().ok_or_else(full)?;
    let identity = Arc::clone(&app.identity);
    let interest = Interest { team: principal.team.clone(), detail: asked.detail, hosts: asked.hosts };
    let client = Client {
        cursor: Cursor::new(&fleet, interest, asked.last),
        live: Arc::clone(&app.live),
        alerting: Arc::clone(&app.alerting),
        alerts: AlertCursor::new(principal.team.clone()),
        notices: NoticeCursor::new(principal.team.clone()),
        lag: app.lag.clone(),
        rounds: app.live.rounds(),
        shutdown: app.shutdown.clone(),
        place,
        leave: Leave { bell: identity.bell(), principal, identity, checked: None },
    };
    let mut response = Response::new(client.into_body());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_of_hosts_is_bounded_and_none_is_none() {
        let many = |count: usize| (0..count).map(|n| format!("h{n}")).collect::<Vec<_>>().join(",");
        assert_eq!(parse_hosts(&many(200)).unwrap().len(), 200);
        assert!(parse_hosts(&many(201)).is_err());
        assert!(parse_hosts("a,B").is_err());
        assert_eq!(parse_hosts("b,a,,b").unwrap().len(), 2);
        assert_eq!(parse_hosts("").unwrap(), []);
    }
}
