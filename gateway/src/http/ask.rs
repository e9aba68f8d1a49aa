//! What a request asks for: read strictly, every mistake told at once, nothing unknown accepted.

use crate::http::problem::{FieldError, Problem};
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use std::borrow::Cow;
use std::str::FromStr;

/// Pairs that are read from a query; more are refused.
const PAIRS_MAX: usize = 32;

/// Something that a route asks for in path, query and headers.
pub trait Ask: Sized {
    /// The names that the query may hold.
    const QUERY: &'static [&'static str];

    /// Reads it; `None` once a mistake was noted that leaves nothing to go on with.
    fn read(request: &mut Reader<'_>) -> Option<Self>;
}

/// A request as [`Ask`] reads it: notes mistakes instead of stopping at the first.
#[derive(Debug)]
pub struct Reader<'a> {
    path: Vec<(String, String)>,
    query: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    headers: &'a HeaderMap,
    mistakes: Vec<FieldError>,
}

impl<'a> Reader<'a> {
    /// `common` is what the route's table lets every query of its kind hold.
    fn new(
        names: &[&str],
        common: &[&str],
        path: Vec<(String, String)>,
        query: &'a str,
        headers: &'a HeaderMap,
    ) -> Self {
        let names: Vec<&str> = names.iter().chain(common).copied().collect();
        let query: Vec<_> = form_urlencoded::parse(query.as_bytes()).take(PAIRS_MAX + 1).collect();
        let mut reader = Self { path, query, headers, mistakes: Vec::new() };
        let known =
            if names.is_empty() { "no parameters".into() } else { format!("one of {}", names.join(", ")) };
        for (index, (name, value)) in reader.query.iter().enumerate() {
            if !names.contains(&name.as_ref()) {
                reader.mistakes.push(FieldError::new(name, known.as_str(), value));
            } else if reader.query[..index].iter().any(|(earlier, _)| earlier == name) {
                reader.mistakes.push(FieldError::new(name, "one value", value));
            }
        }
        reader.mistakes.truncate(PAIRS_MAX);
        reader
    }

    /// A part of the path by its name in the route.
    #[must_use]
    pub fn path(&self, name: &str) -> &str {
        self.path.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// A header, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A parameter as it stands in the query.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone().into_owned())
    }

    /// A parameter read by `parse`, whose error says what it expected; `None` where absent or noted as a mistake.
    pub fn optional<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Cow<'static, str>>,
    ) -> Option<T> {
        let text = self.text(name)?;
        parse(&text).map_err(|expected| self.mistake(name, expected, &text)).ok()
    }

    /// A parameter that must be there.
    pub fn required<T>(
        &mut self,
        name: &str,
        missing: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Cow<'static, str>>,
    ) -> Option<T> {
        if self.text(name).is_none() {
            self.mistake(name, missing, "nothing");
        }
        self.optional(name, parse)
    }

    /// Notes a mistake.
    pub fn mistake(&mut self, field: &str, expected: impl Into<String>, found: &str) {
        self.mistakes.push(FieldError::new(field, expected, found));
    }
}

/// Reads what a request asks for.
///
/// # Errors
/// Every mistake in it; 404 for a path that is no text.
pub async fn read<A: Ask>(parts: &mut Parts, common: &[&str]) -> Result<A, Problem> {
    let path = match RawPathParams::from_request_parts(parts, &()).await {
        Ok(params) => params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        Err(_) => return Err(Problem::not_found("the path is not valid UTF-8 after decoding")),
    };
    let query = parts.uri.query().unwrap_or_default();
    let mut reader = Reader::new(A::QUERY, common, path, query, &parts.headers);
    let read = A::read(&mut reader);
    match read {
        Some(read) if reader.mistakes.is_empty() => Ok(read),
        Some(_) | None => Err(Problem::fields(reader.mistakes)),
    }
}

/// Asks for nothing but what the route is.
#[derive(Debug)]
pub struct Nothing;

impl Ask for Nothing {
    const QUERY: &'static [&'static str] = &[];
    fn read(_: &mut Reader<'_>) -> Option<Self> {
        Some(Self)
    }
}

