//! Maintenance of every week: its windows are silences, which a processor writes two weeks ahead.

use crate::alerting::desk::{Desk, PlacedMaintenance, no_such_maintenance};
use crate::alerting::form::check_weekly;
use crate::api::List;
use crate::app::App;
use crate::fleet::watch::now;
use crate::http::ask::{ById, Nothing, PageAsk, Removal};
use crate::http::body::{Body, Mistakes};
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::identity::secret::readable_id;
use crate::identity::sessions::no_randomness;
use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::alerting::{Matcher, WeeklyMaintenance};
use watchkeeper_schemas::audit::Action;
use watchkeeper_schemas::ids::MaintenanceId;
use watchkeeper_schemas::quantity::UnixMs;

/// Windows that are shown of each.
const WINDOWS_SHOWN: usize = 3;

/// Weekly maintenance as saved.
#[derive(Debug, Serialize, ToSchema)]
pub struct MaintenanceView {
    /// The maintenance.
    id: MaintenanceId,
    /// Who made it.
    author: String,
    /// Why.
    reason: String,
    /// Time zone, as `Europe/Berlin`.
    zone: String,
    /// Days of the week on which it begins; 1 is Monday, 7 is Sunday.
    #[schema(value_type = Vec<u8>)]
    days: BTreeSet<u8>,
    /// When it begins, by the clock on the wall there.
    begin: String,
    /// When it ends; not after `begin`: on the next day.
    end: String,
    /// What must all be true of an alert.
    matchers: Vec<Matcher>,
    /// The window that runs, if one does, and the next ones.
    windows: Vec<WindowView>,
    /// What a change must name.
    revision: u64,
}

/// When notices are held back once.
#[derive(Debug, Serialize, ToSchema)]
pub struct WindowView {
    /// From when, inclusive.
    #[schema(value_type = String, format = DateTime)]
    from: UnixMs,
    /// Until when, exclusive.
    #[schema(value_type = String, format = DateTime)]
    until: UnixMs,
}

impl From<PlacedMaintenance> for MaintenanceView {
    fn from(placed: PlacedMaintenance) -> Self {
        let PlacedMaintenance { id, weekly, revision } = placed;
        let windows = weekly.silences(&id, now()).unwrap_or_default().into_iter().take(WINDOWS_SHOWN);
        let windows = windows.map(|(_, it)| WindowView { from: it.from, until: it.until }).collect();
        let WeeklyMaintenance { author, reason, zone, days, begin, end, matchers } = weekly;
        Self { id, author, reason, zone, days, begin, end, matchers, windows, revision }
    }
}

/// Weekly maintenance to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMaintenance {
    /// Why.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    /// Time zone, as `Europe/Berlin`.
    zone: String,
    /// Days of the week on which it begins; 1 is Monday, 7 is Sunday.
    #[schema(value_type = Vec<u8>, min_items = 1, max_items = 7)]
    days: BTreeSet<u8>,
    /// When it begins, by the clock on the wall there, as `22:00`.
    begin: String,
    /// When it ends; not after `begin`: on the next day.
    end: String,
    /// What must all be true of an alert; at least one.
    #[schema(min_items = 1, max_items = 16)]
    matchers: Vec<Matcher>,
}

impl NewMaintenance {
    fn of(&self, author: &str) -> WeeklyMaintenance {
        WeeklyMaintenance {
            author: author.to_owned(),
            reason: self.reason.clone(),
            zone: self.zone.clone(),
            days: self.days.clone(),
            begin: self.begin.clone(),
            end: self.end.clone(),
            matchers: self.matchers.clone(),
        }
    }
}

impl Body for NewMaintenance {
    fn check(&self, mistakes: &mut Mistakes) {
        check_weekly(mistakes, &self.of(""));
    }
}

/// What is to be true of weekly maintenance from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceEdit {
    /// Why.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    /// Time zone, as `Europe/Berlin`.
    zone: String,
    /// Days of the week on which it begins; 1 is Monday, 7 is Sunday.
    #[schema(value_type = Vec<u8>, min_items = 1, max_items = 7)]
    days: BTreeSet<u8>,
    /// When it begins, by the clock on the wall there, as `22:00`.
    begin: String,
    /// When it ends; not after `begin`: on the next day.
    end: String,
    /// What must all be true of an alert; at least one.
    #[schema(min_items = 1, max_items = 16)]
    matchers: Vec<Matcher>,
    /// The revision that the edit was made from.
    revision: u64,
}

