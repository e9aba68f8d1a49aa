//! Text in Telegram's HTML, built of pieces that cannot be anything else. Pure.
//!
//! What comes from elsewhere is escaped and stands as code: there Telegram makes no links, mentions or commands of it.

use std::fmt::Write as _;
use watchkeeper_schemas::quantity::UnixMs;

/// Longest text of a message, in UTF-16 units. Telegram counts without tags; here everything counts.
pub const TEXT_UNITS_MAX: usize = 4096;
/// Room that is kept for how many lines were left out.
const MORE_UNITS: usize = 40;
/// Stands for what was cut off.
const CUT: char = '…';
/// Stands for what must not be shown: controls, and marks that turn or hide text.
const HIDDEN: char = '?';

/// A piece of HTML: every tag in it is closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Html(String);

impl Html {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Our own words.
    #[must_use]
    pub fn plain(mut self, words: &str) -> Self {
        self.0.push_str(&escaped(words, usize::MAX, true));
        self
    }

    /// Our own words, heavy.
    #[must_use]
    pub fn bold(mut self, words: &str) -> Self {
        self.wrap("b", &escaped(words, usize::MAX, false));
        self
    }

    /// Words from elsewhere, of at most so many UTF-16 units once escaped; nothing where there are none.
    #[must_use]
    pub fn foreign(mut self, words: &str, units_max: usize) -> Self {
        let escaped = escaped(words.trim(), units_max, false);
        if !escaped.is_empty() {
            self.wrap("code", &escaped);
        }
        self
    }

    /// A link under our own words; its address as text where Telegram takes no such link. An address that is too long
    /// is left out: half of it leads nowhere.
    #[must_use]
    pub fn link(mut self, words: &str, address: &str, units_max: usize) -> Self {
        let whole = escaped(address, usize::MAX, false);
        if address.is_empty() || units(&whole) > units_max {
            return self;
        }
        if is_public(address) {
            self.0.push_str("<a href=\"");
            self.0.push_str(&whole);
            self.0.push_str("\">");
            self.0.push_str(&escaped(words, usize::MAX, false));
            self.0.push_str("</a>");
            self
        } else {
            self.foreign(address, units_max)
        }
    }

    /// Another piece behind this one.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.0.push_str(&other.0);
        self
    }

    /// How long it is, in UTF-16 units.
    #[must_use]
    pub fn units(&self) -> usize {
        units(&self.0)
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same without any tag, for where Telegram refuses the tags.
    #[must_use]
    pub fn without_tags(&self) -> String {
        let mut plain = String::new();
        let mut is_tag = false;
        for c in self.0.chars() {
            match c {
                '<' => is_tag = true,
                '>' => is_tag = false,
                _ if is_tag => {}
                _ => plain.push(c),
            }
        }
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&")]
            .iter()
            .fold(plain, |text, (entity, c)| text.replace(entity, c))
    }

    fn wrap(&mut self, tag: &str, escaped: &str) {
        // A String takes whatever is written to it.
        write!(self.0, "<{tag}>{escaped}</{tag}>").ok();
    }
}

/// As many blocks as fit between head and tail, and how many those are; what does not fit is counted.
#[must_use]
pub fn page(head: &Html, blocks: &[Html], tail: &Html) -> (Html, usize) {
    let room = TEXT_UNITS_MAX.saturating_sub(head.units() + tail.units() + MORE_UNITS);
    let (mut whole, mut used, mut shown) = (head.clone(), 0, 0);
    for block in blocks {
        used += block.units() + 1;
        if used > room {
            break;
        }
        if !whole.is_empty() {
            whole = whole.plain("\n");
        }
        whole = whole.and(block);
        shown += 1;
    }
    if shown < blocks.len() {
        whole = whole.plain(&format!("\nand {} more", blocks.len() - shown));
    }
    (whole.and(tail), shown)
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Escapes a text and cuts it between characters, so that it is no longer than `units_max`.
fn escaped(text: &str, units_max: usize, keeps_lines: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut used = 0;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let c = if keeps_lines && c == '\n' { c } else { shown(c) };
        let mut buffer = [0; 4];
        let piece = match c {
            '<' => "&lt;",
            '>' => "&gt;",
            '&' => "&amp;",
            '"' => "&quot;",
            other => &*other.encode_utf8(&mut buffer),
        };
        let room_for_cut = usize::from(rest.peek().is_some());
        if used + units(piece) + room_for_cut > units_max {
            if used < units_max {
                escaped.push(CUT);
            }
            break;
        }
        used += units(piece);
        escaped.push_str(piece);
    }
    escaped
}

