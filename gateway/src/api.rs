//! What the gateway offers over HTTP. `table` lists every route; each handler stands with what it asks for.

pub mod alert_defaults;
pub mod alerts;
pub mod audit;
pub mod auth;
pub mod backtest;
pub mod bulk;
pub mod description;
pub mod docs;
pub mod enrol;
pub mod health;
pub mod history;
pub mod host_schema;
pub mod hosting;
pub mod hosts;
pub mod invitations;
pub mod joining;
pub mod live;
pub mod maintenance;
pub mod me;
pub mod members;
pub mod metrics;
pub mod page;
pub mod readers;
pub mod receiver_deeds;
pub mod receivers;
pub mod rule_history;
pub mod rules;
pub mod silences;
pub mod system;
pub mod table;
pub mod team;
pub mod telegram;
pub mod tokens;

use crate::http::ask::PageAsk;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

/// A list: its items and the next page's number, or null on the last.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// The page behind this one, or null.
    #[schema(required)]
    pub next_page: Option<usize>,
}

impl<T> List<T> {
    /// The page that is asked for, of everything.
    pub fn page(all: impl Iterator<Item = T>, asked: PageAsk) -> Self {
        let mut items: Vec<T> = all.skip(asked.skip()).take(asked.limit + 1).collect();
        let next_page = (items.len() > asked.limit).then_some(asked.page + 1);
        items.truncate(asked.limit);
        Self { items, next_page }
    }
}

/// An answer of JSON that is already written.
pub struct Written(pub Bytes);

impl IntoResponse for Written {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.0.into());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}
