//! The Telegram bot that serves a team: its own, or the installation's.

use crate::app::App;
use crate::http::ask::{Ask, Nothing, Reader, revision};
use crate::http::body::{Body, Mistakes};
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::receivers::desk::{Desk, bot_state};
use crate::receivers::form::check_bot_token;
use axum::Json;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::audit::Action;
use watchkeeper_schemas::quantity::UnixMs;

/// Whose bot serves a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Serving {
    /// The team's own.
    Own,
    /// The installation's.
    Installation,
    /// None is known.
    Nobody,
}

/// The bot that serves a team.
#[derive(Debug, Serialize, ToSchema)]
pub struct TelegramView {
    /// Whose it is.
    serving: Serving,
    /// Its name, without `@`; nothing before Telegram told it.
    #[schema(required)]
    username: Option<String>,
    /// What Telegram answers where it refuses the token.
    #[schema(required)]
    refusal: Option<String>,
    /// When Telegram said so.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    asked: Option<UnixMs>,
    /// What a change must name.
    revision: u64,
}

/// A bot of the team's own.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TelegramEdit {
    /// Its token, as BotFather tells it; never shown again.
    token: String,
    /// The revision that the edit was made from; 0 for the first.
    revision: u64,
}

impl Body for TelegramEdit {
    fn check(&self, mistakes: &mut Mistakes) {
        check_bot_token(mistakes, &self.token);
    }
}

/// The revision of the bot that is to be removed.
#[derive(Debug)]
pub struct RemoveAsk {
    revision: u64,
}

impl Ask for RemoveAsk {
    const QUERY: &'static [&'static str] = &["revision"];
    fn read(request: &mut Reader<'_>) -> Option<Self> {
        Some(Self { revision: request.required("revision", "the revision of the bot", revision)? })
    }
}

fn view(app: &App, principal: &Principal) -> Result<Json<TelegramView>, Problem> {
    let registry = app.identity.registry()?;
    let (team, id) = (registry.team(&principal.team), &principal.team);
    let state = team.and_then(|team| bot_state(team, id));
    let is_own = team.is_some_and(|team| team.bots.get(id).is_some());
    let serving = match (is_own, state) {
        (true, _) => Serving::Own,
        (false, Some(_)) => Serving::Installation,
        (false, None) => Serving::Nobody,
    };
    Ok(Json(TelegramView {
        serving,
        username: state.and_then(|(state, _)| state.username.clone()),
        refusal: state.and_then(|(state, _)| state.refusal.clone()),
        asked: state.map(|(_, time)| time),
        revision: team.map_or(0, |team| team.bots.revision(id)),
    }))
}

/// Which bot serves the team, and what Telegram says of it.
#[utoipa::path(
    get, path = "/api/v1/telegram", tag = "alerts", operation_id = "get_telegram",
    responses((status = 200, description = "The bot", body = TelegramView))
)]
pub async fn get(principal: Principal, app: Arc<App>, _: Nothing) -> Result<Json<TelegramView>, Problem> {
    view(&app, &principal)
}

/// Sets a bot of the team's own. Its token is sealed for the notifier alone and never shown again; chats that were linked
/// by another bot have to be linked again.
#[utoipa::path(
    put, path = "/api/v1/telegram", tag = "alerts", operation_id = "change_telegram", request_body = TelegramEdit,
    responses(
        (status = 200, description = "The bot; Telegram tells its name within seconds", body = TelegramView),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    principal: Principal,
    app: Arc<App>,
    _: Nothing,
    body: TelegramEdit,
) -> Result<Json<TelegramView>, Problem> {
    let TelegramEdit { token, revision } = body;
    let change = Desk::of(&app, &principal).set_bot(Some(token), revision).await?;
    app.audit.tell_change(&principal, Action::BotChange, &principal.team, change).await;
    view(&app, &principal)
}

/// Removes the team's own bot: the installation's serves, if it has one.
#[utoipa::path(
    delete, path = "/api/v1/telegram", tag = "alerts", operation_id = "remove_telegram",
    params(("revision" = u64, Query, description = "Its revision")),
    responses(
        (status = 200, description = "Which bot serves now", body = TelegramView),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn remove(
    principal: Principal,
    app: Arc<App>,
    asked: RemoveAsk,
) -> Result<Json<TelegramView>, Problem> {
    let change = Desk::of(&app, &principal).set_bot(None, asked.revision).await?;
    app.audit.tell_change(&principal, Action::BotChange, &principal.team, change).await;
    view(&app, &principal)
}
