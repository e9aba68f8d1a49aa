//! Secrets of channels on their way to CHANNELS: sealed for the notifier, so that not even this gateway reads them again.

use crate::http::problem::Problem;
use async_nats::connection::State;
use async_nats::jetstream::context::{Context, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};
use watchkeeper_nats::{Layout, SealingKey};
use watchkeeper_schemas::receiver::ChannelSecret;
use watchkeeper_schemas::subjects::bucket_key;
use watchkeeper_streams::topology::CHANNELS;

/// Longest wait for an acknowledgement.
const WRITE_MAX: Duration = Duration::from_secs(5);
/// How long another gateway has to record the fact of the secret that it wrote.
const OTHERS_MAX: Duration = Duration::from_secs(1);
/// When whoever could not be served without NATS should come again, in seconds.
const AWAY_RETRY_S: u32 = 2;

/// Takes secrets of channels.
#[derive(Debug)]
pub struct Secrets {
    context: Context,
    nats_dir: PathBuf,
    turn: Mutex<()>,
}

impl Secrets {
    /// Seals with the key in the folder of the NATS server.
    #[must_use]
    pub fn new(context: Context, nats_dir: PathBuf) -> Self {
        Self { context, nats_dir, turn: Mutex::default() }
    }

    /// One at a time looks at what a receiver is, writes its secret, and records its fact: the newest secret is the one
    /// that the newest fact names.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Writes a secret over the one at `last`, where one is known; its revision. Where another stands there, `still`
    /// says whether what names `last`, or none, is yet the newest fact: then that other one was named by none.
    ///
    /// # Errors
    /// 409 where another gateway was faster, 503 where there is no key, or NATS does not answer.
    pub async fn keep(
        &self,
        key: &str,
        secret: &ChannelSecret,
        last: Option<u64>,
        still: impl Fn() -> Result<(), Problem>,
    ) -> Result<u64, Problem> {
        let subject = bucket_key(CHANNELS, key);
        let sealed = self.seal(subject.clone(), secret.clone()).await?;
        let message = || PublishMessage::build().payload(sealed.clone().into());
        let over_last = message().expected_last_subject_sequence(last.unwrap_or(0));
        match self.write(&subject, over_last).await {
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {}
            written => return written.map_err(away),
        }
        // The mark of one that was removed; or another gateway is about to record another, or did not come so far.
        tokio::time::sleep(OTHERS_MAX).await;
        still()?;
        self.write(&subject, message()).await.map_err(away)
    }

    /// Forgets a secret; one that is not forgotten is named by no fact, and read by nobody.
    pub async fn forget(&self, key: &str) {
        let mark = PublishMessage::build().header("KV-Operation", "DEL");
        if let Err(error) = self.write(&bucket_key(CHANNELS, key), mark).await {
            tracing::warn!(error = &error as &dyn std::error::Error, key, "a secret was not forgotten");
        }
    }

    /// Publishes something that has a subject of its own; its place.
    ///
    /// # Errors
    /// 503 where NATS does not answer.
    pub async fn publish(&self, subject: &str, value: &impl Serialize) -> Result<u64, Problem> {
        let body = serde_json::to_vec(value).map_err(|_| Problem::unavailable("it cannot be written", 1))?;
        let message = PublishMessage::build().payload(body.into());
        self.write(subject, message).await.map_err(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, subject, "not published");
            Problem::unavailable("it was not asked for: NATS does not answer", AWAY_RETRY_S)
        })
    }

    async fn seal(&self, place: String, secret: ChannelSecret) -> Result<Vec<u8>, Problem> {
        let layout = Layout::new(&self.nats_dir);
        let read = tokio::task::spawn_blocking(move || SealingKey::read(&layout.channels_public())).await;
        let key = read.map_err(|_| no_key())?.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "secrets of channels cannot be sealed");
            no_key()
        })?;
        key.seal(&place, &secret).map_err(|_| no_key())
    }

    async fn write(&self, subject: &str, message: PublishMessage) -> Result<u64, PublishError> {
        // The client would keep it, and send it when nobody expects it any more.
        if self.context.client().connection_state() != State::Connected {
            return Err(PublishError::new(PublishErrorKind::BrokenPipe));
        }
        let written = async { self.context.send_publish(subject.to_owned(), message).await?.await };
        match tokio::time::timeout(WRITE_MAX, written).await {
            Ok(acknowledgement) => Ok(acknowledgement?.sequence),
            Err(_) => Err(PublishError::new(PublishErrorKind::TimedOut)),
        }
    }
}

fn no_key() -> Problem {
    let detail = "secrets of channels cannot be sealed here: `watchkeeper-gateway nats setup` makes the key";
    Problem::unavailable(detail, AWAY_RETRY_S)
}

fn away(error: PublishError) -> Problem {
    tracing::warn!(error = &error as &dyn std::error::Error, "a secret of a channel was not kept");
    Problem::unavailable("the secret was not kept: NATS does not answer", AWAY_RETRY_S)
}
