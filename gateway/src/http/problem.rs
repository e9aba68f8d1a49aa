//! A refusal that a program can read and a person can act on: RFC 9457 problem+json.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Longest text of a request that is repeated in an answer, in characters.
const FOUND_CHARS_MAX: usize = 80;

/// What went wrong, as the answer's body says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status says which kind it is.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    #[schema(example = "Bad Request")]
    title: &'static str,
    /// The HTTP status.
    #[schema(value_type = u16, example = 400)]
    #[serde(serialize_with = "as_number")]
    status: StatusCode,
    /// What happened and what to do, for people.
    detail: String,
    /// Each field that was wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// Of a conflict: the revision that the object has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip)]
    retry_after_s: Option<u32>,
}

/// One field of a request that was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Its name.
    #[schema(example = "step")]
    pub field: String,
    /// What would have been accepted.
    #[schema(example = "a duration in whole seconds such as 10s")]
    pub expected: String,
    /// What was given, cut to 80 characters.
    #[schema(example = "abc")]
    pub found: String,
}

impl FieldError {
    /// `found` is cut where it is long.
    #[must_use]
    pub fn new(field: &str, expected: impl Into<String>, found: &str) -> Self {
        let cut = |text: &str| text.chars().take(FOUND_CHARS_MAX).collect();
        Self { field: cut(field), expected: expected.into(), found: cut(found) }
    }
}

impl Problem {
    /// A refusal with the words of its status.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self {
            kind: "about:blank",
            title,
            status,
            detail: detail.into(),
            errors: Vec::new(),
            revision: None,
            retry_after_s: None,
        }
    }

    /// 400: these fields of the request are wrong.
    #[must_use]
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let words: Vec<String> = errors
            .iter()
            .map(|it| format!("{}: expected {}, found {:?}", it.field, it.expected, it.found))
            .collect();
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST, words.join("; ")) }
    }

    /// 422: these fields name what is not there.
    #[must_use]
    pub fn unprocessable(errors: Vec<FieldError>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self { status, title: "Unprocessable Content", ..Self::fields(errors) }
    }

    /// 404: no such thing, or not yours, which reads the same.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 401: nobody is signed in, or not any more.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "sign in first: there is no session or token, or it has ended")
    }

    /// 403: known, but not allowed.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 409: the object is not as the edit took it to be; its present revision is told.
    #[must_use]
    pub fn conflict(revision: u64) -> Self {
        let detail = "it was changed meanwhile: look at what it is now, and say its revision";
        Self { revision: Some(revision), ..Self::new(StatusCode::CONFLICT, detail) }
    }

    /// 429: slower; try again after so many seconds.
    #[must_use]
    pub fn too_many(detail: impl Into<String>, retry_after_s: u32) -> Self {
        Self { retry_after_s: Some(retry_after_s), ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// 503: not now; try again after so many seconds.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>, retry_after_s: u32) -> Self {
        Self { retry_after_s: Some(retry_after_s), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What happened, for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_field_is_named_with_what_was_expected_and_found() {
        let problem = Problem::fields(vec![FieldError::new("step", "a duration such as 10s", "abc")]);
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["status"], 400);
        assert_eq!(json["title"], "Bad Request");
        assert_eq!(json["errors"][0]["field"], "step");
        assert_eq!(json["detail"], "step: expected a duration such as 10s, found \"abc\"");
    }

    #[test]
    fn what_a_stranger_sends_comes_back_short() {
        assert_eq!(FieldError::new("x", "y", &"é".repeat(5000)).found.chars().count(), FOUND_CHARS_MAX);
    }
}
