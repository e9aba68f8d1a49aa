//! The fleet as it is now.

use crate::api::host_schema::HostView;
use crate::api::{List, Written};
use crate::app::App;
use crate::fleet::summary::HostSummary;
use crate::fleet::{Fleet, Team};
use crate::hosting::no_such_host;
use crate::http::ask::{ById, PageAsk};
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use bytes::Bytes;
use std::io::Write as _;
use std::sync::Arc;
use watchkeeper_schemas::ids::HostId;

/// Bytes of a summary, for a first guess.
const SUMMARY_BYTES_USUAL: usize = 512;

/// Every host, in the order of ids: what a table shows.
#[utoipa::path(
    get, path = "/api/v1/hosts", tag = "hosts", operation_id = "list_hosts",
    params(
        ("page" = Option<usize>, Query, description = "The page, from 1", minimum = 1),
        ("limit" = Option<usize>, Query, description = "Hosts of a page", minimum = 1, maximum = 1000),
    ),
    responses(
        (status = 200, description = "The hosts", body = List<HostSummary>),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Hosts have not been read yet", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(principal: Principal, app: Arc<App>, page: PageAsk) -> Result<Written, Problem> {
    let fleet = app.fleet()?;
    Ok(Written(list_json(fleet.team(&principal.team), page)))
}

fn list_json(team: Option<&Team>, page: PageAsk) -> Bytes {
    let count = team.map_or(0, |team| team.hosts().len());
    let shown = count.saturating_sub(page.skip()).min(page.limit);
    let mut json = Vec::with_capacity(64 + shown * SUMMARY_BYTES_USUAL);
    json.extend_from_slice(b"{\"items\":[");
    for (index, host) in
        team.into_iter().flat_map(|team| team.hosts().values()).skip(page.skip()).take(shown).enumerate()
    {
        if index > 0 {
            json.push(b',');
        }
        json.extend_from_slice(host.summary_json());
    }
    let more = page.skip() + shown < count && shown > 0;
    let written = match more {
        true => write!(json, "],\"next_page\":{}}}", page.page + 1),
        false => json.write_all(b"],\"next_page\":null}"),
    };
    debug_assert!(written.is_ok(), "memory takes every byte");
    Bytes::from(json)
}

/// One host with all its numbers.
#[utoipa::path(
    get, path = "/api/v1/hosts/{id}", tag = "hosts", operation_id = "get_host",
    params(("id" = HostId, Path, description = "The host")),
    responses(
        (status = 200, description = "The host", body = HostView),
        (status = 404, description = "There is no such host", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Hosts have not been read yet", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get(principal: Principal, app: Arc<App>, asked: ById<HostId>) -> Result<Written, Problem> {
    let fleet = app.fleet()?;
    find(&fleet, &principal, asked.id.as_ref())
        .map(|host| Written(host.full().clone()))
        .ok_or_else(no_such_host)
}

/// A host of whoever asks.
#[must_use]
pub fn find<'a>(
    fleet: &'a Fleet,
    principal: &Principal,
    id: Option<&HostId>,
) -> Option<&'a crate::fleet::host::Host> {
    fleet.team(&principal.team)?.hosts().get(id?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::tests::{fleet, team};

    #[test]
    fn pages_hold_every_host_once_and_the_last_says_so() {
        let fleet = fleet(&["a", "b", "c", "d", "e"]);
        let page = |page, limit| {
            let json = list_json(Some(team(&fleet)), PageAsk { page, limit });
            let list: serde_json::Value = serde_json::from_slice(&json).unwrap();
            let ids: Vec<String> =
                list["items"].as_array().unwrap().iter().map(|it| it["host"].to_string()).collect();
            (ids.join(""), list["next_page"].as_u64())
        };
        assert_eq!(page(1, 2), ("\"a\"\"b\"".to_owned(), Some(2)));
        assert_eq!(page(3, 2), ("\"e\"".to_owned(), None));
        assert_eq!(page(1, 5), ("\"a\"\"b\"\"c\"\"d\"\"e\"".to_owned(), None));
        assert_eq!(page(9, 2), (String::new(), None));
        assert_eq!(list_json(None, PageAsk { page: 1, limit: 2 }), "{\"items\":[],\"next_page\":null}");
    }
}
