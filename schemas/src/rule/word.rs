//! Cuts the text of a rule into words, each with its column.

use super::{RuleError, TEXT_BYTES_MAX};

/// A word of the text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Word<'a> {
    pub(super) kind: Kind,
    /// In characters from 1.
    pub(super) column: usize,
    pub(super) text: &'a str,
}

/// What a word can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword, a metric, a label or a unit.
    Name,
    Number,
    String,
    /// A comparison, a bracket, a comma, an equals sign.
    Sign,
    End,
}

/// Every word, the end last.
pub(super) fn words(text: &str) -> Result<Vec<Word<'_>>, RuleError> {
    if text.len() > TEXT_BYTES_MAX {
        let column = text.char_indices().take_while(|(at, _)| *at < TEXT_BYTES_MAX).count() + 1;
        return Err(RuleError::new(column, "more text", format!("at most {TEXT_BYTES_MAX} bytes")));
    }
    let mut words = Vec::new();
    let (mut rest, mut column) = (text, 1);
    loop {
        let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        column += rest.len() - trimmed.len();
        rest = trimmed;
        let Some(first) = rest.chars().next() else { break };
        let (kind, length) = measure(rest, first);
        if length == 0 {
            return Err(RuleError::new(column, rest, expected(kind)));
        }
        let (found, after) = rest.split_at(length);
        words.push(Word { kind, column, text: found });
        column += found.chars().count();
        rest = after;
    }
    words.push(Word { kind: Kind::End, column, text: "" });
    Ok(words)
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "a closing quote",
        Kind::Number => "digits behind the point",
        Kind::Name | Kind::Sign | Kind::End => "a metric, a number, a comparison or a word of the language",
    }
}

/// Kind and bytes of the word in front; 0 where it is none.
fn measure(rest: &str, first: char) -> (Kind, usize) {
    let bytes = rest.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    match first {
        '0'..='9' => (Kind::Number, number(bytes, digits(0))),
        '-' => (Kind::Number, Some(digits(1)).filter(|n| *n > 0).map_or(0, |n| number(bytes, 1 + n))),
        '"' => (Kind::String, string(bytes)),
        '>' | '<' | '=' | '!' => {
            let pair = bytes.get(1) == Some(&b'=');
            (Kind::Sign, if pair { 2 } else { usize::from(first != '!') })
        }
        '(' | ')' | '{' | '}' | ',' => (Kind::Sign, 1),
        '%' => (Kind::Name, 1),
        _ => (Kind::Name, name(rest)),
    }
}

/// Whole digits, and those behind a point.
fn number(bytes: &[u8], whole: usize) -> usize {
    if bytes.get(whole) != Some(&b'.') {
        return whole;
    }
    let decimals = bytes[whole + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
    if decimals == 0 { 0 } else { whole + 1 + decimals }
}

fn string(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    0
}

/// Letters, digits, `_`, `.`, `/`, `°`; a hyphen only between letters.
fn name(rest: &str) -> usize {
    let is_inner = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '/' | '°');
    let mut chars = rest.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let joins = c == '-' && at > 0 && chars.peek().is_some_and(|(_, next)| next.is_ascii_alphabetic());
        if !is_inner(c) && !joins {
            return at;
        }
    }
    rest.len()
}
