//! Asking the API as a program does: a method, a path, a body; a status and JSON come back.

use crate::stand::Stand;
use reqwest::{Client, Method};
use serde_json::Value;

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// The body, if the status is this one.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }
}

/// Asks as whoever a client is.
pub(crate) async fn ask(stand: &Stand, client: &Client, how: (Method, &str), body: Option<Value>) -> Answer {
    let (method, path) = how;
    let mut request = client.request(method, stand.url(path));
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, body }
}

impl Stand {
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        ask(self, &self.http, (Method::POST, path), Some(body)).await
    }

    pub(crate) async fn change(&self, path: &str, body: Value) -> Answer {
        ask(self, &self.http, (Method::PUT, path), Some(body)).await
    }

    /// Makes a receiver of this name, so that something may name it.
    pub(crate) async fn receiver(&self, name: &str) {
        let channel = serde_json::json!({"type": "telegram"});
        self.post("/api/v1/receivers", serde_json::json!({"name": name, "channel": channel})).await.is(201);
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        ask(self, &self.http, (Method::DELETE, path), None).await
    }
}
