//! The body of a request: JSON of one known form, small, with nothing in it that is not asked for.

use crate::http::problem::{FieldError, Problem};
use axum::body::Body as Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use std::ops::RangeInclusive;

/// Bytes of a body at most.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// A body that a route takes. Its struct refuses unknown fields; the table's test makes sure of that.
pub trait Body: DeserializeOwned + Send + 'static {
    /// Notes every value that cannot be.
    fn check(&self, mistakes: &mut Mistakes) {
        let _nothing_to_check = mistakes;
    }
}

/// What is wrong with a body, field by field.
#[derive(Debug, Default)]
pub struct Mistakes(Vec<FieldError>);

impl Mistakes {
    /// Notes a mistake; `found` is cut where it is long and never a secret.
    pub fn note(&mut self, field: &str, expected: impl Into<String>, found: &str) {
        self.0.push(FieldError::new(field, expected, found));
    }

    /// A text of so many characters, none of which steers a terminal or the direction of writing.
    pub fn text(&mut self, field: &str, text: &str, chars: RangeInclusive<usize>) {
        let count = text.chars().count();
        if !chars.contains(&count) {
            self.note(field, format!("{} to {} characters", chars.start(), chars.end()), &format!("{count}"));
        } else if text.trim() != text || text.chars().any(is_unseen) {
            self.note(field, "text without control characters, and without spaces at its ends", text);
        }
    }

    /// A number within a range.
    pub fn number<N: PartialOrd + std::fmt::Display>(
        &mut self,
        field: &str,
        number: N,
        range: RangeInclusive<N>,
    ) {
        if !range.contains(&number) {
            self.note(field, format!("{} to {}", range.start(), range.end()), &number.to_string());
        }
    }

    /// Nothing, or the refusal.
    ///
    /// # Errors
    /// 400 with every mistake.
    pub fn into_result(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::fields(self.0)) }
    }
}

impl Mistakes {
    /// Nothing, or the refusal of what reads well and names what is not there.
    ///
    /// # Errors
    /// 422 with every mistake.
    pub fn into_found(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::unprocessable(self.0)) }
    }
}

/// Control characters, and those that reverse or hide what is written.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Reads a body.
///
/// # Errors
/// 415 where it is not JSON, 413 where it is too long, 400 with the field that is wrong.
pub async fn read<B: Body>(headers: &HeaderMap, body: Bytes) -> Result<B, Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let detail = "the body has to be JSON, and its content type application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let too_long = |_| {
        let detail = format!("the body has more than {BODY_BYTES_MAX} bytes, or did not come whole");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    let bytes = axum::body::to_bytes(body, BODY_BYTES_MAX).await.map_err(too_long)?;
    let body: B = parse(&bytes)?;
    let mut mistakes = Mistakes::default();
    body.check(&mut mistakes);
    mistakes.into_result()?;
    Ok(body)
}

/// serde_json goes 128 deep and no further.
fn parse<B: Body>(bytes: &[u8]) -> Result<B, Problem> {
    // serde takes a list of values for a struct, too.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::fields(vec![FieldError::new("body", "a JSON object", "something else")]));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut json);
    let body = read.map_err(|error| {
        let path = error.path().to_string();
        let told = error.into_inner().to_string();
        // The place in the text follows the reason.
        let reason = told.rsplit_once(" at line ").map_or(told.as_str(), |(reason, _)| reason);
        Problem::fields(vec![mistake(&path, reason)])
    })?;
    json.end()
        .map_err(|_| Problem::fields(vec![FieldError::new("body", "one JSON object", "more behind it")]))?;
    Ok(body)
}

/// serde says "invalid type: X, expected Y", or names a field in backticks; ids say "host id X is not valid: expected Y".
fn mistake(path: &str, reason: &str) -> FieldError {
    let (found, expected) = reason.split_once("expected ").unwrap_or(("", reason));
    let named = reason.split('`').nth(1).unwrap_or_default();
    let within = |name: &str| if path == "." { name.to_owned() } else { format!("{path}.{name}") };
    if reason.starts_with("missing field") {
        return FieldError::new(&within(named), "to be there", "nothing");
    }
    if reason.starts_with("duplicate field") {
        return FieldError::new(&within(named), "to be there once", "twice");
    }
    let field = if path == "." { "body" } else { path };
    FieldError::new(field, expected, found.trim_end_matches([',', ' ', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use watchkeeper_schemas::ids::HostId;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Example {
        id: HostId,
        interval_ms: u32,
        #[serde(default)]
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Inner {
        team: HostId,
    }

    impl Body for Example {
        fn check(&self, mistakes: &mut Mistakes) {
            mistakes.number("interval_ms", self.interval_ms, 1000..=3_600_000);
        }
    }

    async fn refused(body: &str) -> serde_json::Value {
        let headers =
            [(CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap())].into_iter().collect();
        let problem = read::<Example>(&headers, body.to_owned().into()).await.unwrap_err();
        serde_json::to_value(&problem).unwrap()
    }

    #[tokio::test]
    async fn the_wrong_field_is_named() {
        let deep = format!(
            "{{\"id\":\"a\",\"interval_ms\":1000,\"inner\":{}1{}}}",
            "[".repeat(20_000),
            "]".repeat(20_000)
        );
        for (body, field) in [
            ("{\"id\":\"a\",\"interval_ms\":1000,\"team\":\"b\"}", "team"),
            ("{\"id\":\"A.b\",\"interval_ms\":1000}", "id"),
            ("{\"id\":\"a\",\"interval_ms\":1e400}", "interval_ms"),
            ("{\"id\":\"a\",\"interval_ms\":-1}", "interval_ms"),
            ("{\"id\":\"a\",\"interval_ms\":NaN}", "interval_ms"),
            ("{\"id\":\"a\",\"interval_ms\":999}", "interval_ms"),
            ("{\"id\":\"a\",\"interval_ms\":1000,\"inner\":{\"team\":\"a\",\"x\":1}}", "inner.x"),
            ("{\"id\":\"a\",\"id\":\"b\",\"interval_ms\":1000}", "id"),
            (&deep, "inner"),
            ("{\"id\":\"a\"}", "interval_ms"),
            ("{\"id\":\"a\",\"interval_ms\":1000} {}", "body"),
            ("", "body"),
            ("[]", "body"),
            ("[\"a\",1000,null]", "body"),
        ] {
            let problem = refused(body).await;
            assert_eq!(problem["status"], 400);
            let named = problem["errors"][0]["field"].as_str().unwrap();
            assert!(named == field || named.starts_with(&format!("{field}[")), "{body:.80}: {problem}");
        }
    }

    #[tokio::test]
    async fn what_is_not_json_or_too_long_is_refused_before_it_is_read() {
        let form = [(CONTENT_TYPE, "text/plain".parse().unwrap())].into_iter().collect();
        assert_eq!(read::<Example>(&form, "{}".into()).await.unwrap_err().status(), 415);
        assert_eq!(refused(&" ".repeat(BODY_BYTES_MAX + 1)).await["status"], 413);
    }

    #[test]
    fn text_that_deceives_is_refused() {
        for bad in ["a\u{202e}b", "a\0", " a", "a\n", "\u{200b}", ""] {
            let mut mistakes = Mistakes::default();
            mistakes.text("name", bad, 1..=64);
            assert!(mistakes.into_result().is_err(), "{bad:?}");
        }
        let mut mistakes = Mistakes::default();
        mistakes.text("name", "Zürich <script> 🦀 ok", 1..=64);
        assert!(mistakes.into_result().is_ok());
    }
}
