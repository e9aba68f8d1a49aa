//! Publishes what was decided, each once for ever, whoever decided it and however often.

use super::projection::Told;
use crate::kill_points::KillPoint;
use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use watchkeeper_schemas::episode::{AlertEvent, WHOLE_TEAM};
use watchkeeper_schemas::notice::Intent;
use watchkeeper_schemas::subjects;
use watchkeeper_streams::once::{Once, publish_once};
use watchkeeper_streams::topology::ALERTS;

/// Messages under way at once; the server refuses what goes beyond some 500 of one stream.
const PUBLISHES_MAX: usize = 128;
/// Subjects of ALERTS whose last message is remembered.
const SUBJECTS_MAX: usize = 100_000;

/// Why something is not known to be published.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutboxError {
    /// It comes again.
    #[error("cannot publish what was decided")]
    JetStream(#[source] async_nats::Error),
    /// Another evaluator decided otherwise, or is further.
    #[error("another evaluator decided {theirs} where this one decided {ours}")]
    Fenced {
        /// The id of its transition.
        theirs: String,
        /// The id of ours.
        ours: String,
    },
}

impl OutboxError {
    fn of(error: impl Into<async_nats::Error>) -> Self {
        Self::JetStream(error.into())
    }
}

/// The last message of a subject of ALERTS: its place there, and the place of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Last {
    sequence: u64,
    input: (u64, u32),
}

/// What is to be published, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Told>,
    last: BTreeMap<String, Last>,
}

impl Outbox {
    pub(super) fn add(&mut self, told: Vec<Told>) {
        self.waiting.extend(told);
    }

    /// Publishes everything; what fails stays and comes again.
    pub(super) async fn flush(&mut self, context: &Context) -> Result<(), OutboxError> {
        if self.last.len() > SUBJECTS_MAX {
            self.last.clear();
        }
        let is_some = !self.waiting.is_empty();
        while !self.waiting.is_empty() {
            let together = self.together();
            let published = {
                let each = self.waiting.iter().take(together).map(|told| publish(context, told, &self.last));
                join_all(each).await
            };
            let mut failed = None;
            for published in published {
                match published {
                    Ok(Some((subject, last))) => _ = self.last.insert(subject, last),
                    Ok(None) => {}
                    Err(error) => {
                        failed.get_or_insert(error);
                    }
                }
            }
            // Whatever did get through is found there when it comes again.
            if let Some(error) = failed {
                self.last.clear();
                return Err(error);
            }
            self.waiting.drain(..together);
        }
        if is_some {
            KillPoint::AfterEffects.reached();
        }
        Ok(())
    }

    /// How many of the first may go at once: of one subject only one.
    fn together(&self) -> usize {
        let mut subjects = BTreeSet::new();
        let fits = |told: &&Told| match told {
            Told::Transition(it) => subjects.insert(subject(it)),
            Told::Intent(_) => true,
        };
        self.waiting.iter().take(PUBLISHES_MAX).take_while(fits).count()
    }
}

async fn publish(
    context: &Context,
    told: &Told,
    known: &BTreeMap<String, Last>,
) -> Result<Option<(String, Last)>, OutboxError> {
    match told {
        Told::Transition(it) => {
            let subject = subject(it);
            let last = transition(context, it, &subject, known.get(&subject).copied()).await?;
            Ok(Some((subject, last)))
        }
        Told::Intent(it) => intent(context, it).await.map(|()| None),
    }
}

fn subject(it: &AlertEvent) -> String {
    let host = Some(it.episode.host.as_str()).filter(|host| *host != WHOLE_TEAM);
    // The id of the episode was made of both, so that both are ids.
    let (host, rule) = (host.and_then(|host| host.parse().ok()), it.episode.rule.parse());
    rule.map_or_else(|_| String::new(), |rule| subjects::alert(&it.team, host.as_ref(), &rule, it.retro))
}

/// Publishes a transition behind the last of its subject, unless it is there.
async fn transition(
    context: &Context,
    it: &AlertEvent,
    subject: &str,
    known: Option<Last>,
) -> Result<Last, OutboxError> {
    let ours = (it.sequence, it.ordinal);
    let mut known = known;
    loop {
        let last = match known {
            Some(last) => last,
            None => match newest(context, subject).await? {
                None => Last::default(),
                Some((last, id)) if last.input == ours && id != it.id => {
                    return Err(OutboxError::Fenced { theirs: id, ours: it.id.clone() });
                }
                Some((last, _)) => last,
            },
        };
        if last.input >= ours {
            // It was published before: by us, or by another one who read the same log.
            return Ok(last);
        }
        let payload = serde_json::to_vec(it).map_err(OutboxError::of)?;
        let message =
            PublishMessage::build().payload(payload.into()).expected_last_subject_sequence(last.sequence);
        let sent = context.send_publish(subject.to_owned(), message).await.map_err(OutboxError::of)?;
        match sent.await {
            Ok(stored) => return Ok(Last { sequence: stored.sequence, input: ours }),
            // What is there now decides.
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => known = None,
            Err(error) => return Err(OutboxError::of(error)),
        }
    }
}

/// The last message of a subject, with its id.
async fn newest(context: &Context, subject: &str) -> Result<Option<(Last, String)>, OutboxError> {
    let alerts = context.get_stream_no_info(ALERTS).await.map_err(OutboxError::of)?;
    let message = match alerts.get_last_raw_message_by_subject(subject).await {
        Ok(message) => message,
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => return Ok(None),
        Err(error) => return Err(OutboxError::of(error)),
    };
    let event: Option<AlertEvent> = serde_json::from_slice(&message.payload).ok();
    // One that does not read is before everything.
    let input = event.as_ref().map_or((0, 0), |event| (event.sequence, event.ordinal));
    Ok(Some((Last { sequence: message.sequence, input }, event.map(|event| event.id).unwrap_or_default())))
}

