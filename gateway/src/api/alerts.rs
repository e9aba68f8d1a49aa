//! Alerts: what is open, what was, why; and what people say of it.

use crate::alerting::desk::{Desk, rule};
use crate::alerting::episodes::{Episode, EpisodeState, EpisodeView};
use crate::alerting::form::REASON_CHARS;
use crate::alerting::notices::NoticeView;
use crate::api::List;
use crate::api::rules::RuleView;
use crate::api::silences::{SilenceView, silences_during};
use crate::app::App;
use crate::audit::By;
use crate::fleet::watch::now;
use crate::http::ask::{Ask, ById, PageAsk, Reader};
use crate::http::body::{Body, Mistakes};
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::alerting::EpisodeRef;
use watchkeeper_schemas::audit::{Action, Deed};
use watchkeeper_schemas::episode::{AlertEvent, RuleThen, WHOLE_TEAM};
use watchkeeper_schemas::ids::{EpisodeId, HostId, RuleId};
use watchkeeper_schemas::journal::Remark;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::rule::Severity;
use watchkeeper_schemas::subjects::{JournalScope, alerts_of};
use watchkeeper_streams::rebuild::{Begin, read};
use watchkeeper_streams::topology::ALERTS;

/// When whoever came before ALERTS was read should come again, in seconds.
const LOADING_RETRY_S: u32 = 1;

/// Which alerts.
#[derive(Debug)]
pub struct AlertsAsk {
    state: Option<EpisodeState>,
    host: Option<HostId>,
    rule: Option<RuleId>,
    level: Option<Severity>,
    sort: Sort,
    page: PageAsk,
}

/// What stands first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Sort {
    /// The one opened last.
    #[default]
    Opened,
    /// The worst.
    Level,
    /// The one that lasted, or lasts, longest.
    Duration,
    /// By host and series.
    Host,
    /// By rule.
    Rule,
}

impl Sort {
    /// Those alike stay in the order in which they were opened.
    fn apply(self, views: &mut [&EpisodeView], now: UnixMs) {
        let lasts = |view: &EpisodeView| {
            view.duration_ms.unwrap_or_else(|| view.ended.unwrap_or(now).0.saturating_sub(view.since.0))
        };
        match self {
            Self::Opened => {}
            Self::Level => views.sort_by_key(|view| Reverse(view.level)),
            Self::Duration => views.sort_by_key(|view| Reverse(lasts(view))),
            Self::Host => views.sort_by(|a, b| (&a.host, &a.series).cmp(&(&b.host, &b.series))),
            Self::Rule => views.sort_by(|a, b| a.rule.cmp(&b.rule)),
        }
    }
}

impl Ask for AlertsAsk {
    const QUERY: &'static [&'static str] = &["state", "host", "rule", "level", "sort", "page", "limit"];
    fn read(request: &mut Reader<'_>) -> Option<Self> {
        let state = request.optional("state", |text| match text {
            "open" => Ok(EpisodeState::Open),
            "resolved" => Ok(EpisodeState::Resolved),
            _ => Err("open or resolved".into()),
        });
        let level = request.optional("level", |text| {
            serde_json::from_value(text.into()).map_err(|_| "info, warning or critical".into())
        });
        let host = request.optional("host", |text| text.parse().map_err(|_| "a host id".into()));
        let rule = request.optional("rule", |text| text.parse().map_err(|_| "a rule id".into()));
        let sort = request.optional("sort", |text| match text {
            "opened" => Ok(Sort::Opened),
            "level" => Ok(Sort::Level),
            "duration" => Ok(Sort::Duration),
            "host" => Ok(Sort::Host),
            "rule" => Ok(Sort::Rule),
            _ => Err("opened, level, duration, host or rule".into()),
        });
        let (sort, page) = (sort.unwrap_or_default(), PageAsk::read(request)?);
        Some(Self { state, host, rule, level, sort, page })
    }
}

impl AlertsAsk {
    fn wants(&self, view: &EpisodeView) -> bool {
        self.state.is_none_or(|state| view.state == state)
            && self.level.is_none_or(|level| view.level == level)
            && self.host.as_ref().is_none_or(|host| view.host == host.as_str())
            && self.rule.as_ref().is_none_or(|rule| view.rule == rule.as_str())
    }
}

