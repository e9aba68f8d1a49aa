//! What is done with a receiver: tested, linked to a chat, unlinked.

use crate::app::App;
use crate::audit::By;
use crate::http::ask::ById;
use crate::http::body::Body;
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::receivers::desk::{Desk, no_such_receiver};
use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::audit::{Action, Deed};
use watchkeeper_schemas::ids::ReceiverId;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::JournalScope;

/// A test that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct TestAsked {
    /// The notice by which it stands among the deliveries.
    notice: String,
}

/// A link that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkWanted {
    /// For a group: Telegram asks which; else for a chat with the bot alone.
    #[serde(default)]
    group: bool,
}

impl Body for LinkWanted {}

/// A link that one chat can take once.
#[derive(Serialize, ToSchema)]
pub struct LinkMade {
    /// To be opened by whoever is to be told; shown here only.
    url: String,
    /// The bot that it leads to.
    bot: String,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    expires: UnixMs,
}

async fn tell(app: &App, principal: &Principal, deed: Deed) {
    app.audit.tell(JournalScope::Team(principal.team.clone()), deed).await;
}

/// Sends a message to a receiver, alone and at once, so that somebody sees whether it arrives. What its channel answers
/// stands among its deliveries and comes as `notice` of the live stream. One at a time, and 10 a minute of a team.
#[utoipa::path(
    post, path = "/api/v1/receivers/{id}/test", tag = "alerts", operation_id = "test_receiver",
    params(("id" = ReceiverId, Path, description = "The receiver")),
    responses(
        (status = 202, description = "It was asked for", body = TestAsked),
        (status = 409, description = "One waits already, or no chat is linked", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "There were too many", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn test(
    principal: Principal,
    app: Arc<App>,
    asked: ById<ReceiverId>,
) -> Result<(StatusCode, Json<TestAsked>), Problem> {
    let id = asked.id.ok_or_else(no_such_receiver)?;
    let test = Desk::of(&app, &principal).test(&id).await?;
    let after = Some(serde_json::json!({ "notice": test.id }));
    tell(&app, &principal, Deed { after, ..By::from(&principal).did(Action::ReceiverTest, &id) }).await;
    Ok((StatusCode::ACCEPTED, Json(TestAsked { notice: test.id })))
}

/// Makes a link by which a chat of Telegram becomes the receiver: good once, for 10 minutes; the one before ends. The chat
/// may do what whoever made the link may.
#[utoipa::path(
    post, path = "/api/v1/receivers/{id}/link", tag = "alerts", operation_id = "link_receiver", request_body = LinkWanted,
    params(("id" = ReceiverId, Path, description = "The receiver")),
    responses(
        (status = 201, description = "The link", body = LinkMade),
        (status = 409, description = "No bot is known, or it is no receiver of Telegram", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn link(
    principal: Principal,
    app: Arc<App>,
    asked: ById<ReceiverId>,
    body: LinkWanted,
) -> Result<(StatusCode, Json<LinkMade>), Problem> {
    let id = asked.id.ok_or_else(no_such_receiver)?;
    let (bot, token, offer) = Desk::of(&app, &principal).offer(&id).await?;
    let after = Some(serde_json::json!({ "expires": offer.expires, "group": body.group }));
    tell(&app, &principal, Deed { after, ..By::from(&principal).did(Action::ChatOffer, &id) }).await;
    let word = if body.group { "startgroup" } else { "start" };
    let url = format!("https://t.me/{bot}?{word}={}", token.text());
    Ok((StatusCode::CREATED, Json(LinkMade { url, bot, expires: offer.expires })))
}

/// Ends the link to a chat, and an offer of one: the chat is told nothing more and may ask nothing more.
#[utoipa::path(
    delete, path = "/api/v1/receivers/{id}/link", tag = "alerts", operation_id = "unlink_receiver",
    params(("id" = ReceiverId, Path, description = "The receiver")),
    responses((status = 204, description = "No chat is linked"))
)]
pub async fn unlink(
    principal: Principal,
    app: Arc<App>,
    asked: ById<ReceiverId>,
) -> Result<StatusCode, Problem> {
    let id = asked.id.ok_or_else(no_such_receiver)?;
    if Desk::of(&app, &principal).unlink(&id).await? {
        tell(&app, &principal, By::from(&principal).did(Action::ChatUnlink, &id)).await;
    }
    Ok(StatusCode::NO_CONTENT)
}
