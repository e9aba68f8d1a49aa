//! The first owner of a stack, for tests, benchmarks and scripts: made with the printed code, as a person would do it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::Stack;
use super::builder::Settings;
use crate::http;
use crate::wait::wait_until;

const USER: &str = "olga";
const PASSWORD: &str = "a night watch of nine bells";
/// The gateway makes the code once it knows that nobody owns it.
const CODE_DEADLINE: Duration = Duration::from_secs(20);

/// Who owns a stack.
#[derive(Debug, Clone)]
pub struct Owner {
    /// To log in with.
    pub user: &'static str,
    pub password: &'static str,
    /// An API token that may do what the owner may, good for a day: goes into `Authorization: Bearer`.
    pub token: String,
}

impl Stack {
    /// The owner of this stack; the first call makes them. The gateway must run, and nobody else may own it.
    pub fn owner(&self) -> Result<&Owner> {
        if let Some(owner) = self.owner.get() {
            return Ok(owner);
        }
        let owner = set_up(self).context("making the first owner")?;
        Ok(self.owner.get_or_init(|| owner))
    }

    /// The code that makes the first owner, as the gateway wrote it; none once there is one.
    pub fn bootstrap_code(&self) -> Option<String> {
        written_code(&self.settings).ok()
    }

    /// Waits until it is known whether there is an owner; if there is none, gives the code that makes one.
    pub fn wait_for_bootstrap_code(&self) -> Result<Option<String>> {
        let state = format!("{}/api/v1/auth/state", self.http_url());
        let code = wait_until("the code of the first owner", CODE_DEADLINE, || {
            let (status, body) = http::get(&state, None)?;
            let told: Value = serde_json::from_str(&body).map_err(|failure| format!("{status} {failure}"))?;
            match told["needs_setup"].as_bool() {
                Some(true) => Ok(Some(Some(written_code(&self.settings)?))),
                Some(false) => Ok(Some(None)),
                None => Err(format!("{status} {body}")),
            }
        })?;
        Ok(code)
    }
}

/// The code in the gateway's folder.
fn written_code(settings: &Settings) -> Result<String, String> {
    let path = settings.secrets_dir().join("bootstrap.code");
    let told = |failure: &dyn std::fmt::Display| format!("{}: {failure}", path.display());
    let text = fs::read_to_string(&path).map_err(|failure| told(&failure))?;
    let written: Value = serde_json::from_str(&text).map_err(|failure| told(&failure))?;
    written["code"].as_str().map(str::to_owned).ok_or_else(|| told(&"it holds no code"))
}

fn set_up(stack: &Stack) -> Result<Owner> {
    let Some(code) = stack.wait_for_bootstrap_code()? else {
        bail!("somebody else owns this gateway");
    };
    let asked = json!({ "code": code, "user": USER, "password": PASSWORD, "bearer": true });
    let session = post(stack, "/api/v1/auth/setup", &asked, None)?;
    let access = session["access_token"].as_str().context("the session holds no access token")?;
    let asked = json!({ "name": "xtask", "scope": "write", "expires_days": 1 });
    let made = post(stack, "/api/v1/me/tokens", &asked, Some(access))?;
    let token = made["token"].as_str().context("no token was made")?.to_owned();
    Ok(Owner { user: USER, password: PASSWORD, token })
}

/// The JSON of a 2xx answer.
fn post(stack: &Stack, path: &str, body: &Value, bearer: Option<&str>) -> Result<Value> {
    let url = format!("{}{path}", stack.http_url());
    let (status, answer) = http::post(&url, body, bearer).map_err(anyhow::Error::msg)?;
    if !(200..300).contains(&status) {
        bail!("POST {path}: {status} {answer}");
    }
    serde_json::from_str(&answer).with_context(|| format!("POST {path}: {answer}"))
}
