//! Receivers: who is told of alerts and by which channel; made, changed, removed. Secrets go in and never come out.

use crate::alerting::notices::{NoticeView, TeamNotices};
use crate::api::List;
use crate::app::App;
use crate::fleet::watch::now;
use crate::http::ask::{Ask, ById, Nothing, PageAsk, Reader, Removal};
use crate::http::body::{Body, Mistakes};
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::receivers::desk::{Desk, PlacedReceiver, Wanted, no_such_receiver, receiver};
use crate::receivers::form::ChannelForm;
use crate::receivers::naming::{NamedBy, named};
use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use std::sync::Arc;
use utoipa::ToSchema;
use watchkeeper_schemas::audit::Action;
use watchkeeper_schemas::ids::{ReceiverId, UserId};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::receiver::{Channel, ChatroomForm, SmtpSecurity};
use watchkeeper_schemas::registry::TeamFacts;
use watchkeeper_schemas::rule::Severity;

/// Characters of a receiver's name.
const NAME_CHARS: RangeInclusive<usize> = 1..=128;

/// How somebody is told, without what must not be read.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ChannelView {
    /// A chat of Telegram, which is linked apart.
    Telegram {},
    /// E-mail.
    Email {
        /// To whom.
        to: Vec<String>,
        /// From whom.
        from: String,
        /// The SMTP server's name.
        server: String,
        /// Its port.
        port: u16,
        /// How the connection is protected.
        security: SmtpSecurity,
        /// With which name to log in.
        #[schema(required)]
        user: Option<String>,
    },
    /// A signed POST of a CloudEvent.
    Webhook {
        /// The host that it goes to.
        host: String,
    },
    /// A topic of an ntfy server.
    Ntfy {
        /// The server.
        server: String,
        /// The topic.
        topic: String,
    },
    /// An incoming webhook of a chat program.
    Chatroom {
        /// The host that it goes to.
        host: String,
        /// Whose form it takes.
        form: ChatroomForm,
    },
}

impl From<Channel> for ChannelView {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::Telegram {} => Self::Telegram {},
            Channel::Email { to, from, server, port, security, user, secret: _ } => {
                Self::Email { to, from, server, port, security, user }
            }
            Channel::Webhook { host, secret: _ } => Self::Webhook { host },
            Channel::Ntfy { server, topic, secret: _ } => Self::Ntfy { server, topic },
            Channel::Chatroom { host, form, secret: _ } => Self::Chatroom { host, form },
        }
    }
}

/// The chat that a receiver is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChatView {
    /// What it is called.
    title: String,
    /// Whether more than one person may be in it.
    is_group: bool,
    /// Who linked it: it may do what they may.
    by: UserId,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    since: UnixMs,
}

/// A link that a chat may still take.
#[derive(Debug, Serialize, ToSchema)]
pub struct OfferView {
    /// Who made it.
    by: UserId,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    expires: UnixMs,
}

/// What a channel refuses for good.
#[derive(Debug, Serialize, ToSchema)]
pub struct FailureView {
    /// What it answers, as far as it may be shown.
    answer: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    since: UnixMs,
}

/// A receiver, and how it does.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReceiverView {
    /// The receiver.
    id: ReceiverId,
    /// The name that people read.
    name: String,
    /// How it is told.
    channel: ChannelView,
    /// How bad an alert must be for it to hear.
    hears_from: Severity,
    /// Whether a secret of its channel is kept: a password, token, URL or key.
    secret_set: bool,
    /// The chat that it is; of Telegram only.
    #[schema(required)]
    chat: Option<ChatView>,
    /// A link that a chat may still take; of Telegram only.
    #[schema(required)]
    offer: Option<OfferView>,
    /// What its channel refuses; nothing while messages arrive, or since it was changed.
    #[schema(required)]
    failure: Option<FailureView>,
    /// Who names it.
    named_by: NamedBy,
    /// The newest that arrived, or was refused.
    #[schema(required)]
    last: Option<NoticeView>,
    /// What a change must name.
    revision: u64,
    /// Who changed it last.
    author: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    changed: UnixMs,
}