impl MaintenanceEdit {
    fn of(&self, author: &str) -> WeeklyMaintenance {
        WeeklyMaintenance {
            author: author.to_owned(),
            reason: self.reason.clone(),
            zone: self.zone.clone(),
            days: self.days.clone(),
            begin: self.begin.clone(),
            end: self.end.clone(),
            matchers: self.matchers.clone(),
        }
    }
}

impl Body for MaintenanceEdit {
    fn check(&self, mistakes: &mut Mistakes) {
        check_weekly(mistakes, &self.of(""));
    }
}

/// Weekly maintenance of the team, each with its next windows.
#[utoipa::path(
    get, path = "/api/v1/maintenance", tag = "alerts", operation_id = "list_maintenance",
    params(
        ("page" = Option<usize>, Query, description = "The page, from 1", minimum = 1),
        ("limit" = Option<usize>, Query, description = "Items of a page", minimum = 1, maximum = 1000),
    ),
    responses((status = 200, description = "The maintenance", body = List<MaintenanceView>))
)]
pub async fn list(
    principal: Principal,
    app: Arc<App>,
    asked: PageAsk,
) -> Result<Json<List<MaintenanceView>>, Problem> {
    let registry = app.identity.registry()?;
    let all = registry.team(&principal.team).into_iter().flat_map(|team| team.maintenance.all());
    let views = all.filter_map(|(id, recorded)| {
        let (id, weekly) = (id.clone(), recorded.value.clone()?);
        Some(PlacedMaintenance { id, weekly, revision: recorded.revision }.into())
    });
    Ok(Json(List::page(views, asked)))
}

/// Holds notices back at the same time every week. Its windows are silences, each of which can be ended by itself.
#[utoipa::path(
    post, path = "/api/v1/maintenance", tag = "alerts", operation_id = "create_maintenance", request_body = NewMaintenance,
    responses(
        (status = 201, description = "The maintenance", body = MaintenanceView),
        (status = 409, description = "There is too much", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    principal: Principal,
    app: Arc<App>,
    _: Nothing,
    body: NewMaintenance,
) -> Result<(StatusCode, Json<MaintenanceView>), Problem> {
    let id = readable_id().map_err(no_randomness)?.parse().map_err(|_| no_such_maintenance())?;
    let placed = PlacedMaintenance { id, weekly: body.of(principal.user.as_str()), revision: 0 };
    let placed = Desk::of(&app, &principal).save_maintenance(placed, "made").await?;
    let change = (None, Some(&placed.weekly));
    app.audit.tell_change(&principal, Action::MaintenanceCreate, &placed.id, change).await;
    Ok((StatusCode::CREATED, Json(placed.into())))
}

/// Changes weekly maintenance: windows that were moved or ended by hand follow it again.
#[utoipa::path(
    put, path = "/api/v1/maintenance/{id}", tag = "alerts", operation_id = "change_maintenance", request_body = MaintenanceEdit,
    params(("id" = MaintenanceId, Path, description = "The maintenance")),
    responses(
        (status = 200, description = "The maintenance as it is now", body = MaintenanceView),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    principal: Principal,
    app: Arc<App>,
    asked: ById<MaintenanceId>,
    body: MaintenanceEdit,
) -> Result<Json<MaintenanceView>, Problem> {
    let desk = Desk::of(&app, &principal);
    let before = desk.maintenance_at(asked.id.as_ref().ok_or_else(no_such_maintenance)?, body.revision)?;
    let weekly = body.of(&before.weekly.author);
    let after = desk.save_maintenance(PlacedMaintenance { weekly, ..before.clone() }, "changed").await?;
    let change = (Some(&before.weekly), Some(&after.weekly));
    app.audit.tell_change(&principal, Action::MaintenanceChange, &after.id, change).await;
    Ok(Json(after.into()))
}

/// Removes weekly maintenance: a window that runs ends, and what is true and untold is told.
#[utoipa::path(
    delete, path = "/api/v1/maintenance/{id}", tag = "alerts", operation_id = "remove_maintenance",
    params(
        ("id" = MaintenanceId, Path, description = "The maintenance"),
        ("revision" = u64, Query, description = "Its revision"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn remove(
    principal: Principal,
    app: Arc<App>,
    asked: Removal<MaintenanceId>,
) -> Result<StatusCode, Problem> {
    let desk = Desk::of(&app, &principal);
    let before = desk.maintenance_at(asked.id.as_ref().ok_or_else(no_such_maintenance)?, asked.revision)?;
    desk.remove_maintenance(&before).await?;
    let change = (Some(&before.weekly), None);
    app.audit.tell_change(&principal, Action::MaintenanceDelete, &before.id, change).await;
    Ok(StatusCode::NO_CONTENT)
}