/// What a character is shown as: nothing that breaks a line, turns the direction of text or is not seen.
fn shown(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' | '\u{2028}' | '\u{2029}' => ' ',
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => HIDDEN,
        c if c.is_control() => HIDDEN,
        c => c,
    }
}

/// Whether Telegram takes a link to there: it refuses what leads nowhere but on the reader's own machine.
#[must_use]
pub fn is_public(address: &str) -> bool {
    let Some(rest) = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")) else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let has_odd =
        address.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>'));
    if has_odd || authority.contains('@') || authority.starts_with('[') {
        return false;
    }
    let host = authority.split(':').next().unwrap_or_default();
    let is_local = host.parse::<std::net::Ipv4Addr>().is_ok_and(|it| it.is_loopback() || it.is_unspecified());
    let is_name = host.split('.').count() > 1 && host.split('.').all(|label| !label.is_empty());
    is_name && !is_local && !host.eq_ignore_ascii_case("localhost") && !host.ends_with(".localhost")
}

/// A moment as people read it, always in UTC: a chat has readers in many zones.
#[must_use]
pub fn moment(time: UnixMs) -> String {
    let ms = i64::try_from(time.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    ms.unwrap_or(jiff::Timestamp::MAX).strftime("%-d %b %H:%M:%S UTC").to_string()
}

/// A length of time in its two largest units.
#[must_use]
pub fn lasting(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, hours, minutes, rest) =
        (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let of = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {large_unit}"),
        small => format!("{large} {large_unit} {small} {small_unit}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, minutes) => of(minutes, "min", rest, "s"),
        (0, hours, minutes) => of(hours, "h", minutes, "min"),
        (days, hours, _) => of(days, "d", hours, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_elsewhere_is_escaped_and_cut_between_characters() {
        let check = |raw: &str, max: usize, expected: &str| {
            assert_eq!(Html::new().foreign(raw, max).as_str(), expected, "{raw:?} in {max}");
        };
        check("web-1", 10, "<code>web-1</code>");
        check("<b>&\"", 100, "<code>&lt;b&gt;&amp;&quot;</code>");
        check("a<<<<", 9, "<code>a&lt;…</code>");
        check("a<<", 9, "<code>a&lt;&lt;</code>");
        check("😀😀😀", 5, "<code>😀😀…</code>");
        check("one\ntwo\u{202e}x\u{0}", 100, "<code>one two?x?</code>");
        check("", 10, "");
        check(" \n ", 10, "");
    }

    #[test]
    fn pages_say_how_much_they_leave_out_and_are_never_too_long() {
        let blocks: Vec<Html> = (0..500).map(|n| Html::new().plain(&format!("line {n} <"))).collect();
        let (page, shown) = page(&Html::new().bold("Hosts"), &blocks, &Html::new().plain("\nend"));
        assert!(page.units() <= TEXT_UNITS_MAX && page.units() > TEXT_UNITS_MAX - 100, "{}", page.units());
        assert!(page.as_str().ends_with(&format!("and {} more\nend", 500 - shown)));
        assert!(page.as_str().starts_with("<b>Hosts</b>\nline 0 &lt;\nline 1"));
    }

    #[test]
    fn without_tags_it_says_the_same() {
        let html = Html::new().bold("A & B").plain("\n<c> ").foreign("&lt;", 100);
        assert_eq!(html.without_tags(), "A & B\n<c> &lt;");
    }

    #[test]
    fn telegram_is_given_no_link_to_the_readers_own_machine() {
        for good in ["https://watch.example.org/alerts/a~b", "http://192.0.2.7:7171/x", "http://10.0.0.1"] {
            assert!(is_public(good), "{good}");
        }
        for bad in [
            "http://127.0.0.1:7171/x",
            "http://localhost:7171",
            "http://x.localhost",
            "http://watch:7171",
            "http://[::1]/",
            "http://a@b.org",
            "ftp://a.org",
            "http://a .org",
            "",
        ] {
            assert!(!is_public(bad), "{bad}");
        }
        let link = |address: &str| Html::new().link("Open", address, 100).as_str().to_owned();
        assert_eq!(link("https://a.org/?a&b"), "<a href=\"https://a.org/?a&amp;b\">Open</a>");
        assert_eq!(link("http://127.0.0.1/"), "<code>http://127.0.0.1/</code>");
    }

    #[test]
    fn times_are_short() {
        assert_eq!(moment(UnixMs(1_790_000_000_000)), "21 Sep 14:13:20 UTC");
        for (ms, text) in [
            (900, "0 s"),
            (61_000, "1 min 1 s"),
            (3_600_000, "1 h"),
            (3_660_000, "1 h 1 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(lasting(ms), text);
        }
    }
}
