//! What was: series over a range.

use crate::api::Written;
use crate::api::hosts::find;
use crate::app::App;
use crate::fleet::watch::now;
use crate::history::HistoryError;
use crate::history::answer::{FleetHistoryView, HistoryView};
use crate::history::grid::{Moment, RangeAsk, parse_step};
use crate::history::selector::Selector;
use crate::hosting::no_such_host;
use crate::http::ask::{Ask, Reader};
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use axum::Json;
use std::sync::Arc;
use watchkeeper_schemas::ids::HostId;

const METRIC_EXPECTED: &str = "a metric of /api/v1/metrics such as cpu.usage_pct";

/// A metric over a range.
#[derive(Debug)]
pub struct SeriesAsk {
    selector: Selector,
    range: RangeAsk,
    /// As they were written, for a refusal.
    from: String,
    step: String,
}

impl Ask for SeriesAsk {
    const QUERY: &'static [&'static str] = &["metric", "from", "to", "step"];
    fn read(request: &mut Reader<'_>) -> Option<Self> {
        let selector =
            request.required("metric", METRIC_EXPECTED, |text| Selector::parse(text).map_err(Into::into));
        let range = RangeAsk {
            from: request.optional("from", Moment::parse),
            to: request.optional("to", Moment::parse),
            step_s: request.optional("step", parse_step),
        };
        let shown = |request: &Reader<'_>, name| request.text(name).unwrap_or_default();
        Some(Self { selector: selector?, range, from: shown(request, "from"), step: shown(request, "step") })
    }
}

/// A metric of one host over a range.
#[derive(Debug)]
pub struct HostSeriesAsk {
    id: Option<HostId>,
    series: SeriesAsk,
}

impl Ask for HostSeriesAsk {
    const QUERY: &'static [&'static str] = SeriesAsk::QUERY;
    fn read(request: &mut Reader<'_>) -> Option<Self> {
        let id = request.path("id").parse().ok();
        SeriesAsk::read(request).map(|series| Self { id, series })
    }
}

/// A metric of the whole fleet over a range: one with at most one series a host.
#[derive(Debug)]
pub struct FleetSeriesAsk(SeriesAsk);

impl Ask for FleetSeriesAsk {
    const QUERY: &'static [&'static str] = SeriesAsk::QUERY;
    fn read(request: &mut Reader<'_>) -> Option<Self> {
        let series = SeriesAsk::read(request)?;
        if !series.selector.is_scalar() {
            let found = series.selector.metric.to_string();
            request.mistake("metric", "a metric without labels, such as cpu.usage_pct", &found);
        }
        Some(Self(series))
    }
}

/// One metric of one host: average, smallest and largest value of each step, on a regular grid with null for gaps.
#[utoipa::path(
    get, path = "/api/v1/hosts/{id}/history", tag = "history", operation_id = "host_history",
    params(
        ("id" = HostId, Path, description = "The host"),
        ("metric" = String, Query, description = "A metric of /api/v1/metrics or `custom.<name>`; `disk.used_pct{mount=\"/\"}` pins one of its series", example = "cpu.usage_pct"),
        ("from" = Option<String>, Query, description = "RFC 3339, `now`, or a span before now such as `-1h`; at most 24 h before `to`. Default: an hour before `to`", example = "-1h"),
        ("to" = Option<String>, Query, description = "As `from`. Default: `now`", example = "now"),
        ("step" = Option<String>, Query, description = "Whole seconds such as `10s`; at most 1,000 points. Default: the shortest that fits", example = "10s"),
    ),
    responses(
        (status = 200, description = "The series", body = HistoryView),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such host", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "QuestDB does not answer; come again after Retry-After", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn of_host(
    principal: Principal,
    app: Arc<App>,
    asked: HostSeriesAsk,
) -> Result<Json<HistoryView>, Problem> {
    let (id, interval_ms) = {
        let fleet = app.fleet()?;
        let host = find(&fleet, &principal, asked.id.as_ref()).ok_or_else(no_such_host)?;
        (host.heard.host.clone(), host.heard.interval_ms)
    };
    let SeriesAsk { selector, range, from, step } = asked.series;
    let answer = app.history.of_host(&principal.team, id, (selector, range), interval_ms, now()).await;
    answer.map(Json).map_err(|error: HistoryError| error.into_problem(&from, &step))
}

/// One metric of every host: the average of each step, on a regular grid with null for gaps. For sparklines.
#[utoipa::path(
    get, path = "/api/v1/history", tag = "history", operation_id = "fleet_history",
    params(
        ("metric" = String, Query, description = "A metric of /api/v1/metrics without labels, or `custom.<name>`", example = "cpu.usage_pct"),
        ("from" = Option<String>, Query, description = "RFC 3339, `now`, or a span before now such as `-1h`; at most 24 h before `to`. Default: an hour before `to`", example = "-1h"),
        ("to" = Option<String>, Query, description = "As `from`. Default: `now`", example = "now"),
        ("step" = Option<String>, Query, description = "Whole seconds such as `60s`; at most 1,000 points. Default: the shortest that fits", example = "60s"),
    ),
    responses(
        (status = 200, description = "One line a host; a few seconds old at most", body = FleetHistoryView),
        (status = 400, description = "A parameter is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "QuestDB does not answer; come again after Retry-After", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn of_fleet(
    principal: Principal,
    app: Arc<App>,
    asked: FleetSeriesAsk,
) -> Result<Written, Problem> {
    let SeriesAsk { selector, range, from, step } = asked.0;
    let answer = app.history.of_fleet(&principal.team, (selector, range), now()).await;
    answer.map(Written).map_err(|error: HistoryError| error.into_problem(&from, &step))
}
