//! A browser without a screen: keeps the two cookies, says whose page it shows.

use crate::asking::Answer;
use crate::stand::{PASSWORD, Stand};
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// What a browser keeps of a session.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Browser {
    pub(crate) access: Option<String>,
    pub(crate) refresh: Option<String>,
    /// Where it stands, as the proxy says.
    pub(crate) address: &'static str,
}

impl Browser {
    /// A browser somewhere.
    pub(crate) fn at(address: &'static str) -> Self {
        Self { address, ..Self::default() }
    }

    /// Logs in as a person does.
    pub(crate) async fn log_in(&mut self, base: &str, user: &str, password: &str) -> Answer {
        self.post(base, "/api/v1/auth/login", json!({"user": user, "password": password})).await
    }

    /// A browser that is logged in.
    pub(crate) async fn logged_in(stand: &Stand, user: &str) -> Self {
        let mut browser = Self::default();
        browser.log_in(&stand.url(""), user, PASSWORD).await.is(200);
        browser
    }

    pub(crate) async fn get(&mut self, base: &str, path: &str) -> Answer {
        self.send(base, Method::GET, path, None).await
    }

    pub(crate) async fn post(&mut self, base: &str, path: &str, body: Value) -> Answer {
        self.send(base, Method::POST, path, Some(body)).await
    }

    /// Asks from a page of the gateway's own, and keeps what cookies come back.
    async fn send(&mut self, base: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = reqwest::Client::new().request(method, format!("{base}{path}"));
        let request = self.with_cookies(request.header("sec-fetch-site", "same-origin"));
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await.unwrap();
        for line in answer.headers().get_all(SET_COOKIE) {
            let (name, value) = line.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            let kept = Some(value.to_owned()).filter(|value| !value.is_empty());
            match name {
                "wk_access" => self.access = kept,
                "wk_refresh" => self.refresh = kept,
                other => panic!("{other}"),
            }
        }
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    /// Adds the cookies, wherever the request goes.
    pub(crate) fn with_cookies(&self, request: RequestBuilder) -> RequestBuilder {
        let pairs = [("wk_access", &self.access), ("wk_refresh", &self.refresh)];
        let pairs = pairs.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)));
        let cookies = pairs.collect::<Vec<_>>().join("; ");
        let request =
            if self.address.is_empty() { request } else { request.header("x-forwarded-for", self.address) };
        if cookies.is_empty() { request } else { request.header(COOKIE, cookies) }
    }
}
