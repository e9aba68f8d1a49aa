//! QuestDB over HTTP: a statement, or a request of rows; an error says whether trying again can help.

use data_encoding::BASE64;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use ureq::http::StatusCode;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A request that takes longer has failed; the rows come again and change nothing where they had arrived.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// What QuestDB says about an error is cut here, in bytes.
const MESSAGE_BYTES_MAX: usize = 512;

/// What went wrong between QuestDB and us.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QuestDbError {
    /// No answer: it is away, or too slow.
    #[error("no answer from QuestDB at {address}")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// What went wrong.
        source: ureq::Error,
    },
    /// It does not know us.
    #[error(
        "QuestDB at {address} refuses user {user:?}: --questdb-user and --questdb-password-file must be those of its http.user and http.password"
    )]
    Login {
        /// Where it is.
        address: String,
        /// As whom we came.
        user: String,
    },
    /// It will not take this, however often it is sent.
    #[error("QuestDB refuses {what}: {message}")]
    Refused {
        /// The statement, or the rows.
        what: String,
        /// In its words.
        message: String,
    },
    /// It could not do it now: full disk, no memory, starting.
    #[error("QuestDB could not do {what} (HTTP {status}): {message}")]
    Failed {
        /// The statement, or the rows.
        what: String,
        /// The status of the answer.
        status: u16,
        /// In its words.
        message: String,
    },
    /// The answer is none of QuestDB's.
    #[error("the answer to {what} is not of the form that QuestDB gives")]
    Answer {
        /// The statement.
        what: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// A QuestDB server and who we are there. Holds a password: never to be printed.
pub(crate) struct QuestDb {
    agent: ureq::Agent,
    address: String,
    user: String,
    authorization: String,
}

/// Rows of an answer, in the order of the columns that were asked for.
#[derive(Deserialize)]
struct Answer<T> {
    dataset: Vec<T>,
}

/// An error as QuestDB words it: `error` for statements, `message` for rows.
#[derive(Deserialize)]
struct Complaint {
    #[serde(alias = "error")]
    message: String,
}

impl QuestDb {
    /// The server at `address` (host:port); nothing is sent yet.
    #[must_use]
    pub(super) fn new(address: &str, user: &str, password: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(REQUEST_TIMEOUT))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        Self {
            agent: config.into(),
            address: address.to_owned(),
            user: user.to_owned(),
            authorization: format!("Basic {}", BASE64.encode(format!("{user}:{password}").as_bytes())),
        }
    }

    /// Where it is: host:port.
    #[must_use]
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Runs a statement that answers with rows.
    ///
    /// # Errors
    /// As [`QuestDbError`].
    pub(super) fn query<T: DeserializeOwned>(&self, statement: &str) -> Result<Vec<T>, QuestDbError> {
        let body = self.statement(statement)?;
        serde_json::from_str::<Answer<T>>(&body)
            .map(|answer| answer.dataset)
            .map_err(|source| QuestDbError::Answer { what: quoted(statement), source })
    }

    /// Runs a statement that changes something.
    ///
    /// # Errors
    /// As [`QuestDbError`].
    pub(super) fn execute(&self, statement: &str) -> Result<(), QuestDbError> {
        self.statement(statement).map(drop)
    }

    /// Writes rows in the line protocol; once this returns they are on disk (`cairo.commit.mode=sync`), all of them.
    /// After an error none are, or all.
    ///
    /// # Errors
    /// As [`QuestDbError`]; [`QuestDbError::Refused`] when at least one row can never be stored.
    pub(super) fn write(&self, rows: &[u8]) -> Result<(), QuestDbError> {
        let sent = self
            .agent
            .post(format!("http://{}/write", self.address))
            .header("Authorization", &self.authorization)
            .send(rows);
        self.answer("rows", sent).map(drop)
    }

    fn statement(&self, statement: &str) -> Result<String, QuestDbError> {
        let sent = self
            .agent
            .get(format!("http://{}/exec", self.address))
            .header("Authorization", &self.authorization)
            .query("query", statement)
            .call();
        self.answer(&quoted(statement), sent)
    }

    /// The body of a good answer, or what a bad one means.
    fn answer(
        &self,
        what: &str,
        sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<String, QuestDbError> {
        let unreachable = |source| QuestDbError::Unreachable { address: self.address.clone(), source };
        let mut response = sent.map_err(unreachable)?;
        let status = response.status();
        let body = response.body_mut().read_to_string().map_err(unreachable)?;
        if status.is_success() {
            return Ok(body);
        }
        let (what, message) = (what.to_owned(), complaint(&body));
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                QuestDbError::Login { address: self.address.clone(), user: self.user.clone() }
            }
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
                QuestDbError::Refused { what, message }
            }
            status => QuestDbError::Failed { what, status: status.as_u16(), message },
        })
    }
}

fn quoted(statement: &str) -> String {
    format!("`{}`", cut(statement))
}

fn complaint(body: &str) -> String {
    let message = serde_json::from_str::<Complaint>(body).map_or_else(|_| body.to_owned(), |it| it.message);
    cut(message.trim()).to_owned()
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MESSAGE_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_given_in_its_own_words_and_kept_short() {
        let check = |body: &str, expected: &str| assert_eq!(complaint(body), expected);
        check(
            r#"{"code":"invalid","message":"error in line 1: table: disk","line":1}"#,
            "error in line 1: table: disk",
        );
        check(r#"{"query":"x","error":"table does not exist","position":14}"#, "table does not exist");
        check("Unauthorized\r\n", "Unauthorized");
        check(&"ä".repeat(1000), &"ä".repeat(MESSAGE_BYTES_MAX / 2));
    }
}