impl ReceiverView {
    fn new(
        placed: PlacedReceiver,
        team: &TeamFacts,
        named_by: NamedBy,
        notices: Option<&TeamNotices>,
        now: UnixMs,
    ) -> Self {
        let id = &placed.id;
        let chat = team.chats.recorded(id).filter(|it| it.value.is_some());
        // What was refused before a change is tried again after it.
        let newest = placed.revision.max(team.chats.revision(id));
        let failure = team.receiver_failures.recorded(id);
        let failure = failure.and_then(|it| Some((it.value.as_ref()?, it.since)));
        let offer = team.link_offers.get(id).filter(|offer| offer.expires > now);
        let taken = |hash: &str| chat.is_some_and(|it| it.value.as_ref().is_some_and(|it| it.offer == hash));
        let recorded = team.receivers.recorded(id);
        Self {
            chat: chat.and_then(|it| {
                let chat = it.value.clone()?;
                Some(ChatView { title: chat.title, is_group: chat.is_group, by: chat.user, since: it.time })
            }),
            offer: offer
                .filter(|offer| !taken(&offer.hash))
                .map(|offer| OfferView { by: offer.by.clone(), expires: offer.expires }),
            failure: failure
                .filter(|(failure, _)| failure.revision >= newest)
                .map(|(failure, since)| FailureView { answer: failure.answer.clone(), since }),
            named_by,
            last: notices.and_then(|notices| notices.last_of_receiver(id.as_str())),
            secret_set: placed.receiver.channel.secret().is_some(),
            author: recorded.map(|it| it.author.clone()).unwrap_or_default(),
            changed: recorded.map_or(UnixMs(0), |it| it.time),
            revision: placed.revision,
            hears_from: placed.receiver.hears_from,
            name: placed.receiver.name,
            channel: placed.receiver.channel.into(),
            id: placed.id,
        }
    }
}

/// A receiver to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReceiver {
    /// The name that people read.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// Its id for ever; without it one is made after the name.
    id: Option<ReceiverId>,
    /// How it is to be told.
    channel: ChannelForm,
    /// How bad an alert must be for it to hear; everything unless said.
    hears_from: Option<Severity>,
}

impl Body for NewReceiver {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.text("name", &self.name, NAME_CHARS);
        self.channel.check(mistakes);
    }
}

/// What is to be true of a receiver from now on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiverEdit {
    /// The name that people read.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    /// How it is to be told, by the channel that it has; a secret that is left out stays.
    channel: ChannelForm,
    /// How bad an alert must be for it to hear; as before unless said.
    hears_from: Option<Severity>,
    /// The revision that the edit was made from.
    revision: u64,
}

impl Body for ReceiverEdit {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.text("name", &self.name, NAME_CHARS);
        self.channel.check(mistakes);
    }
}

/// A receiver as saved.
#[derive(Serialize, ToSchema)]
pub struct ReceiverSaved {
    /// The receiver.
    receiver: ReceiverView,
    /// The key that signs what a webhook is sent; where it is new, and shown here only.
    #[schema(required)]
    signing_key: Option<String>,
}

/// What a removed receiver leaves behind.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReceiverRemoved {
    /// Who named it: they tell one less.
    named_by: NamedBy,
}

fn view(app: &App, principal: &Principal, placed: PlacedReceiver) -> Result<ReceiverView, Problem> {
    let registry = app.identity.registry()?;
    let team = registry.team(&principal.team).ok_or_else(no_such_receiver)?;
    let named_by = named(team).remove(placed.id.as_str()).unwrap_or_default();
    let notices = app.alerting.notices();
    Ok(ReceiverView::new(placed, team, named_by, notices.team(&principal.team), now()))
}

/// Every receiver of the team.
#[utoipa::path(
    get, path = "/api/v1/receivers", tag = "alerts", operation_id = "list_receivers",
    responses((status = 200, description = "The receivers", body = List<ReceiverView>))
)]
pub async fn list(
    principal: Principal,
    app: Arc<App>,
    _: Nothing,
) -> Result<Json<List<ReceiverView>>, Problem> {
    let registry = app.identity.registry()?;
    let Some(team) = registry.team(&principal.team) else {
        return Ok(Json(List { items: Vec::new(), next_page: None }));
    };
    let (mut named, notices, now) = (named(team), app.alerting.notices(), now());
    let placed = team.receivers.iter().filter_map(|(id, _)| receiver(team, id));
    let views = placed.map(|it| {
        let named_by = named.remove(it.id.as_str()).unwrap_or_default();
        ReceiverView::new(it, team, named_by, notices.team(&principal.team), now)
    });
    Ok(Json(List { items: views.collect(), next_page: None }))
}

/// One receiver.
#[utoipa::path(
    get, path = "/api/v1/receivers/{id}", tag = "alerts", operation_id = "get_receiver",
    params(("id" = ReceiverId, Path, description = "The receiver")),
    responses((status = 200, description = "The receiver", body = ReceiverView))
)]
pub async fn get(
    principal: Principal,
    app: Arc<App>,
    asked: ById<ReceiverId>,
) -> Result<Json<ReceiverView>, Problem> {
    let placed = Desk::of(&app, &principal).receiver(asked.id.as_ref().ok_or_else(no_such_receiver)?)?;
    view(&app, &principal, placed).map(Json)
}

