//! What goes into the audit: one writer appends in turn, so that nothing is lost or waits behind others' tries.

use crate::http::principal::{self, Caller, Principal, Visitor};
use async_nats::jetstream::context::Context;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use watchkeeper_schemas::audit::{Action, Deed, Outcome, Via};
use watchkeeper_schemas::ids::UserId;
use watchkeeper_schemas::subjects::JournalScope;
use watchkeeper_streams::audit::append;
use watchkeeper_streams::backoff::Backoff;

/// Deeds that wait to be written; whoever comes then waits, too.
const QUEUE_DEEDS_MAX: usize = 1024;
/// Tries to write one deed, with these waits between them.
const TRIES_MAX: u32 = 5;
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// A refusal that is repeated within this time is told once.
const REPEATED: Duration = Duration::from_secs(60);
/// Refusals that are remembered for it; more are not told.
const NOTED_MAX: usize = 4096;
/// An answer is held back until its deed is written, but no longer than this.
const WRITTEN_MAX: Duration = Duration::from_secs(5);

/// Where deeds are handed in.
#[derive(Debug, Clone)]
pub struct Audit {
    context: Context,
    queue: mpsc::Sender<Waiting>,
    noted: Arc<Mutex<HashMap<Repeated, Instant>>>,
}

/// Whose refusals count as the same.
type Repeated = (JournalScope, Option<UserId>, String);

/// Writes them.
#[derive(Debug)]
pub struct Writer {
    context: Context,
    queue: mpsc::Receiver<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    scope: JournalScope,
    deed: Deed,
    written: Option<oneshot::Sender<()>>,
}

impl Audit {
    /// The two ends of the queue.
    #[must_use]
    pub fn new(context: Context) -> (Self, Writer) {
        let (sender, receiver) = mpsc::channel(QUEUE_DEEDS_MAX);
        (
            Self { context: context.clone(), queue: sender, noted: Arc::default() },
            Writer { context, queue: receiver },
        )
    }

    /// Where the audit is read.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Writes a deed; returns once it is durable.
    pub async fn tell(&self, scope: JournalScope, deed: Deed) {
        let (written, seen) = oneshot::channel();
        let waiting = Waiting { scope, deed, written: Some(written) };
        let told = async { self.queue.send(waiting).await.is_ok() && seen.await.is_ok() };
        if !tokio::time::timeout(WRITTEN_MAX, told).await.unwrap_or(false) {
            tracing::error!("a deed is answered before it stands in the audit");
        }
    }

    /// Writes what became of something of a team: it before and after, where it was there or is.
    pub async fn tell_change<T: Serialize>(
        &self,
        principal: &Principal,
        action: Action,
        object: impl ToString,
        (before, after): (Option<T>, Option<T>),
    ) {
        let (before, after) = (before.and_then(|it| shown(&it)), after.and_then(|it| shown(&it)));
        let deed = Deed { before, after, ..By::from(principal).did(action, object) };
        self.tell(JournalScope::Team(principal.team.clone()), deed).await;
    }

    /// Hands a refusal in without waiting for it; who repeats themselves is told of once a minute, so that nobody
    /// fills the audit by asking.
    pub fn note(&self, scope: JournalScope, deed: Deed) {
        let repeated = (scope.clone(), deed.actor.clone(), deed.object.clone());
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() >= NOTED_MAX {
            noted.retain(|_, when| when.elapsed() < REPEATED);
        }
        let is_new = noted.get(&repeated).is_none_or(|when| when.elapsed() >= REPEATED);
        if !is_new || noted.len() >= NOTED_MAX {
            return;
        }
        noted.insert(repeated, Instant::now());
        drop(noted);
        if let Err(error) = self.queue.try_send(Waiting { scope, deed, written: None }) {
            tracing::error!(%error, "a deed does not stand in the audit");
        }
    }
}

impl Writer {
    /// Writes what is handed in, for as long as somebody can hand in.
    pub async fn write(mut self) {
        while let Some(Waiting { scope, deed, written }) = self.queue.recv().await {
            if self.append(&scope, &deed).await && written.is_some_and(|written| written.send(()).is_err()) {
                tracing::debug!("nobody waits any more for a deed to be written");
            }
        }
    }

    async fn append(&self, scope: &JournalScope, deed: &Deed) -> bool {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        for _ in 1..TRIES_MAX {
            match append(&self.context, scope, deed.clone()).await {
                Ok(_) => return true,
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "trying again"),
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
        let deed = serde_json::to_string(deed).unwrap_or_default();
        tracing::error!(%scope, deed, "a deed does not stand in the audit");
        false
    }
}

/// Who does something, as the audit names them.
#[derive(Debug, Clone)]
pub struct By {
    /// Who.
    pub actor: Option<UserId>,
    /// How they are known.
    pub via: Via,
    /// From where.
    pub from: Option<IpAddr>,
}

impl By {
    /// Somebody at the machine, or the gateway by itself.
    pub const MACHINE: Self = Self { actor: None, via: Via::Machine, from: None };

    /// The author of a fact in the journal.
    #[must_use]
    pub fn author(&self) -> &str {
        match (&self.actor, self.via) {
            (Some(actor), _) => actor.as_str(),
            (None, Via::Credential) => "agent",
            (None, Via::Session | Via::Token | Via::Chat | Via::Machine | Via::Nobody) => "gateway",
        }
    }

    /// What they did to an object, with nothing told of before and after.
    #[must_use]
    pub fn did(&self, action: Action, object: impl ToString) -> Deed {
        Deed {
            action,
            outcome: Outcome::Done,
            actor: self.actor.clone(),
            via: self.via,
            from: self.from.map(|from| from.to_string()),
            object: object.to_string(),
            before: None,
            after: None,
        }
    }
}

impl From<&Principal> for By {
    fn from(it: &Principal) -> Self {
        Self { actor: Some(it.user.clone()), via: via(&it.via), from: Some(it.address) }
    }
}

impl From<&Caller> for By {
    fn from(it: &Caller) -> Self {
        Self { actor: Some(it.user.clone()), via: via(&it.via), from: Some(it.address) }
    }
}

impl From<&Visitor> for By {
    fn from(it: &Visitor) -> Self {
        it.caller.as_ref().map_or(Self { actor: None, via: Via::Nobody, from: Some(it.address) }, Self::from)
    }
}

fn via(via: &principal::Via) -> Via {
    match via {
        principal::Via::Session(_) => Via::Session,
        principal::Via::Token(_) => Via::Token,
    }
}

/// Something as an entry shows it.
#[must_use]
pub fn shown(value: &impl Serialize) -> Option<Value> {
    serde_json::to_value(value).inspect_err(|error| tracing::error!(%error, "an entry lacks a value")).ok()
}