/// An alert with everything that is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertView {
    /// The episode.
    alert: EpisodeView,
    /// Each transition with its evidence, in order.
    transitions: Vec<AlertEvent>,
    /// What was to be told, in order, each with what became of it; of the newest episodes only.
    notices: Vec<NoticeView>,
    /// The rule as it was when it fired; nothing for a built-in one.
    #[schema(required)]
    rule_then: Option<RuleThen>,
    /// The rule as it is now; nothing once removed.
    #[schema(required)]
    rule_now: Option<RuleView>,
    /// Silences of that time that speak of its rule or host, or of neither.
    silences_then: Vec<SilenceView>,
}

/// What somebody says of an alert.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemarkBody {
    /// In their words.
    #[serde(default)]
    #[schema(max_length = 500)]
    note: String,
}

impl Body for RemarkBody {
    fn check(&self, mistakes: &mut Mistakes) {
        if !self.note.is_empty() {
            mistakes.text("note", &self.note, REASON_CHARS);
        }
    }
}

pub(super) fn no_such_alert() -> Problem {
    Problem::not_found("no such alert: /api/v1/alerts lists those there are")
}

/// Alerts of the team: open ones, and the newest that are over.
#[utoipa::path(
    get, path = "/api/v1/alerts", tag = "alerts", operation_id = "list_alerts",
    params(
        ("state" = Option<String>, Query, description = "`open` or `resolved`; both unless said"),
        ("host" = Option<HostId>, Query, description = "Of this host only"),
        ("rule" = Option<RuleId>, Query, description = "Of this rule only"),
        ("level" = Option<Severity>, Query, description = "As bad as this only"),
        ("sort" = Option<String>, Query, description = "`opened` (the last first, unless said), `level` (the worst first), `duration` (the longest first), `host` or `rule`"),
        ("page" = Option<usize>, Query, description = "The page, from 1", minimum = 1),
        ("limit" = Option<usize>, Query, description = "Alerts of a page", minimum = 1, maximum = 1000),
    ),
    responses((status = 200, description = "The alerts", body = List<EpisodeView>))
)]
pub async fn list(
    principal: Principal,
    app: Arc<App>,
    asked: AlertsAsk,
) -> Result<Json<List<EpisodeView>>, Problem> {
    let episodes = app.alerting.episodes();
    if !episodes.is_loaded() {
        return Err(Problem::unavailable("alerts have not been read yet", LOADING_RETRY_S));
    }
    let all = episodes.team(&principal.team).into_iter().flat_map(|team| team.newest_first());
    let mut wanted: Vec<_> = all.map(|episode| &episode.view).filter(|view| asked.wants(view)).collect();
    asked.sort.apply(&mut wanted, now());
    Ok(Json(List::page(wanted.into_iter().cloned(), asked.page)))
}

/// One alert: the episode, what decided it, the rule then and now, who was to hear. The link is good for as long as
/// transitions are kept.
#[utoipa::path(
    get, path = "/api/v1/alerts/{id}", tag = "alerts", operation_id = "get_alert",
    params(("id" = EpisodeId, Path, description = "The alert")),
    responses((status = 200, description = "The alert", body = AlertView))
)]
pub async fn get(
    principal: Principal,
    app: Arc<App>,
    asked: ById<EpisodeId>,
) -> Result<Json<AlertView>, Problem> {
    let id = asked.id.ok_or_else(no_such_alert)?;
    let episode = find(&app, &principal, &id).await?;
    let notices =
        app.alerting.notices().team(&principal.team).map(|team| team.of_episode(&id)).unwrap_or_default();
    let registry = app.identity.registry()?;
    let team = registry.team(&principal.team);
    let rule_id: Option<RuleId> = episode.view.rule.parse().ok();
    let rule_now = team.zip(rule_id).and_then(|(team, id)| rule(team, &id)).map(|it| RuleView::new(it, team));
    let silences_then = team.map(|team| silences_during(team, &episode.view)).unwrap_or_default();
    let rule_then = episode.events.first().and_then(|event| event.rule_then.clone());
    let (alert, transitions) = (episode.view, episode.events);
    Ok(Json(AlertView { alert, transitions, notices, rule_then, rule_now, silences_then }))
}

