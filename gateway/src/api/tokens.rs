//! Personal tokens: what programs show in the place of a session.

use crate::api::List;
use crate::api::auth::Told;
use crate::api::joining::NAME_CHARS_MAX;
use crate::app::App;
use crate::fleet::watch::now;
use crate::http::ask::{ById, Nothing};
use crate::http::body::{Body, Mistakes};
use crate::http::principal::Caller;
use crate::http::problem::Problem;
use crate::identity::Change;
use crate::identity::authorize::{TOKEN_PREFIX, TokenSecret, token_key};
use crate::identity::secret::{Secret, readable_id};
use crate::identity::sessions::no_randomness;
use crate::identity::vault::Bucket;
use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::ids::{TeamId, TokenId, UserId};
use watchkeeper_schemas::journal::{Fact, Scope, Token};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::registry::Registry;
use watchkeeper_schemas::subjects::JournalScope;

/// How long a token may live, in days.
const DAYS_MAX: u32 = 366;
const DAY_MS: u64 = 24 * 3600 * 1000;
/// Tokens of one user.
const TOKENS_MAX: usize = 100;

/// A personal token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenView {
    /// The part of it that is no secret.
    id: TokenId,
    /// What it is for.
    name: String,
    /// `read` or `write`.
    #[schema(value_type = String, example = "read")]
    scope: Scope,
    /// The only team that it works for, or null.
    #[schema(required)]
    team: Option<TeamId>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created: UnixMs,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    expires: UnixMs,
    /// Its place in the journal.
    revision: u64,
}

/// A new token. This is the only time that it is shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewTokenView {
    /// The token: goes into `Authorization: Bearer`.
    token: String,
    /// The rest.
    #[serde(flatten)]
    view: TokenView,
}

fn view(registry: &Registry, id: &TokenId, token: &Token) -> TokenView {
    let recorded = registry.tokens.recorded(id);
    TokenView {
        id: id.clone(),
        name: token.name.clone(),
        scope: token.scope,
        team: token.team.clone(),
        created: recorded.map_or(UnixMs(0), |it| it.since),
        expires: token.expires,
        revision: recorded.map_or(0, |it| it.revision),
    }
}

/// One's tokens that have not been revoked, those that are over included.
#[utoipa::path(
    get, path = "/api/v1/me/tokens", tag = "me", operation_id = "list_tokens",
    responses((status = 200, description = "The tokens", body = List<TokenView>))
)]
pub async fn list(caller: Caller, app: Arc<App>, _: Nothing) -> Result<Json<List<TokenView>>, Problem> {
    let registry = app.identity.registry()?;
    let own = registry.tokens.iter().filter(|(_, token)| token.user == caller.user);
    let items = own.map(|(id, token)| view(&registry, id, token)).collect();
    Ok(Json(List { items, next_page: None }))
}

/// A token to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for.
    name: String,
    /// `read` looks, `write` changes, too.
    #[schema(value_type = String, example = "read")]
    scope: Scope,
    /// 1 to 366.
    #[schema(minimum = 1, maximum = 366)]
    expires_days: u32,
    /// The only team that it is to work for.
    #[serde(default)]
    team: Option<TeamId>,
}

impl Body for NewToken {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.text("name", &self.name, 1..=NAME_CHARS_MAX);
        mistakes.number("expires_days", self.expires_days, 1..=DAYS_MAX);
    }
}

/// Makes a token. It may never do more than its owner may.
#[utoipa::path(
    post, path = "/api/v1/me/tokens", tag = "me", operation_id = "make_token", request_body = NewToken,
    responses(
        (status = 201, description = "The token, shown this once", body = NewTokenView),
        (status = 404, description = "There is no such team of yours", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There are 100 tokens already", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn make(
    caller: Caller,
    app: Arc<App>,
    _: Nothing,
    body: NewToken,
) -> Result<(StatusCode, Json<NewTokenView>), Problem> {
    let identity = &app.identity;
    let registry = identity.registry()?;
    if body.team.as_ref().is_some_and(|team| registry.role(&caller.user, team).is_none()) {
        return Err(Problem::not_found("no such team: /api/v1/me lists yours"));
    }
    if registry.tokens.iter().filter(|(_, token)| token.user == caller.user).count() >= TOKENS_MAX {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "there are 100 tokens: revoke one that is not needed",
        ));
    }
    let id: TokenId =
        readable_id().map_err(no_randomness)?.parse().map_err(|_| Problem::not_found("no such token"))?;
    let secret = Secret::new().map_err(no_randomness)?;
    let kept = TokenSecret { hash: secret.hash() };
    identity.vault.put(Bucket::Secrets, &token_key(&id), &kept, 0).await?;
    let expires = UnixMs(now().0 + u64::from(body.expires_days) * DAY_MS);
    let token =
        Token { user: caller.user.clone(), name: body.name, scope: body.scope, team: body.team, expires };
    let fact = Fact::Token { id: id.clone(), value: Some(token.clone()) };
    record(&app, &caller.user, "made", fact, 0).await?;
    let told = Told { app: &app, scope: JournalScope::Everyone, from: caller.address };
    told.about("token.made", caller.user.as_str(), id.as_str(), serde_json::json!(token)).await;
    let text = format!("{TOKEN_PREFIX}{id}_{}", secret.text());
    let view = view(&*identity.registry()?, &id, &token);
    Ok((StatusCode::CREATED, Json(NewTokenView { token: text, view })))
}

/// Revokes a token, on every gateway within a second.
#[utoipa::path(
    delete, path = "/api/v1/me/tokens/{id}", tag = "me", operation_id = "revoke_token",
    params(("id" = TokenId, Path, description = "The token's id")),
    responses(
        (status = 204, description = "It is good no more"),
        (status = 404, description = "There is no such token of yours", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn revoke(caller: Caller, app: Arc<App>, asked: ById<TokenId>) -> Result<StatusCode, Problem> {
    let identity = &app.identity;
    let registry = identity.registry()?;
    let id = asked.id.filter(|id| registry.tokens.get(id).is_some_and(|token| token.user == caller.user));
    let id = id.ok_or_else(|| Problem::not_found("no such token: /api/v1/me/tokens lists yours"))?;
    let fact = Fact::Token { id: id.clone(), value: None };
    record(&app, &caller.user, "revoked", fact, registry.tokens.revision(&id)).await?;
    let key = token_key(&id);
    // Without its fact the hash is of no use: should this fail, it only takes room.
    if let Err(error) =
        identity.vault.take(Bucket::Secrets, &key, identity.vault.revision(Bucket::Secrets, &key)).await
    {
        tracing::warn!(%id, %error, "the hash of a revoked token stays");
    }
    let told = Told { app: &app, scope: JournalScope::Everyone, from: caller.address };
    told.about("token.revoked", caller.user.as_str(), id.as_str(), serde_json::Value::Null).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn record(app: &App, user: &UserId, cause: &str, fact: Fact, expected: u64) -> Result<u64, Problem> {
    app.identity
        .record(Change { author: user.as_str(), cause, scope: JournalScope::Everyone, fact, expected })
        .await
}