/// Publishes an intent; that it is there already is as good.
async fn intent(context: &Context, it: &Intent) -> Result<(), OutboxError> {
    let payload = serde_json::to_vec(it).map_err(OutboxError::of)?;
    let published = publish_once(context, subjects::intent(&it.id), payload.into()).await;
    published.map(|_: Once| ()).map_err(OutboxError::of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use watchkeeper_schemas::alerting::EpisodeRef;
    use watchkeeper_schemas::episode::TransitionWord;
    use watchkeeper_schemas::notice::{NoticeWord, intent_id};
    use watchkeeper_schemas::quantity::UnixMs;
    use watchkeeper_schemas::rule::Severity;
    use watchkeeper_streams::connect::{Connect, connect};
    use watchkeeper_streams::rebuild::{self, Begin};
    use watchkeeper_streams::runner::jetstream;
    use watchkeeper_streams::topology::{Limits, NOTICES, ensure};
    use xtask::stack::{Program, Stack};
    use xtask::tools::Servers;

    struct Log {
        context: Context,
        _stack: Stack,
        _folder: tempfile::TempDir,
    }

    impl Log {
        async fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let servers = Servers::ensure().unwrap();
            let stack = Stack::in_dir(folder.path()).programs(&[Program::Nats]).start(&servers).unwrap();
            let inbox = subjects::program_inbox(&"processors".parse().unwrap());
            let (url, creds) = (stack.nats_url(), stack.creds().processors.clone());
            let connected = connect(&Connect { url, creds, name: "test", inbox }).await.unwrap();
            let context = jetstream(connected.client);
            let made = async { while ensure(&context, &Limits::default()).await.is_err() {} };
            tokio::time::timeout(Duration::from_secs(20), made).await.unwrap();
            Self { context, _stack: stack, _folder: folder }
        }

        async fn ids(&self, stream: &str) -> Vec<String> {
            let mut ids = Vec::new();
            let read = rebuild::read(&self.context, stream, &[], Begin::First, |event| {
                let body: serde_json::Value = serde_json::from_slice(&event.payload).unwrap();
                ids.push(body["id"].as_str().unwrap().to_owned());
            });
            read.await.unwrap();
            ids
        }

        /// Publishes with nothing in memory, as after a start.
        async fn publish(&self, told: Vec<Told>) -> Result<(), OutboxError> {
            let mut outbox = Outbox::default();
            outbox.add(told);
            outbox.flush(&self.context).await
        }
    }

    fn episode() -> EpisodeRef {
        let (rule, host, series) = ("busy".to_owned(), "web-1".to_owned(), String::new());
        EpisodeRef { rule, host, series, episode: 7 }
    }

    fn fired(id: &str, sequence: u64) -> Told {
        Told::Transition(Box::new(AlertEvent {
            v: 1,
            id: id.to_owned(),
            team: "default".parse().unwrap(),
            episode_id: episode().id().unwrap(),
            episode: episode(),
            transition: TransitionWord::Fired,
            level: Severity::Warning,
            reason: None,
            sequence,
            ordinal: 0,
            time: UnixMs(0),
            since: UnixMs(0),
            value: None,
            peak: None,
            duration_ms: None,
            shadow: false,
            retro: false,
            rule_then: None,
            samples: Vec::new(),
            muted_by: Vec::new(),
            evidence: None,
        }))
    }

    fn firing(receiver: &str) -> Told {
        let team = "default".parse().unwrap();
        Told::Intent(Box::new(Intent {
            v: 1,
            id: intent_id(&team, &episode(), NoticeWord::Firing, 1, receiver),
            team,
            episode_id: episode().id().unwrap(),
            episode: episode(),
            notice: NoticeWord::Firing,
            n: 1,
            receiver: receiver.to_owned(),
            level: Severity::Warning,
            reason: None,
            since: UnixMs(0),
            value: None,
            peak: None,
            duration_ms: None,
            short_episodes: 0,
            shadow: false,
            rule_then: None,
            sequence: 7,
            time: UnixMs(0),
        }))
    }

    #[tokio::test]
    async fn what_is_decided_again_is_there_once_and_what_another_decided_stops_us() {
        let log = Log::start().await;
        let all = || vec![fired("a", 7), firing("ops"), firing("night"), fired("b", 9), fired("c", 12)];
        // All of it, then again from the start, then from amid it.
        log.publish(all()).await.unwrap();
        log.publish(all()).await.unwrap();
        log.publish(all().split_off(3)).await.unwrap();
        assert_eq!(log.ids(ALERTS).await, ["a", "b", "c"]);
        assert_eq!(log.ids(NOTICES).await.len(), 2);

        // One that went on while another wrote finds the other's as good as its own, or stops.
        let mut sleeper = Outbox::default();
        sleeper.add(vec![fired("c", 12)]);
        sleeper.flush(&log.context).await.unwrap();
        log.publish(vec![fired("d", 15)]).await.unwrap();
        sleeper.add(vec![fired("d", 15)]);
        sleeper.flush(&log.context).await.unwrap();
        log.publish(vec![fired("e", 20)]).await.unwrap();
        sleeper.add(vec![fired("other", 20)]);
        let refused = sleeper.flush(&log.context).await.unwrap_err();
        assert!(matches!(refused, OutboxError::Fenced { .. }), "{refused}");
        assert_eq!(log.ids(ALERTS).await, ["a", "b", "c", "d", "e"]);
    }
}