/// An episode of whoever asks: from memory, else from the log.
async fn find(app: &App, principal: &Principal, id: &EpisodeId) -> Result<Episode, Problem> {
    {
        let episodes = app.alerting.episodes();
        if let Some(episode) = episodes.team(&principal.team).and_then(|team| team.get(id)) {
            return Ok(episode.clone());
        }
    }
    let (rule, host, _) = id.parts().ok_or_else(no_such_alert)?;
    let host = host.as_ref().map_or(WHOLE_TEAM, HostId::as_str);
    let subject = alerts_of(&principal.team, host, &rule);
    let subjects = [subject.as_str()];
    let mut found: Option<Episode> = None;
    let told = read(app.identity.context(), ALERTS, &subjects, Begin::First, |event| {
        let event = serde_json::from_slice::<AlertEvent>(&event.payload).ok();
        if let Some(event) = event.filter(|event| event.episode_id == *id && event.team == principal.team) {
            match &mut found {
                Some(episode) => _ = episode.apply(event),
                None => found = Some(Episode::begin(event)),
            }
        }
    });
    told.await.map_err(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "ALERTS cannot be read");
        Problem::unavailable("alerts cannot be read now: NATS does not answer", LOADING_RETRY_S)
    })?;
    found.ok_or_else(no_such_alert)
}

/// The open episode that somebody speaks of.
async fn open(app: &App, principal: &Principal, asked: ById<EpisodeId>) -> Result<EpisodeRef, Problem> {
    let EpisodeView { rule, host, series, episode, state, .. } =
        find(app, principal, &asked.id.ok_or_else(no_such_alert)?).await?.view;
    if state == EpisodeState::Resolved {
        return Err(is_over());
    }
    Ok(EpisodeRef { rule, host, series, episode })
}

pub(super) fn is_over() -> Problem {
    Problem::new(StatusCode::CONFLICT, "it is over already")
}

pub(super) async fn tell(app: &App, principal: &Principal, action: Action, episode: &EpisodeRef, note: &str) {
    let object = episode.id().map(|id| id.to_string()).unwrap_or_default();
    let after = Some(serde_json::json!({ "note": note }));
    let deed = Deed { after, ..By::from(principal).did(action, object) };
    app.audit.tell(JournalScope::Team(principal.team.clone()), deed).await;
}

/// Says that somebody looks after an alert: nobody is reminded of it or escalated to, unless it becomes worse.
#[utoipa::path(
    post, path = "/api/v1/alerts/{id}/acknowledgement", tag = "alerts", operation_id = "acknowledge_alert", request_body = RemarkBody,
    params(("id" = EpisodeId, Path, description = "The alert")),
    responses(
        (status = 204, description = "It is recorded; the alert shows it within a second"),
        (status = 409, description = "It is over, or somebody was faster", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn acknowledge(
    principal: Principal,
    app: Arc<App>,
    asked: ById<EpisodeId>,
    body: RemarkBody,
) -> Result<StatusCode, Problem> {
    let episode = open(&app, &principal, asked).await?;
    let remark = Remark { note: body.note.clone() };
    Desk::of(&app, &principal).acknowledge(episode.clone(), Some(remark)).await?;
    tell(&app, &principal, Action::AlertAcknowledge, &episode, &body.note).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Says that nobody looks after an alert any more.
#[utoipa::path(
    delete, path = "/api/v1/alerts/{id}/acknowledgement", tag = "alerts", operation_id = "withdraw_acknowledgement",
    params(("id" = EpisodeId, Path, description = "The alert")),
    responses(
        (status = 204, description = "It is recorded; the alert shows it within a second"),
        (status = 409, description = "It is over, or somebody was faster", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn withdraw(
    principal: Principal,
    app: Arc<App>,
    asked: ById<EpisodeId>,
) -> Result<StatusCode, Problem> {
    let episode = open(&app, &principal, asked).await?;
    Desk::of(&app, &principal).acknowledge(episode.clone(), None).await?;
    tell(&app, &principal, Action::AlertWithdraw, &episode, "").await;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends an alert by hand: it fires again after it was well once, when it becomes worse, or after a day.
#[utoipa::path(
    post, path = "/api/v1/alerts/{id}/resolution", tag = "alerts", operation_id = "resolve_alert", request_body = RemarkBody,
    params(("id" = EpisodeId, Path, description = "The alert")),
    responses(
        (status = 204, description = "It is recorded; the alert shows it within a second"),
        (status = 409, description = "It is over, or somebody was faster", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn resolve(
    principal: Principal,
    app: Arc<App>,
    asked: ById<EpisodeId>,
    body: RemarkBody,
) -> Result<StatusCode, Problem> {
    let episode = open(&app, &principal, asked).await?;
    let remark = Remark { note: body.note.clone() };
    Desk::of(&app, &principal).resolve(episode.clone(), remark).await?;
    tell(&app, &principal, Action::AlertResolve, &episode, &body.note).await;
    Ok(StatusCode::NO_CONTENT)
}