/// Something by the `{id}` in the path.
#[derive(Debug)]
pub struct ById<T> {
    /// Which; nothing where none can have that id.
    pub id: Option<T>,
}

impl<T: FromStr> Ask for ById<T> {
    const QUERY: &'static [&'static str] = &[];
    fn read(request: &mut Reader<'_>) -> Option<Self> {
        Some(Self { id: request.path("id").parse().ok() })
    }
}

/// Something to be removed, by the `{id}` in the path, and its revision.
#[derive(Debug)]
pub struct Removal<T> {
    /// Which; nothing where none can have that id.
    pub id: Option<T>,
    /// What it must still be at.
    pub revision: u64,
}

impl<T: FromStr> Ask for Removal<T> {
    const QUERY: &'static [&'static str] = &["revision"];
    fn read(request: &mut Reader<'_>) -> Option<Self> {
        let id = request.path("id").parse().ok();
        let revision = request.required("revision", REVISION, revision)?;
        Some(Self { id, revision })
    }
}

const REVISION: &str = "the revision of what is to be removed";

/// Reads a revision.
///
/// # Errors
/// What was expected.
pub fn revision(text: &str) -> Result<u64, Cow<'static, str>> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // What OpenAPI calls int64 ends there.
    text.parse().ok().filter(|number| digits && *number <= i64::MAX.unsigned_abs()).ok_or(REVISION.into())
}

/// A page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageAsk {
    /// From 1.
    pub page: usize,
    /// Items of a page.
    pub limit: usize,
}

impl PageAsk {
    /// Items of a page at most, and where none is asked for.
    pub const LIMIT_MAX: usize = 1000;
    /// The last page that can be asked for.
    const PAGE_MAX: usize = 1_000_000;

    /// Items before this page.
    #[must_use]
    pub fn skip(self) -> usize {
        (self.page - 1) * self.limit
    }
}

impl Ask for PageAsk {
    const QUERY: &'static [&'static str] = &["page", "limit"];
    fn read(request: &mut Reader<'_>) -> Option<Self> {
        let page = request.optional("page", |text| whole(text, Self::PAGE_MAX)).unwrap_or(1);
        let limit = request.optional("limit", |text| whole(text, Self::LIMIT_MAX)).unwrap_or(Self::LIMIT_MAX);
        Some(Self { page, limit })
    }
}

fn whole(text: &str, max: usize) -> Result<usize, Cow<'static, str>> {
    let number = text.parse().ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| format!("a whole number from 1 to {max}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<A: Ask>(query: &str) -> Result<A, Vec<String>> {
        let headers = HeaderMap::new();
        let mut reader = Reader::new(A::QUERY, &[], Vec::new(), query, &headers);
        let read = A::read(&mut reader);
        match read {
            Some(read) if reader.mistakes.is_empty() => Ok(read),
            Some(_) | None => Err(reader.mistakes.into_iter().map(|it| it.field).collect()),
        }
    }

    #[test]
    fn a_page_is_the_first_unless_said_and_never_larger_than_allowed() {
        assert_eq!(read::<PageAsk>("").unwrap(), PageAsk { page: 1, limit: PageAsk::LIMIT_MAX });
        assert_eq!(read::<PageAsk>("page=3&limit=20").unwrap().skip(), 40);
        for bad in ["limit=0", "limit=1001", "limit=-1", "limit=1e400", "limit=", "limit=NaN"] {
            assert_eq!(read::<PageAsk>(bad).unwrap_err(), ["limit"], "{bad}");
        }
    }

    #[test]
    fn unknown_and_doubled_names_are_refused_with_every_other_mistake() {
        assert_eq!(read::<PageAsk>("pgae=1&limit=x&limit=2").unwrap_err(), ["pgae", "limit", "limit"]);
        assert_eq!(read::<Nothing>("a=1").map(|_| ()).unwrap_err(), ["a"]);
        let many = "x=1&".repeat(1000);
        assert!(read::<Nothing>(&many).map(|_| ()).unwrap_err().len() <= PAIRS_MAX);
    }
}
