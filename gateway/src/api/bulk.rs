//! Many alerts at once: looked after, ended, or held back; each by itself, so that one refusal stops no other.

use crate::alerting::desk::{Desk, PlacedSilence};
use crate::alerting::episodes::EpisodeState;
use crate::alerting::form::{REASON_CHARS, check_span};
use crate::api::List;
use crate::api::alerts::{is_over, no_such_alert, tell};
use crate::api::silences;
use crate::app::App;
use crate::fleet::watch::now;
use crate::http::ask::Nothing;
use crate::http::body::{Body, Mistakes};
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use axum::Json;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::alerting::{EpisodeRef, Matcher, Silence};
use watchkeeper_schemas::audit::Action;
use watchkeeper_schemas::ids::{EpisodeId, SilenceId};
use watchkeeper_schemas::journal::Remark;
use watchkeeper_schemas::quantity::UnixMs;

/// Alerts of one call at most.
const ALERTS_MAX: usize = 100;

/// What is to be done with alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BulkAction {
    /// Somebody looks after them.
    Acknowledge,
    /// They are over.
    Resolve,
    /// Their notices are held back: a silence for each rule, host and label.
    Silence,
}

/// What somebody says of many alerts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkDeed {
    /// Which; at least one.
    #[schema(min_items = 1, max_items = 100)]
    alerts: Vec<EpisodeId>,
    /// What is to be done.
    action: BulkAction,
    /// In their words; a silence needs them as its reason.
    #[serde(default)]
    #[schema(max_length = 500)]
    note: String,
    /// Until when a silence lasts, and only that.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<UnixMs>,
}

impl Body for BulkDeed {
    fn check(&self, mistakes: &mut Mistakes) {
        if !(1..=ALERTS_MAX).contains(&self.alerts.len()) {
            mistakes.note("alerts", format!("1 to {ALERTS_MAX} alerts"), &self.alerts.len().to_string());
        }
        if !self.note.is_empty() || self.action == BulkAction::Silence {
            mistakes.text("note", &self.note, REASON_CHARS);
        }
        match (self.action, self.until) {
            (BulkAction::Silence, Some(until)) => check_span(mistakes, now(), until),
            (BulkAction::Silence, None) => mistakes.note("until", "when the silence ends", "nothing"),
            (BulkAction::Acknowledge | BulkAction::Resolve, Some(until)) => {
                mistakes.note("until", "nothing: only a silence has an end", &until.to_string());
            }
            (BulkAction::Acknowledge | BulkAction::Resolve, None) => {}
        }
    }
}

/// What became of one alert.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkResult {
    /// Which.
    alert: EpisodeId,
    /// Whether it was done.
    done: bool,
    /// Why not.
    #[schema(required)]
    problem: Option<String>,
    /// The silence that holds it back now.
    #[schema(required)]
    silence: Option<SilenceId>,
}

/// Does the same with many open alerts. Each has its own result: one that is over, or never was, stops no other.
#[utoipa::path(
    post, path = "/api/v1/alerts/bulk", tag = "alerts", operation_id = "bulk_alerts", request_body = BulkDeed,
    responses((status = 200, description = "What became of each, in the order of the question", body = List<BulkResult>))
)]
pub async fn deed(
    principal: Principal,
    app: Arc<App>,
    _: Nothing,
    body: BulkDeed,
) -> Result<Json<List<BulkResult>>, Problem> {
    let mut bulk = Bulk { app: &app, principal: &principal, body: &body, silences: Vec::new() };
    let mut items: Vec<BulkResult> = Vec::with_capacity(body.alerts.len());
    for alert in &body.alerts {
        if items.iter().any(|item| item.alert == *alert) {
            continue;
        }
        let result = bulk.one(alert).await;
        let (done, problem) = (result.is_ok(), result.as_ref().err().map(|it| it.detail().to_owned()));
        items.push(BulkResult { alert: alert.clone(), done, problem, silence: result.ok().flatten() });
    }
    Ok(Json(List { items, next_page: None }))
}

struct Bulk<'a> {
    app: &'a App,
    principal: &'a Principal,
    body: &'a BulkDeed,
    /// Made by this call: alerts of one series share theirs.
    silences: Vec<(Vec<Matcher>, SilenceId)>,
}

impl Bulk<'_> {
    /// Does it with one alert; the silence, where one was made.
    async fn one(&mut self, id: &EpisodeId) -> Result<Option<SilenceId>, Problem> {
        let episode = self.open(id)?;
        let desk = Desk::of(self.app, self.principal);
        let note = &self.body.note;
        let remark = Remark { note: note.clone() };
        let action = match self.body.action {
            BulkAction::Acknowledge => {
                desk.acknowledge(episode.clone(), Some(remark)).await?;
                Action::AlertAcknowledge
            }
            BulkAction::Resolve => {
                desk.resolve(episode.clone(), remark).await?;
                Action::AlertResolve
            }
            BulkAction::Silence => return self.silence(&episode).await.map(Some),
        };
        tell(self.app, self.principal, action, &episode, note).await;
        Ok(None)
    }

    /// What is open stands in memory; anything else cannot be spoken of.
    fn open(&self, id: &EpisodeId) -> Result<EpisodeRef, Problem> {
        let episodes = self.app.alerting.episodes();
        let episode = episodes.team(&self.principal.team).and_then(|team| team.get(id));
        let view = &episode.ok_or_else(no_such_alert)?.view;
        if view.state == EpisodeState::Resolved {
            return Err(is_over());
        }
        let (rule, host, series) = (view.rule.clone(), view.host.clone(), view.series.clone());
        Ok(EpisodeRef { rule, host, series, episode: view.episode })
    }

    async fn silence(&mut self, episode: &EpisodeRef) -> Result<SilenceId, Problem> {
        let matchers = episode.matchers();
        if let Some((_, id)) = self.silences.iter().find(|(known, _)| *known == matchers) {
            return Ok(id.clone());
        }
        let (author, reason) = (self.principal.user.to_string(), self.body.note.clone());
        let until = self.body.until.unwrap_or_else(now);
        let silence = Silence { author, reason, from: now(), until, matchers: matchers.clone() };
        let PlacedSilence { id, .. } = silences::make(self.app, self.principal, silence).await?;
        self.silences.push((matchers, id.clone()));
        Ok(id)
    }
}
