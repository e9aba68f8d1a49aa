//! Back-tests: what a rule would have done, found by the processors and streamed as it goes.

use crate::alerting::backtest::{Backtest, Leave, Tried};
use crate::alerting::desk::Desk;
use crate::alerting::form::{check_scope, check_text};
use crate::app::App;
use crate::fleet::watch::now;
use crate::history::grid::Moment;
use crate::http::ask::Nothing;
use crate::http::body::{Body, Mistakes};
use crate::http::principal::Principal;
use crate::http::problem::{FieldError, Problem};
use axum::body::Body as Bytes;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::alerting::Scope;
use watchkeeper_schemas::backtest::{BacktestLine, RANGE_MS_MAX, TriedRule};
use watchkeeper_schemas::ids::RuleId;
use watchkeeper_schemas::quantity::UnixMs;

/// One JSON object a line.
const LINES: &str = "application/x-ndjson";
const DAY_MS: u64 = 86_400_000;

/// A rule to be tried, and over which time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleTrial {
    /// In the rule language.
    #[schema(max_length = 1024)]
    text: String,
    /// Which hosts it watches; all, unless said.
    #[serde(default)]
    scope: Scope,
    /// The saved rule of which it is an edit: then both are tried, and compared.
    #[serde(default)]
    edit_of: Option<RuleId>,
    /// The beginning: a span such as `-1h` before now, or a time. At most 30 days before the end.
    #[schema(example = "-24h")]
    from: String,
    /// The end; now, unless said.
    #[serde(default)]
    to: Option<String>,
}

impl Body for RuleTrial {
    fn check(&self, mistakes: &mut Mistakes) {
        check_text(mistakes, &self.text);
        check_scope(mistakes, &self.scope);
        let mut moment = |field: &str, text: &str| {
            if let Err(expected) = Moment::parse(text) {
                mistakes.note(field, expected, text);
            }
        };
        moment("from", &self.from);
        if let Some(to) = &self.to {
            moment("to", to);
        }
    }
}

/// From when until when; never in the future.
fn range(trial: &RuleTrial, now: UnixMs) -> Result<(UnixMs, UnixMs), Problem> {
    let at = |text: &str| Moment::parse(text).map_or(now, |moment| moment.at(now)).min(now);
    let (from, to) = (at(&trial.from), trial.to.as_deref().map_or(now, at));
    if from >= to || to.0 - from.0 > RANGE_MS_MAX {
        let expected = format!("before the end, by {} days at most", RANGE_MS_MAX / DAY_MS);
        return Err(Problem::fields(vec![FieldError::new("from", expected, &trial.from)]));
    }
    Ok((from, to))
}

/// Says what a rule would have done, over the samples of the past: episodes with their times, the notices that one
/// receiver would have got, and which hosts came closest to an episode. The rule begins with no episode open, judges the
/// hosts that are in its scope today, and no silence holds it back. An edit is tried beside the rule as it is saved.
///
/// The answer is a stream of lines, each a JSON object: `progress` some times a second, and at last `result` or `error`.
/// Whoever closes the connection cancels. Where the log does not reach back so far, a sample is the mean of its minute,
/// and `left_out` of the result says so.
#[utoipa::path(
    post, path = "/api/v1/rules/backtest", tag = "alerts", operation_id = "backtest_rule", request_body = RuleTrial,
    responses(
        (status = 200, description = "Lines: `progress` …, then `result` or `error`", body = BacktestLine, content_type = "application/x-ndjson"),
        (status = 503, description = "No processor answers, or all are busy: come again after Retry-After", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn run(
    principal: Principal,
    app: Arc<App>,
    _: Nothing,
    body: RuleTrial,
) -> Result<Response, Problem> {
    let (from, to) = range(&body, now())?;
    let before = body.edit_of.as_ref().map(|id| saved(&app, &principal, id)).transpose()?;
    let rule = TriedRule { text: body.text, scope: body.scope };
    let identity = Arc::clone(&app.identity);
    let client = identity.context().client();
    let leave = Leave { bell: identity.bell(), principal, identity, shutdown: app.shutdown.clone() };
    let backtest = Backtest::begin(client, leave, Tried { rule, before, from, to }).await?;
    let mut response = Response::new(Bytes::from_stream(backtest.into_lines()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(LINES));
    Ok(response)
}

/// The rule as it is saved; what is built in has no text to compare with.
fn saved(app: &App, principal: &Principal, id: &RuleId) -> Result<TriedRule, Problem> {
    let placed = Desk::of(app, principal).rule(id)?;
    if placed.built_in.is_some() {
        let expected = "a rule of the team: built-in ones have no text to compare with";
        return Err(Problem::fields(vec![FieldError::new("edit_of", expected, id.as_str())]));
    }
    Ok(TriedRule { text: placed.rule.rule.text, scope: placed.rule.rule.scope })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_now_at_the_latest_and_is_not_too_long() {
        let now = UnixMs(1_790_000_000_000);
        let range = |from: &str, to: Option<&str>| {
            let (from, to) = (from.to_owned(), to.map(str::to_owned));
            let trial = RuleTrial { text: String::new(), scope: Scope::All, edit_of: None, from, to };
            range(&trial, now).ok()
        };
        assert_eq!(range("-1h", None), Some((UnixMs(now.0 - 3_600_000), now)));
        assert_eq!(range("-1h", Some("2100-01-01T00:00:00Z")), Some((UnixMs(now.0 - 3_600_000), now)));
        assert!(range("-30d", None).is_some());
        assert_eq!(range("-31d", None), None);
        assert_eq!(range("now", None), None);
        assert_eq!(range("-1h", Some("-2h")), None);
    }
}