/// Makes a receiver. Its secrets are sealed for the notifier alone and never shown again; the key that signs what a
/// webhook is sent is made here and shown once.
#[utoipa::path(
    post, path = "/api/v1/receivers", tag = "alerts", operation_id = "create_receiver", request_body = NewReceiver,
    responses(
        (status = 201, description = "The receiver", body = ReceiverSaved),
        (status = 409, description = "The id is taken, or there are too many receivers", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    principal: Principal,
    app: Arc<App>,
    _: Nothing,
    body: NewReceiver,
) -> Result<(StatusCode, Json<ReceiverSaved>), Problem> {
    let NewReceiver { name, id, channel, hears_from } = body;
    let wanted = Wanted { name, hears_from, channel };
    let (placed, signing_key) = Desk::of(&app, &principal).make(id, wanted).await?;
    let change = (None, Some(&placed.receiver));
    app.audit.tell_change(&principal, Action::ReceiverCreate, &placed.id, change).await;
    let receiver = view(&app, &principal, placed)?;
    Ok((StatusCode::CREATED, Json(ReceiverSaved { receiver, signing_key })))
}

/// Changes a receiver. A secret that is left out stays; a new URL of a webhook brings a new key, which is shown once.
#[utoipa::path(
    put, path = "/api/v1/receivers/{id}", tag = "alerts", operation_id = "change_receiver", request_body = ReceiverEdit,
    params(("id" = ReceiverId, Path, description = "The receiver")),
    responses(
        (status = 200, description = "The receiver as it is now", body = ReceiverSaved),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    principal: Principal,
    app: Arc<App>,
    asked: ById<ReceiverId>,
    body: ReceiverEdit,
) -> Result<Json<ReceiverSaved>, Problem> {
    let ReceiverEdit { name, channel, hears_from, revision } = body;
    let wanted = Wanted { name, hears_from, channel };
    let id = asked.id.ok_or_else(no_such_receiver)?;
    let (before, after, signing_key) = Desk::of(&app, &principal).change(&id, revision, wanted).await?;
    let change = (Some(&before.receiver), Some(&after.receiver));
    app.audit.tell_change(&principal, Action::ReceiverChange, &id, change).await;
    let receiver = view(&app, &principal, after)?;
    Ok(Json(ReceiverSaved { receiver, signing_key }))
}

/// Removes a receiver with its secret and its link. Rules that name it tell one less; those are told here.
#[utoipa::path(
    delete, path = "/api/v1/receivers/{id}", tag = "alerts", operation_id = "remove_receiver",
    params(
        ("id" = ReceiverId, Path, description = "The receiver"),
        ("revision" = u64, Query, description = "Its revision"),
    ),
    responses(
        (status = 200, description = "It is gone", body = ReceiverRemoved),
        (status = 409, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn remove(
    principal: Principal,
    app: Arc<App>,
    asked: Removal<ReceiverId>,
) -> Result<Json<ReceiverRemoved>, Problem> {
    let id = asked.id.ok_or_else(no_such_receiver)?;
    let before = Desk::of(&app, &principal).remove(&id, asked.revision).await?;
    let change = (Some(&before.receiver), None);
    app.audit.tell_change(&principal, Action::ReceiverDelete, &id, change).await;
    let registry = app.identity.registry()?;
    let named_by = registry.team(&principal.team).and_then(|team| named(team).remove(id.as_str()));
    Ok(Json(ReceiverRemoved { named_by: named_by.unwrap_or_default() }))
}

/// Which deliveries.
#[derive(Debug)]
pub struct DeliveriesAsk {
    id: Option<ReceiverId>,
    page: PageAsk,
}

impl Ask for DeliveriesAsk {
    const QUERY: &'static [&'static str] = &["page", "limit"];
    fn read(request: &mut Reader<'_>) -> Option<Self> {
        let id = request.path("id").parse().ok();
        Some(Self { id, page: PageAsk::read(request)? })
    }
}

/// What was to be told to a receiver, the newest first, each with its tries, their answers, and what became of it.
#[utoipa::path(
    get, path = "/api/v1/receivers/{id}/deliveries", tag = "alerts", operation_id = "list_deliveries",
    params(
        ("id" = ReceiverId, Path, description = "The receiver"),
        ("page" = Option<usize>, Query, description = "The page, from 1", minimum = 1),
        ("limit" = Option<usize>, Query, description = "Notices of a page", minimum = 1, maximum = 1000),
    ),
    responses((status = 200, description = "The notices", body = List<NoticeView>))
)]
pub async fn deliveries(
    principal: Principal,
    app: Arc<App>,
    asked: DeliveriesAsk,
) -> Result<Json<List<NoticeView>>, Problem> {
    let id = asked.id.ok_or_else(no_such_receiver)?;
    Desk::of(&app, &principal).receiver(&id)?;
    let notices = app.alerting.notices();
    let all = notices.team(&principal.team).into_iter().flat_map(|team| team.of_receiver(id.as_str()));
    Ok(Json(List::page(all, asked.page)))
}
