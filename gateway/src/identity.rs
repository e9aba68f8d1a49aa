//! Who people are and what they may do: sessions, tokens, passwords, and the facts of JOURNAL, all in memory.
//!
//! Read `authorize.rs` (what every request costs), `sessions.rs` (how one begins and ends), `people.rs` (how people
//! come), then the pure parts: `families.rs`, `throttle.rs`.

pub mod authorize;
pub mod bootstrap;
pub mod ed25519;
pub mod families;
pub mod files;
pub mod invites;
pub mod keys;
pub mod known;
pub mod password;
pub mod people;
pub mod report;
pub mod seal;
pub mod secret;
pub mod sessions;
mod shelf;
#[cfg(test)]
pub(crate) mod tests;
pub mod throttle;
pub mod tokens;
pub mod vault;

use crate::fleet::watch::now;
use crate::http::problem::Problem;
use crate::http::site::Site;
use anyhow::{Context as _, Result};
use async_nats::connection::State;
use async_nats::jetstream::context::Context;
use known::Known;
use password::Hasher;
use seal::Seal;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use throttle::Throttle;
use tokens::AccessTokens;
use tokio::sync::watch;
use vault::{Vault, VaultError};
use watchkeeper_schemas::journal::{Fact, JournalEvent};
use watchkeeper_schemas::registry::Registry;
use watchkeeper_schemas::subjects::JournalScope;
use watchkeeper_streams::journal::{RecordError, record};

/// When whoever came before anything was read should come again, in seconds.
const LOADING_RETRY_S: u32 = 1;
/// When whoever could not be served without NATS should come again, in seconds.
const AWAY_RETRY_S: u32 = 2;
/// Longest wait until a fact that was recorded here is seen here.
const SEEN_MAX: Duration = Duration::from_secs(5);

/// What an installation chooses.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How this gateway is reached.
    pub site: Site,
    /// The gateway's own folder: keys and the code of the first owner.
    pub secrets_dir: PathBuf,
    /// The NATS server's folder: keys that sign agents' and readers' credentials.
    pub nats_dir: PathBuf,
    /// Where agents reach NATS.
    pub nats_public_url: String,
    /// Whether whoever comes may make an account and a team.
    pub open_registration: bool,
}

/// Who people are and what they may do.
pub struct Identity {
    /// What the installation chose.
    pub settings: Settings,
    /// Sealed sessions and secrets.
    pub vault: Arc<Vault>,
    pub(crate) context: Context,
    tokens: AccessTokens,
    hasher: Hasher,
    throttle: Mutex<Throttle>,
    known: watch::Receiver<Option<Arc<Known>>>,
    rights: watch::Receiver<u64>,
    /// One at a time makes the first owner.
    setting_up: tokio::sync::Mutex<()>,
}

/// What is to be recorded.
#[derive(Debug)]
pub struct Change<'a> {
    /// A user, or a program's name.
    pub author: &'a str,
    /// Why, in a word or a sentence.
    pub cause: &'a str,
    /// Whom it belongs to.
    pub scope: JournalScope,
    /// What is true from now on.
    pub fact: Fact,
    /// The revision of the last fact about the same thing; 0 where there is none.
    pub expected: u64,
}

impl Identity {
    /// With the keys of the gateway's folder, which are made at the first start.
    ///
    /// # Errors
    /// When the folder or its files cannot be used.
    pub fn open(
        settings: Settings,
        context: Context,
        known: watch::Receiver<Option<Arc<Known>>>,
        rights: watch::Receiver<u64>,
    ) -> Result<Self> {
        files::folder(&settings.secrets_dir)?;
        let seal = Seal::open(&settings.secrets_dir)?;
        let tokens = AccessTokens::open(&settings.secrets_dir)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self {
            vault: Arc::new(Vault::new(context.clone(), seal)),
            context,
            tokens,
            hasher: Hasher::new(cores).context("cannot hash passwords")?,
            throttle: Mutex::default(),
            known,
            rights,
            setting_up: tokio::sync::Mutex::default(),
            settings,
        })
    }

    /// All facts, with what was made of them.
    ///
    /// # Errors
    /// 503 before they were read for the first time.
    pub fn known(&self) -> Result<Arc<Known>, Problem> {
        let known = self.known.borrow().clone();
        known.filter(|_| self.vault.is_loaded()).ok_or_else(|| {
            let detail =
                "people and teams have not been read yet: NATS has not answered, or no processor has started";
            Problem::unavailable(detail, LOADING_RETRY_S)
        })
    }

    /// All facts, as soon as they were read for the first time.
    pub async fn first_known(&self) -> Arc<Known> {
        let mut known = self.known.clone();
        let first = known.wait_for(Option::is_some).await.ok().and_then(|known| known.clone());
        match first {
            Some(known) => known,
            None => std::future::pending().await,
        }
    }

    /// All facts, whenever they change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<Arc<Known>>> {
        self.known.clone()
    }

    /// All facts of JOURNAL.
    ///
    /// # Errors
    /// 503 before they were read for the first time.
    pub fn registry(&self) -> Result<Arc<Registry>, Problem> {
        self.known().map(|known| Arc::clone(&known.registry))
    }

    /// Records a fact and waits until it is seen here; its revision.
    ///
    /// # Errors
    /// 409 with the present revision where somebody else was faster, 503 where NATS does not answer.
    pub async fn record(&self, change: Change<'_>) -> Result<u64, Problem> {
        // The client would keep it, and send it when nobody expects it any more.
        if self.context.client().connection_state() != State::Connected {
            return Err(Problem::unavailable("the change was not kept: NATS does not answer", AWAY_RETRY_S));
        }
        let Change { author, cause, scope, fact, expected } = change;
        let event =
            JournalEvent { v: 1, author: author.to_owned(), cause: cause.to_owned(), time: now(), fact };
        let recorded = record(&self.context, scope.clone(), &event, expected).await;
        let revision = match recorded {
            Ok(revision) => revision,
            Err(RecordError::Conflict { .. }) => {
                let present = self.registry().map(|it| known::revision(&it, &scope, &event.fact))?;
                return Err(Problem::conflict(present));
            }
            Err(error @ (RecordError::Misplaced | RecordError::JetStream { .. })) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a change could not be recorded");
                return Err(Problem::unavailable(
                    "the change may not have been kept: NATS does not answer",
                    AWAY_RETRY_S,
                ));
            }
        };
        let mut known = self.known.clone();
        let reached = known.wait_for(|it| it.as_ref().is_some_and(|it| it.registry.sequence() >= revision));
        if tokio::time::timeout(SEEN_MAX, reached).await.is_err() {
            tracing::warn!(revision, "a change that was recorded is not seen yet");
        }
        Ok(revision)
    }

    /// Where facts and buckets are.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::convert::From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Conflict => Self::new(
                axum::http::StatusCode::CONFLICT,
                "it was changed meanwhile: look at what it is now",
            ),
            VaultError::Away => Self::unavailable("it was not kept: NATS does not answer", AWAY_RETRY_S),
            VaultError::Seal(_) | VaultError::Form(_) | VaultError::JetStream { .. } => {
                tracing::error!(error = &error as &dyn std::error::Error, "a secret could not be kept");
                Self::unavailable("it may not have been kept: NATS does not answer", AWAY_RETRY_S)
            }
        }
    }
}
