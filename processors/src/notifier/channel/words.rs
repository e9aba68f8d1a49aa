//! A message in words for channels that show text: every piece that comes from elsewhere is made harmless, escaped and
//! cut by itself, so that nothing is cut amid an escape. Pure.

use crate::notifier::message::{Body, Line, Message};
use jiff::Timestamp;
use watchkeeper_schemas::notice::NoticeWord;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::rule::Severity;

/// Most that a name, a value in words or a remark takes, as its channel counts.
const NAME_MAX: usize = 96;
const VALUE_MAX: usize = 160;
const REMARK_MAX: usize = 240;
/// Bytes of a link; a longer one is left out.
const LINK_BYTES_MAX: usize = 512;
/// Kept free for saying how many lines had no place.
const REST_MAX: usize = 48;
/// Between the facts of one line.
const BETWEEN: &str = " · ";

/// How a channel takes text.
#[derive(Clone, Copy)]
pub(super) struct Form {
    /// What one character becomes.
    pub(super) escape: fn(char, &mut String),
    /// How the channel counts.
    pub(super) size: fn(&str) -> usize,
}

/// Text that nothing reads but people, counted in bytes.
pub(super) const PLAIN: Form = Form { escape: |c, text| text.push(c), size: str::len };

/// As most programs of chats count.
pub(super) fn utf16(text: &str) -> usize {
    text.encode_utf16().count()
}

impl Form {
    /// A text from elsewhere, of `max` at most.
    pub(super) fn piece(&self, raw: &str, max: usize) -> String {
        let (mut text, mut size, mut next) = (String::new(), 0, String::new());
        let room = max.saturating_sub((self.size)("…"));
        let mut cut = 0;
        for character in harmless(raw) {
            next.clear();
            (self.escape)(character, &mut next);
            size += (self.size)(&next);
            if size > max {
                text.truncate(cut);
                text.push('…');
                return text;
            }
            text.push_str(&next);
            if size <= room {
                cut = text.len();
            }
        }
        text
    }

    /// What a line is about: how bad, where, which rule.
    pub(super) fn headline(&self, line: &Line) -> String {
        let mut text = format!("{}: ", word(line));
        if let Some(host) = &line.host {
            text.push_str(&self.piece(host, NAME_MAX));
            text.push_str(": ");
        }
        text.push_str(&self.piece(&line.rule, NAME_MAX));
        if !line.series.is_empty() {
            text.push(' ');
            text.push_str(&self.piece(&line.series, NAME_MAX));
        }
        text
    }

    /// What else is known of it.
    pub(super) fn facts(&self, line: &Line) -> String {
        let mut facts = Vec::new();
        if !line.what.is_empty() {
            facts.push(self.piece(&line.what, VALUE_MAX));
        }
        facts.push(format!("since {}", moment(line.since)));
        facts.extend(line.duration_ms.map(|ms| format!("lasted {}", duration(ms))));
        if !line.peak.is_empty() {
            facts.push(format!("worst {}", self.piece(&line.peak, VALUE_MAX)));
        }
        if !line.note.is_empty() {
            facts.push(self.piece(&line.note, REMARK_MAX));
        }
        facts.join(BETWEEN)
    }

    /// What a message is about, in one line.
    pub(super) fn title(&self, message: &Message) -> String {
        match &message.body {
            Body::Test { .. } => "Test of Watchkeeper".to_owned(),
            Body::Alerts { lines, .. } => {
                let first = lines.first().map(|line| self.headline(line)).unwrap_or_default();
                let more = lines.len().saturating_sub(1);
                if more == 0 { first } else { format!("{first} (and {more} more)") }
            }
        }
    }

    /// What people call the team.
    pub(super) fn team(&self, message: &Message) -> String {
        self.piece(&message.team_name, NAME_MAX)
    }

    /// A text of our own, escaped and whole.
    pub(super) fn ours(&self, text: &str) -> String {
        let mut escaped = String::new();
        text.chars().for_each(|c| (self.escape)(c, &mut escaped));
        escaped
    }

