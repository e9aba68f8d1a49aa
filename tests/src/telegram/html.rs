//! Reads HTML as Telegram does: known tags only, each closed in turn, no bare `<`, `>` or `&`.

/// A stretch of text that is shown in its own way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// The tag.
    pub tag: String,
    /// Where it leads.
    pub href: Option<String>,
    /// Where it begins and ends in the text, in bytes.
    pub from: usize,
    /// Its end.
    pub to: usize,
}

/// A text as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    /// Without tags and escapes.
    pub text: String,
    /// What is shown in its own way.
    pub entities: Vec<Entity>,
}

const TAGS: [&str; 15] = [
    "b",
    "strong",
    "i",
    "em",
    "u",
    "ins",
    "s",
    "strike",
    "del",
    "tg-spoiler",
    "a",
    "code",
    "pre",
    "blockquote",
    "span",
];
/// Inside these Telegram looks for no links of its own.
const LITERAL: [&str; 3] = ["code", "pre", "a"];

/// Reads a text.
///
/// # Errors
/// What Telegram says of it.
pub fn parse(html: &str) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    let mut open: Vec<Entity> = Vec::new();
    let mut rest = html;
    while let Some(c) = rest.chars().next() {
        let at = html.len() - rest.len();
        match c {
            '<' => {
                let end = rest.find('>').ok_or_else(|| error("Unclosed start tag", at))?;
                let tag = &rest[1..end];
                rest = &rest[end + 1..];
                take_tag(tag, at, &mut open, &mut parsed)?;
            }
            '&' => {
                let end = rest.find(';').filter(|end| *end <= 8);
                let end = end.ok_or_else(|| error("bare \"&\"", at))?;
                let c = unescape(&rest[1..end]).ok_or_else(|| error("unknown escape", at))?;
                parsed.text.push(c);
                rest = &rest[end + 1..];
            }
            '>' => return Err(error("bare \">\"", at)),
            c => {
                parsed.text.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    match open.pop() {
        Some(left) => Err(format!("Can't find end tag corresponding to start tag \"{}\"", left.tag)),
        None => Ok(parsed),
    }
}

fn error(what: &str, at: usize) -> String {
    format!("{what} at byte offset {at}")
}

fn unescape(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        _ => char::from_u32(name.strip_prefix('#')?.parse().ok()?),
    }
}

fn take_tag(tag: &str, at: usize, open: &mut Vec<Entity>, parsed: &mut Parsed) -> Result<(), String> {
    if let Some(name) = tag.strip_prefix('/') {
        let Some(mut entity) = open.pop().filter(|it| it.tag == name) else {
            return Err(error(&format!("Unmatched end tag \"{name}\""), at));
        };
        entity.to = parsed.text.len();
        parsed.entities.push(entity);
        return Ok(());
    }
    let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
    if !TAGS.contains(&name) {
        return Err(error(&format!("Unsupported start tag \"{name}\""), at));
    }
    let href = attributes.strip_prefix("href=\"").and_then(|it| it.strip_suffix('"'));
    if attributes.is_empty() != (name != "a") || (name == "a" && href.is_none_or(|it| it.contains('"'))) {
        return Err(error("attributes that are none", at));
    }
    let href = href.map(|href| parse(href).map(|it| it.text)).transpose()?;
    open.push(Entity { tag: name.to_owned(), href, from: parsed.text.len(), to: 0 });
    Ok(())
}

/// What Telegram makes links of by itself: addresses, mentions, commands, hash tags.
#[must_use]
pub fn found_links(parsed: &Parsed) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = 0;
    for word in parsed.text.split_inclusive(char::is_whitespace) {
        let (from, bare) = (at, word.trim_end());
        at += word.len();
        let is_literal =
            |it: &&Entity| LITERAL.contains(&it.tag.as_str()) && it.from < from + bare.len() && it.to > from;
        if is_link(bare) && !parsed.entities.iter().any(|it| is_literal(&it)) {
            found.push(bare.to_owned());
        }
    }
    found
}

fn is_link(word: &str) -> bool {
    let lower = word.to_lowercase();
    let leads = |sign: char| {
        word.match_indices(sign).any(|(at, _)| {
            let begins = !word[..at].ends_with(|c: char| c.is_alphanumeric());
            begins && word[at + sign.len_utf8()..].starts_with(|c: char| c.is_alphabetic())
        })
    };
    let has_domain = word.split(|c: char| !c.is_alphanumeric() && c != '.' && c != '-').any(|part| {
        let last = part.rsplit('.').next().unwrap_or_default();
        part.len() > last.len() + 1 && last.len() >= 2 && last.chars().all(char::is_alphabetic)
    });
    lower.contains("://") || has_domain || leads('@') || leads('#') || leads('$') || leads('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_tags_are_read_and_everything_else_is_refused() {
        let parsed = parse("<b>a &lt; b</b> <a href=\"https://x.org/?a&amp;b\">x</a>").unwrap();
        assert_eq!(parsed.text, "a < b x");
        assert_eq!(parsed.entities[1].href.as_deref(), Some("https://x.org/?a&b"));
        for bad in [
            "<b>",
            "</b>",
            "<b></i>",
            "<script>",
            "a < b",
            "a & b",
            "a > b",
            "&nbsp;",
            "<a>x</a>",
            "<b x>y</b>",
            "&lt",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn links_that_nobody_wrote_are_found_outside_of_code() {
        let found = |html: &str| found_links(&parse(html).unwrap());
        for linked in ["see evil.com now", "@someone", "(/reboot)", "#tag", "http://x", "a@b.org"] {
            assert_eq!(found(linked).len(), 1, "{linked}");
            assert_eq!(found(&format!("<code>{linked}</code>")), Vec::<String>::new(), "{linked}");
        }
        assert_eq!(found("97.2 % at 14:13:20, I/O 3"), Vec::<String>::new());
    }
}
