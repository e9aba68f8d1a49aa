//! A GET with a short time-out: all the HTTP that readiness needs.

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
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(REQUEST_TIMEOUT))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let mut request = agent.get(url);
    if let Some(Login { user, password }) = login {
        let credentials = data_encoding::BASE64.encode(format!("{user}:{password}").as_bytes());
        request = request.header("Authorization", format!("Basic {credentials}"));
    }
    let mut response = request.call().map_err(|failure| format!("GET {url}: {failure}"))?;
    let body = response.body_mut().read_to_string().map_err(|failure| format!("GET {url}: {failure}"))?;
    Ok((response.status().as_u16(), body))
}
