//! What NOTICES says of intents that are older than what the book holds.

use super::book::{Record, To};
use async_nats::jetstream::context::Context;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use serde::de::DeserializeOwned;
use watchkeeper_schemas::alerting::EpisodeRef;
use watchkeeper_schemas::notice::{
    Answer, AnswerWord, Attempt, Intent, NoticeResult, NoticeWord, ResultWord, intent_id,
};
use watchkeeper_schemas::subjects;
use watchkeeper_streams::topology::NOTICES;

/// The notices by which a receiver hears that an episode is open; there are five steps of a policy, and the first one is
/// told as what it is. A reminder may be the first that arrives.
const BEGINNINGS: [(NoticeWord, u32); 8] = [
    (NoticeWord::Firing, 1),
    (NoticeWord::Flapping, 1),
    (NoticeWord::Escalated, 2),
    (NoticeWord::Escalated, 3),
    (NoticeWord::Escalated, 4),
    (NoticeWord::Escalated, 5),
    (NoticeWord::LevelUp, 1),
    (NoticeWord::Reminder, 1),
];

/// Whether a receiver heard, or may have heard, that an episode is open.
pub(super) async fn heard(
    context: &Context,
    to: &To,
    episode: &EpisodeRef,
) -> Result<bool, async_nats::Error> {
    let notices: Stream<()> = context.get_stream_no_info(NOTICES).await?;
    for (notice, n) in BEGINNINGS {
        let id = intent_id(&to.team, episode, notice, n, &to.receiver);
        let result: Option<NoticeResult> = last(&notices, &subjects::notice_result(&id)).await?;
        let heard = match result.as_ref().map(|it| it.outcome) {
            Some(ResultWord::Delivered | ResultWord::Merged) => true,
            Some(ResultWord::Failed) => {
                let lead = result.and_then(|it| it.into).unwrap_or_else(|| id.clone());
                may_have_arrived(&notices, &lead, &id).await?
            }
            Some(ResultWord::Superseded) | None => false,
        };
        if heard {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether one of the attempts that told an intent may have arrived; `lead` led the last of them. An attempt knows whether
/// one before it may have: where no earlier one of the same lead tells, one of another lead did.
async fn may_have_arrived(notices: &Stream<()>, lead: &str, id: &str) -> Result<bool, async_nats::Error> {
    let mut attempt: Option<Attempt> = last(notices, &subjects::notice_attempts(lead)).await?;
    while let Some(it) = attempt.filter(|it| it.members.iter().any(|member| member == id)) {
        let answer: Option<Answer> = last(notices, &subjects::notice_answer(lead, it.k)).await?;
        if answer.is_none_or(|answer| answer.answer == AnswerWord::Unknown) {
            return Ok(true);
        }
        if !it.possible_repeat || it.k <= 1 {
            return Ok(it.possible_repeat);
        }
        attempt = last(notices, &subjects::notice_attempt(lead, it.k - 1)).await?;
    }
    Ok(false)
}

async fn last<T: DeserializeOwned>(
    notices: &Stream<()>,
    subject: &str,
) -> Result<Option<T>, async_nats::Error> {
    match notices.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(serde_json::from_slice(&message.payload).ok()),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The intents that stand at these places.
pub(super) async fn intents(
    context: &Context,
    places: &[u64],
) -> Result<Vec<(u64, Box<Intent>)>, async_nats::Error> {
    let notices: Stream<()> = context.get_stream_no_info(NOTICES).await?;
    let mut found = Vec::new();
    for place in places {
        let message = notices.get_raw_message(*place).await?;
        if let Some(Record::Intent(intent)) = Record::read(&message.subject, &message.payload) {
            found.push((*place, intent));
        }
    }
    Ok(found)
}
