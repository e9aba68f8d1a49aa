//! Brings samples to the broker: publishes what the queue says, hears the acknowledgements.

use crate::queue::Queue;
use async_nats::connection::State;
use async_nats::{Client, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use watchkeeper_schemas::subjects::{Lane, SampleSubject};
use watchkeeper_streams::backoff::Backoff;
use watchkeeper_streams::connect::{ClientEvents, Connect, ConnectError, connect_trusting};

/// After a refusal nothing is published for up to this long, then longer.
const REFUSED_WAIT_FIRST: Duration = Duration::from_secs(1);
/// A broker that takes samples again is found within this.
const REFUSED_WAIT_MAX: Duration = Duration::from_secs(5);
/// Nothing to wait for but answers.
const IDLE: Duration = Duration::from_secs(3600);

/// Why nothing can be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No connection can even be tried.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Acknowledgements cannot be heard.
    #[error("cannot listen for acknowledgements")]
    Listen(#[from] async_nats::SubscribeError),
    /// The connection is gone for good.
    #[error("the NATS client has ended")]
    Ended,
}

/// What JetStream answers to a publish.
#[derive(Deserialize)]
struct Answer {
    seq: Option<u64>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: u16,
    #[serde(default)]
    description: String,
}

/// A connection and the samples that go over it.
pub struct Publisher {
    client: Client,
    events: Arc<ClientEvents>,
    connects: watch::Receiver<u64>,
    /// The server and its number for the connection that was last published on.
    link: (String, u64),
    answers: Subscriber,
    /// Answers arrive below this; the token stands behind it.
    inbox: String,
    subjects: [async_nats::Subject; 2],
    queue: Queue,
    backoff: Backoff,
    paused_until: Option<Instant>,
    /// What was last said to be wrong; each trouble is logged once.
    trouble: Option<String>,
    losing: bool,
}

impl Publisher {
    /// Begins to connect as the agent of `subject`, trusting the certificates of the file `roots`, too; goes on trying
    /// for ever.
    ///
    /// # Errors
    /// When the credential or the address cannot be used.
    pub async fn connect(
        settings: &Connect,
        roots: Option<&Path>,
        subject: &SampleSubject,
    ) -> Result<Self, PublishError> {
        let connected = connect_trusting(settings, roots).await?;
        // A new inbox each start: an answer to an earlier process acknowledges nothing of this one.
        let inbox = connected.client.new_inbox();
        let answers = connected.client.subscribe(below(&inbox, &"*")).await?;
        Ok(Self {
            connects: connected.events.connects(),
            link: Default::default(),
            client: connected.client,
            events: connected.events,
            answers,
            inbox,
            subjects: [Lane::Live, Lane::Backfill].map(|lane| subject.on(lane).to_string().into()),
            queue: Queue::default(),
            backoff: Backoff::new(REFUSED_WAIT_FIRST, REFUSED_WAIT_MAX),
            paused_until: None,
            trouble: None,
            losing: false,
        })
    }

    /// How often in a row the server refused the credential; it changes with each refusal.
    #[must_use]
    pub fn refused(&self) -> watch::Receiver<u32> {
        self.events.refused()
    }

    /// Adds the newest sample.
    pub fn push(&mut self, seq: u64, frame: Bytes) {
        let lost = self.queue.lost();
        self.queue.push(seq, frame);
        if self.queue.lost() > lost && !std::mem::replace(&mut self.losing, true) {
            tracing::warn!(
                queued = self.queue.len(),
                "the queue is full: the oldest samples are given up until the broker is back"
            );
        }
    }

    /// The samples that are not acknowledged yet.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Publishes what may go now.
    ///
    /// # Errors
    /// When the client has ended.
    pub async fn pump(&mut self) -> Result<(), PublishError> {
        let now = Instant::now();
        let paused = self.paused_until.is_some_and(|until| now < until);
        if paused || self.client.connection_state() != State::Connected {
            return Ok(());
        }
        let server = self.client.server_info();
        let link = (server.server_id, server.client_id);
        if link != self.link {
            self.link = link;
            self.queue.reconnected();
        }
        while let Some(sending) = self.queue.next(now) {
            let subject = match sending.lane {
                Lane::Live => self.subjects[0].clone(),
                Lane::Backfill => self.subjects[1].clone(),
            };
            let reply = below(&self.inbox, &sending.token);
            self.client
                .publish_with_reply(subject, reply, sending.frame)
                .await
                .map_err(|_| PublishError::Ended)?;
        }
        Ok(())
    }

    /// Waits until something happens to what was published and takes it in; true after a new connection.
    ///
    /// # Errors
    /// When the client has ended.
    pub async fn happens(&mut self) -> Result<bool, PublishError> {
        let deadline = self.queue.next_deadline().into_iter().chain(self.paused_until).min();
        let deadline = deadline.unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            answer = self.answers.next() => {
                self.take_answer(&answer.ok_or(PublishError::Ended)?);
                Ok(false)
            }
            changed = self.connects.changed() => {
                changed.map_err(|_| PublishError::Ended)?;
                Ok(true)
            }
            () = tokio::time::sleep_until(deadline.into()) => {
                let now = Instant::now();
                self.paused_until = self.paused_until.filter(|until| now < *until);
                if self.queue.expire(now) > 0 {
                    self.tell("no acknowledgement came in time".to_owned());
                }
                Ok(false)
            }
        }
    }

    fn take_answer(&mut self, message: &Message) {
        let Some(token) = message.subject.rsplit('.').next().and_then(|token| token.parse().ok()) else {
            return;
        };
        match read_answer(message) {
            Ok(()) => {
                self.queue.acknowledged(token);
                self.backoff.reset();
                if self.trouble.take().is_some() {
                    tracing::info!(queued = self.queue.len(), "the broker stores samples again");
                }
                if self.queue.is_empty() && std::mem::take(&mut self.losing) {
                    tracing::warn!(
                        lost = self.queue.lost(),
                        "everything queued was delivered; samples were lost"
                    );
                }
            }
            Err(refusal) => {
                self.queue.refused(token);
                self.paused_until = Some(Instant::now() + self.backoff.next_wait());
                self.tell(refusal);
            }
        }
    }

    fn tell(&mut self, trouble: String) {
        if self.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(
                trouble,
                queued = self.queue.len(),
                "a sample was not stored, it will be sent again"
            );
            self.trouble = Some(trouble);
        }
    }
}

