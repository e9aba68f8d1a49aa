//! Silences: notices that are held back for a time, and why.

use crate::alerting::desk::{Desk, PlacedSilence, no_such_silence};
use crate::alerting::episodes::EpisodeView;
use crate::alerting::form::{REASON_CHARS, check_matchers, check_span};
use crate::api::List;
use crate::app::App;
use crate::fleet::watch::now;
use crate::http::ask::{Ask, ById, Nothing, PageAsk, Reader, Removal};
use crate::http::body::{Body, Mistakes};
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::identity::secret::readable_id;
use crate::identity::sessions::no_randomness;
use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::alerting::{Matcher, Silence, WeeklyMaintenance};
use watchkeeper_schemas::audit::Action;
use watchkeeper_schemas::ids::{MaintenanceId, SilenceId};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::registry::TeamFacts;

/// A silence as saved.
#[derive(Debug, Serialize, ToSchema)]
pub struct SilenceView {
    /// The silence.
    id: SilenceId,
    /// Who made it.
    author: String,
    /// Why.
    reason: String,
    /// From when, inclusive.
    #[schema(value_type = String, format = DateTime)]
    from: UnixMs,
    /// Until when, exclusive.
    #[schema(value_type = String, format = DateTime)]
    until: UnixMs,
    /// What must all be true of an alert.
    matchers: Vec<Matcher>,
    /// The weekly maintenance that it is a window of.
    #[schema(required)]
    maintenance: Option<MaintenanceId>,
    /// What a change must name.
    revision: u64,
}

impl From<PlacedSilence> for SilenceView {
    fn from(placed: PlacedSilence) -> Self {
        let PlacedSilence { id, silence, revision } = placed;
        let Silence { author, reason, from, until, matchers } = silence;
        let maintenance = WeeklyMaintenance::of_window(&id);
        Self { id, author, reason, from, until, matchers, maintenance, revision }
    }
}

/// A silence to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSilence {
    /// Why.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    /// From when, inclusive; now, unless said.
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<UnixMs>,
    /// Until when, exclusive.
    #[schema(value_type = String, format = DateTime)]
    until: UnixMs,
    /// What must all be true of an alert; at least one.
    #[schema(min_items = 1, max_items = 16)]
    matchers: Vec<Matcher>,
}

impl Body for NewSilence {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.text("reason", &self.reason, REASON_CHARS);
        check_matchers(mistakes, &self.matchers);
        check_span(mistakes, self.from.unwrap_or_else(now), self.until);
    }
}

/// What is to be true of a silence from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SilenceEdit {
    /// Why.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    /// From when, inclusive.
    #[schema(value_type = String, format = DateTime)]
    from: UnixMs,
    /// Until when, exclusive.
    #[schema(value_type = String, format = DateTime)]
    until: UnixMs,
    /// What must all be true of an alert; at least one.
    #[schema(min_items = 1, max_items = 16)]
    matchers: Vec<Matcher>,
    /// The revision that the edit was made from.
    revision: u64,
}

impl Body for SilenceEdit {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.text("reason", &self.reason, REASON_CHARS);
        check_matchers(mistakes, &self.matchers);
        check_span(mistakes, self.from, self.until);
    }
}

/// Silences that overlap an episode and speak of its rule or host, or of neither.
#[must_use]
pub fn silences_during(team: &TeamFacts, episode: &EpisodeView) -> Vec<SilenceView> {
    let end = episode.ended.unwrap_or(UnixMs(u64::MAX));
    let speaks = |silence: &Silence| {
        silence.matchers.iter().all(|matcher| match matcher {
            Matcher::Host(host) => host.as_str() == episode.host,
            Matcher::Rule(rule) => rule.as_str() == episode.rule,
            Matcher::Tag(_) | Matcher::Label { .. } | Matcher::Severity(_) => true,
        })
    };
    let all = team.silences.all().filter_map(|(id, recorded)| {
        let silence = recorded.value.clone()?;
        Some(PlacedSilence { id: id.clone(), silence, revision: recorded.revision })
    });
    let during = all.filter(|it| it.silence.from < end && it.silence.until > episode.opened);
    during.filter(|it| speaks(&it.silence)).map(SilenceView::from).collect()
}

/// Which silences.
#[derive(Debug)]
pub struct SilencesAsk {
    over: Option<bool>,
    page: PageAsk,
}

impl Ask for SilencesAsk {
    const QUERY: &'static [&'static str] = &["state", "page", "limit"];
    fn read(request: &mut Reader<'_>) -> Option<Self> {
        let over = request.optional("state", |text| match text {
            "current" => Ok(false),
            "over" => Ok(true),
            _ => Err("current or over".into()),
        });
        Some(Self { over, page: PageAsk::read(request)? })
    }
}