    /// What stands before the lines; all there is in a test.
    pub(super) fn beginning(&self, message: &Message) -> Vec<String> {
        let mut said = Vec::new();
        if message.possible_repeat {
            said.push("Possible repeat: an earlier attempt may have arrived.".to_owned());
        }
        if let Body::Test { by, .. } = &message.body {
            let (by, team) = (self.piece(by, NAME_MAX), self.team(message));
            said.push(format!("Sent by {by} of {team} to see that messages arrive: this one did."));
        }
        said
    }

    /// Everything in one text of `max` at most; what has no place is counted at its end.
    pub(super) fn whole(&self, message: &Message, max: usize, entry: impl Fn(&Line) -> String) -> String {
        let mut parts = self.beginning(message);
        let mut size: usize = parts.iter().map(|part| (self.size)(part) + 2).sum();
        let lines = lines(message);
        for (told, line) in lines.iter().enumerate() {
            let next = entry(line);
            let more = (self.size)(&next) + 2;
            if size + more + REST_MAX > max {
                parts.push(left_out(lines.len() - told));
                break;
            }
            size += more;
            parts.push(next);
        }
        parts.join("\n\n")
    }
}

/// The lines of a message.
pub(super) fn lines(message: &Message) -> &[Line] {
    match &message.body {
        Body::Test { .. } => &[],
        Body::Alerts { lines, .. } => lines,
    }
}

/// Where the page shows what a message is about.
pub(super) fn page(message: &Message) -> Option<String> {
    match (&message.body, lines(message)) {
        (_, [only]) => link(&only.link),
        (Body::Test { link: page, .. } | Body::Alerts { link: page, .. }, _) => link(page),
    }
}

/// How many lines had no place.
pub(super) fn left_out(lines: usize) -> String {
    format!("… and {lines} more on the page")
}

/// The level and the state in one word or two.
pub(super) fn word(line: &Line) -> String {
    let level = match line.level {
        Severity::Info => "Info",
        Severity::Warning => "Warning",
        Severity::Critical => "Critical",
    };
    if line.is_over {
        return "Over".to_owned();
    }
    match line.notice {
        NoticeWord::Firing => level.to_owned(),
        NoticeWord::LevelUp => format!("{level}, worse than before"),
        NoticeWord::Reminder => format!("{level}, still"),
        NoticeWord::Escalated => format!("{level}, and nobody looks after it"),
        NoticeWord::Flapping => format!("{level}, comes and goes"),
        NoticeWord::Steady => format!("{level}, no longer comes and goes"),
        NoticeWord::Resolved => "Over".to_owned(),
    }
}

/// The worst level of what lasts; none: all is over, or a test.
pub(super) fn worst(message: &Message) -> Option<Severity> {
    lines(message).iter().filter(|line| !line.is_over).map(|line| line.level).max()
}

/// A URL of the page that no form can take for anything else.
pub(super) fn link(raw: &str) -> Option<String> {
    if !raw.starts_with("https://") && !raw.starts_with("http://") {
        return None;
    }
    let mut url = String::new();
    for byte in raw.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/?#@!$&+,;=%".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    (url.len() <= LINK_BYTES_MAX).then_some(url)
}

/// Without what breaks lines, turns their direction, cannot be seen, calls people or makes links.
fn harmless(raw: &str) -> impl Iterator<Item = char> {
    let seen = raw.chars().filter(|c| !is_invisible(*c)).map(|c| if is_break(c) { ' ' } else { c });
    let mut before = ' ';
    seen.flat_map(move |c| {
        let breaks_up = before == '@' || (before == ':' && c == '/');
        before = c;
        breaks_up.then_some('\u{200b}').into_iter().chain([c])
    })
}

fn is_break(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
    ) || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e007f}' | '\u{3164}' | '\u{ffa0}')
}

/// A moment as people read it.
pub(super) fn moment(time: UnixMs) -> String {
    let at = i64::try_from(time.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.unwrap_or(Timestamp::MAX).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The two largest parts of a duration.
pub(super) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let pair = |large: u64, unit: &str, small: u64, part: &str| {
        if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {part}") }
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => pair(minutes, "min", seconds % 60, "s"),
        (0, _, _) => pair(hours, "h", minutes, "min"),
        _ => pair(days, "d", hours, "h"),
    }
}

#[cfg(test)]
pub(super) mod tests;