/// The subject of one answer, or of all of them.
fn below(inbox: &str, token: &dyn std::fmt::Display) -> String {
    format!("{inbox}.{token}")
}

/// Whether the answer says that the sample was stored, else why not.
fn read_answer(message: &Message) -> Result<(), String> {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Err("no stream takes samples yet".to_owned());
    }
    match serde_json::from_slice(&message.payload) {
        Ok(Answer { seq: Some(_), error: None }) => Ok(()),
        Ok(Answer { error: Some(Refusal { code, description }), .. }) => {
            Err(format!("the broker refused it: {description} ({code})"))
        }
        Ok(Answer { seq: None, error: None }) | Err(_) => {
            Err("the broker's answer cannot be understood".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(payload: &str, status: Option<StatusCode>) -> Result<(), String> {
        read_answer(&Message {
            subject: "a.1".into(),
            reply: None,
            payload: Bytes::from(payload.to_owned()),
            headers: None,
            status,
            description: None,
            length: payload.len(),
        })
    }

    #[test]
    fn only_a_stored_sample_is_acknowledged() {
        assert_eq!(answer(r#"{"stream":"SAMPLES","seq":7}"#, None), Ok(()));
        let refused = r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"SAMPLES","seq":0}"#;
        assert!(answer(refused, None).unwrap_err().contains("maximum bytes exceeded (503)"));
        assert!(answer("", Some(StatusCode::NO_RESPONDERS)).unwrap_err().contains("no stream"));
        for other in ["", "{}", "[]", "7", r#"{"stream":"SAMPLES"}"#] {
            assert!(answer(other, None).is_err(), "{other:?}");
        }
    }
}
