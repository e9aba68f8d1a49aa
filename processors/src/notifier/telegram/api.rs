//! One call of Telegram's HTTP interface, and what can become of it.
//!
//! teloxide's own way to send waits ten seconds on every 5xx, forgets the status and puts the token into its errors;
//! its payloads and types are used, the exchange is ours.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use teloxide_core::requests::Payload;
use teloxide_core::{Bot, RequestError};

/// Largest answer that is read; a hundred updates are far smaller.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// What is shown of Telegram's own words.
const DESCRIPTION_CHARS_MAX: usize = 300;
/// How to wait where Telegram limits and does not say for how long.
const RETRY_DEFAULT: Duration = Duration::from_secs(5);

/// Why a call has no result. No token stands in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It certainly did not arrive.
    #[error("Telegram cannot be reached: {0}")]
    Unreachable(String),
    /// It may have arrived.
    #[error("no answer of Telegram: {0}")]
    Unanswered(String),
    /// Telegram is in trouble itself.
    #[error("Telegram answers {code}: {description}")]
    Down {
        /// The status.
        code: u16,
        /// In its words.
        description: String,
    },
    /// Too much at once.
    #[error("Telegram wants nothing for {} s", after.as_secs())]
    Slower {
        /// When it wants to be asked again.
        after: Duration,
    },
    /// The group is another chat now.
    #[error("the group is a supergroup now")]
    Moved {
        /// Its id from now on.
        to: i64,
    },
    /// It refuses.
    #[error("Telegram refuses ({code}): {description}")]
    Refused {
        /// The code.
        code: u16,
        /// In its words.
        description: String,
    },
}

#[derive(Deserialize)]
struct Answered {
    ok: bool,
    result: Option<Value>,
    error_code: Option<u16>,
    #[serde(default)]
    description: String,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

/// Calls a method, and waits for the answer no longer than `within`.
///
/// # Errors
/// Whatever there is instead of a result.
pub async fn call<P: Payload + Serialize>(
    bot: &Bot,
    payload: &P,
    within: Duration,
) -> Result<Value, Trouble> {
    let mut address = bot.api_url();
    // Telegram's address was parsed as one of HTTP, which has a path.
    if let Ok(mut path) = address.path_segments_mut() {
        path.pop_if_empty().push(&format!("bot{}", bot.token())).push(P::NAME);
    }
    let body = serde_json::to_vec(payload).map_err(|error| Trouble::Unreachable(error.to_string()))?;
    let request = bot.client().post(address).header("content-type", "application/json").body(body);
    let exchange = async {
        let mut answer = request.timeout(within).send().await.map_err(RequestError::from)?;
        let (code, mut text) = (answer.status().as_u16(), Vec::new());
        while let Some(chunk) = answer.chunk().await.map_err(RequestError::from)? {
            text.extend_from_slice(&chunk);
            if text.len() > ANSWER_BYTES_MAX {
                break;
            }
        }
        Ok::<_, RequestError>((code, text))
    };
    let told = match tokio::time::timeout(within, exchange).await {
        Err(_) => Err(Trouble::Unanswered(format!("waited {} s", within.as_secs_f32()))),
        Ok(Err(error)) => Err(of_transport(error)),
        Ok(Ok((code, text))) => read(code, &text),
    };
    told.map_err(|trouble| trouble.without(bot.token()))
}

/// What went wrong on the way, in words that hold no address, because the token is part of it.
fn of_transport(error: RequestError) -> Trouble {
    let RequestError::Network(error) = error else { return Trouble::Unanswered(String::new()) };
    // The outermost words name the address.
    let mut words = Vec::new();
    let mut source = std::error::Error::source(&*error);
    while let Some(cause) = source {
        words.push(cause.to_string());
        source = cause.source();
    }
    let words = words.join(": ");
    if error.is_connect() || error.is_builder() {
        Trouble::Unreachable(words)
    } else {
        Trouble::Unanswered(words)
    }
}

fn read(code: u16, text: &[u8]) -> Result<Value, Trouble> {
    let told: Option<Answered> = serde_json::from_slice(text).ok();
    let words = |told: Option<&Answered>| {
        let said = told.map_or("", |told| told.description.as_str());
        said.chars().filter(|c| !c.is_control()).take(DESCRIPTION_CHARS_MAX).collect::<String>()
    };
    match told {
        Some(Answered { ok: true, result: Some(result), .. }) => Ok(result),
        Some(told) if !told.ok => {
            let code = told.error_code.unwrap_or(code);
            let parameters = told.parameters.as_ref();
            let after = parameters.and_then(|it| it.retry_after).map(Duration::from_secs);
            if let Some(to) = parameters.and_then(|it| it.migrate_to_chat_id) {
                return Err(Trouble::Moved { to });
            }
            let description = words(Some(&told));
            Err(match code {
                429 => Trouble::Slower { after: after.unwrap_or(RETRY_DEFAULT) },
                500.. => Trouble::Down { code, description },
                _ => Trouble::Refused { code, description },
            })
        }
        told => Err(match code {
            429 => Trouble::Slower { after: RETRY_DEFAULT },
            500.. => Trouble::Down { code, description: words(told.as_ref()) },
            _ => Trouble::Unanswered(format!("status {code} with something that is no answer")),
        }),
    }
}

impl Trouble {
    /// Telegram's words may repeat what they were asked with.
    fn without(self, token: &str) -> Self {
        let secret = token.split_once(':').map_or(token, |(_, secret)| secret);
        let clean = |words: String| {
            if secret.is_empty() { words } else { words.replace(secret, "…") }
        };
        match self {
            Self::Unreachable(words) => Self::Unreachable(clean(words)),
            Self::Unanswered(words) => Self::Unanswered(clean(words)),
            Self::Down { code, description } => Self::Down { code, description: clean(description) },
            Self::Refused { code, description } => Self::Refused { code, description: clean(description) },
            other @ (Self::Slower { .. } | Self::Moved { .. }) => other,
        }
    }
}
