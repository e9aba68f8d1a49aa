//! The two connections of those who keep order on the NATS server: to its system account to act, to CORE to know why.

use crate::config::Config;
use crate::connection::Connection;
use async_nats::Client;
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use watchkeeper_schemas::subjects;
use watchkeeper_streams::connect::{Connect, Connected, connect};

/// What the server answers to a push of claims that it took.
const TAKEN: u64 = 200;

/// Why the server did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SystemError {
    /// It did not answer.
    #[error("the NATS server does not answer to {subject}")]
    Silent {
        /// What it was asked.
        subject: &'static str,
        /// What went wrong.
        source: async_nats::RequestError,
    },
    /// It refused, in its own words.
    #[error("the NATS server refuses {subject}: {said}")]
    Refused {
        /// What it was asked.
        subject: &'static str,
        /// Its answer.
        said: String,
    },
}

/// Both connections.
#[derive(Debug)]
pub(crate) struct System {
    /// To the system account.
    pub(crate) sys: Connected,
    /// To CORE.
    pub(crate) core: Connection,
}

impl System {
    /// Connects as `name` with the credential of the system account in `creds`, and begins to follow JOURNAL.
    ///
    /// # Errors
    /// When a credential cannot be read or the address is none.
    pub(crate) async fn connect(config: &Config, creds: &Path, name: &'static str) -> anyhow::Result<Self> {
        let inbox = subjects::SYS_INBOX_PREFIX.to_owned();
        let sys =
            connect(&Connect { url: config.nats.clone(), creds: creds.to_owned(), name, inbox }).await?;
        Ok(Self { sys, core: Connection::open(config, name).await? })
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Taken>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Taken {
    code: u64,
}

/// Hands the server claims on one of its subjects for them.
///
/// # Errors
/// When it does not answer, or refuses.
pub(crate) async fn hand_claims(sys: &Client, subject: &'static str, jwt: String) -> Result<(), SystemError> {
    let answer = sys.request(subject, jwt.into()).await;
    let answer = answer.map_err(|source| SystemError::Silent { subject, source })?;
    let refused = |said: String| SystemError::Refused { subject, said };
    let told: Answer = serde_json::from_slice(&answer.payload).map_err(|error| refused(error.to_string()))?;
    match (told.error, told.data) {
        (None, Some(Taken { code: TAKEN })) => Ok(()),
        (error, _) => Err(refused(error.map_or("no word of success".to_owned(), |error| error.to_string()))),
    }
}
