//! GET and POST with a short time-out: all the HTTP that readiness and the first owner need.

use std::time::Duration;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// A name and password for HTTP basic authentication.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    pub user: &'a str,
    pub password: &'a str,
}

/// Status and body of the answer, whatever the status; an error text if there was no answer.
pub fn get(url: &str, login: Option<Login<'_>>) -> Result<(u16, String), String> {
    let basic = login.map(|Login { user, password }| {
        format!("Basic {}", data_encoding::BASE64.encode(format!("{user}:{password}").as_bytes()))
    });
    get_authorized(url, basic.as_deref())
}

/// GET with a bearer token.
pub fn get_as(url: &str, token: &str) -> Result<(u16, String), String> {
    get_authorized(url, Some(&format!("Bearer {token}")))
}

fn get_authorized(url: &str, authorization: Option<&str>) -> Result<(u16, String), String> {
    let mut request = client().get(url);
    if let Some(authorization) = authorization {
        request = request.header("Authorization", authorization);
    }
    read(url, request.call())
}

/// POST of JSON, with a bearer token if there is one.
pub fn post(url: &str, body: &serde_json::Value, token: Option<&str>) -> Result<(u16, String), String> {
    let mut request = client().post(url);
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    read(url, request.send_json(body))
}

fn client() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(REQUEST_TIMEOUT))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into()
}

fn read(
    url: &str,
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<(u16, String), String> {
    let mut answer = answer.map_err(|failure| format!("{url}: {failure}"))?;
    let body = answer.body_mut().read_to_string().map_err(|failure| format!("{url}: {failure}"))?;
    Ok((answer.status().as_u16(), body))
}