/// Silences of the team, the one that ends last first. `current` are those that are not over, though they may not have
/// begun; of weekly maintenance the window that runs.
#[utoipa::path(
    get, path = "/api/v1/silences", tag = "alerts", operation_id = "list_silences",
    params(
        ("state" = Option<String>, Query, description = "`current` or `over`; both unless said"),
        ("page" = Option<usize>, Query, description = "The page, from 1", minimum = 1),
        ("limit" = Option<usize>, Query, description = "Silences of a page", minimum = 1, maximum = 1000),
    ),
    responses((status = 200, description = "The silences", body = List<SilenceView>))
)]
pub async fn list(
    principal: Principal,
    app: Arc<App>,
    asked: SilencesAsk,
) -> Result<Json<List<SilenceView>>, Problem> {
    let (registry, now) = (app.identity.registry()?, now());
    let all = registry.team(&principal.team).into_iter().flat_map(|team| team.silences.all());
    let placed = all.filter_map(|(id, recorded)| {
        let silence = recorded.value.clone()?;
        Some(PlacedSilence { id: id.clone(), silence, revision: recorded.revision })
    });
    let is_current = |it: &PlacedSilence| {
        let has_begun = it.silence.from <= now || WeeklyMaintenance::of_window(&it.id).is_none();
        it.silence.until > now && has_begun
    };
    let is_wanted = |it: &PlacedSilence| match asked.over {
        None => true,
        Some(true) => it.silence.until <= now,
        Some(false) => is_current(it),
    };
    let mut wanted: Vec<PlacedSilence> = placed.filter(is_wanted).collect();
    wanted.sort_by(|a, b| b.silence.until.cmp(&a.silence.until).then_with(|| a.id.cmp(&b.id)));
    Ok(Json(List::page(wanted.into_iter().map(SilenceView::from), asked.page)))
}

/// Holds notices back for a time. Alerts are decided and shown all the same; what is still true at the end is told then.
#[utoipa::path(
    post, path = "/api/v1/silences", tag = "alerts", operation_id = "create_silence", request_body = NewSilence,
    responses(
        (status = 201, description = "The silence", body = SilenceView),
        (status = 409, description = "There are too many", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    principal: Principal,
    app: Arc<App>,
    _: Nothing,
    body: NewSilence,
) -> Result<(StatusCode, Json<SilenceView>), Problem> {
    let NewSilence { reason, from, until, matchers } = body;
    let author = principal.user.to_string();
    let silence = Silence { author, reason, from: from.unwrap_or_else(now), until, matchers };
    let placed = make(&app, &principal, silence).await?;
    Ok((StatusCode::CREATED, Json(placed.into())))
}

/// Makes a silence, and tells the audit.
pub(super) async fn make(
    app: &App,
    principal: &Principal,
    silence: Silence,
) -> Result<PlacedSilence, Problem> {
    let id = readable_id().map_err(no_randomness)?.parse().map_err(|_| no_such_silence())?;
    let placed = PlacedSilence { id, silence, revision: 0 };
    let placed = Desk::of(app, principal).save_silence(placed, "made").await?;
    let change = (None, Some(&placed.silence));
    app.audit.tell_change(principal, Action::SilenceCreate, &placed.id, change).await;
    Ok(placed)
}

/// Changes a silence; it may end at once or last longer.
#[utoipa::path(
    put, path = "/api/v1/silences/{id}", tag = "alerts", operation_id = "change_silence", request_body = SilenceEdit,
    params(("id" = SilenceId, Path, description = "The silence")),
    responses(
        (status = 200, description = "The silence as it is now", body = SilenceView),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    principal: Principal,
    app: Arc<App>,
    asked: ById<SilenceId>,
    body: SilenceEdit,
) -> Result<Json<SilenceView>, Problem> {
    let desk = Desk::of(&app, &principal);
    let before = desk.silence_at(asked.id.as_ref().ok_or_else(no_such_silence)?, body.revision)?;
    let SilenceEdit { reason, from, until, matchers, revision: _ } = body;
    let silence = Silence { author: before.silence.author.clone(), reason, from, until, matchers };
    let after = desk.save_silence(PlacedSilence { silence, ..before.clone() }, "changed").await?;
    let change = (Some(&before.silence), Some(&after.silence));
    app.audit.tell_change(&principal, Action::SilenceChange, &after.id, change).await;
    Ok(Json(after.into()))
}

/// Ends a silence at once; what is true and untold is told.
#[utoipa::path(
    delete, path = "/api/v1/silences/{id}", tag = "alerts", operation_id = "remove_silence",
    params(
        ("id" = SilenceId, Path, description = "The silence"),
        ("revision" = u64, Query, description = "Its revision"),
    ),
    responses(
        (status = 204, description = "It is over"),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn remove(
    principal: Principal,
    app: Arc<App>,
    asked: Removal<SilenceId>,
) -> Result<StatusCode, Problem> {
    let desk = Desk::of(&app, &principal);
    let before = desk.silence_at(asked.id.as_ref().ok_or_else(no_such_silence)?, asked.revision)?;
    desk.remove_silence(&before).await?;
    let change = (Some(&before.silence), None);
    app.audit.tell_change(&principal, Action::SilenceDelete, &before.id, change).await;
    Ok(StatusCode::NO_CONTENT)
}
