//! Names that somebody chose to do harm: markup of every channel, mentions, links, breaks of lines and of encodings.

use crate::messages::{line, message};
use watchkeeper_processors::notifier::message::{Line, Message};

/// Names in all.
const NAMES: usize = 10_000;
/// Names of one line.
const NAMES_A_LINE: usize = 6;

const PIECES: [&str; 62] = [
    "<b>x</b>",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</p></body>",
    "<!channel>",
    "<!here|x>",
    "<!everyone>",
    "<@U024BE7LH>",
    "<@&12345>",
    "<@!12345>",
    "<#C024BE7LR>",
    "<:a:123>",
    "<t:1700000000:R>",
    "<https://evil.example|Open>",
    "https://evil.example/x",
    "http://evil.example",
    "[Open](https://evil.example)",
    "![i](https://evil.example/p.png)",
    "@everyone",
    "@here",
    "@channel",
    "@all",
    "@alice",
    "*bold*",
    "**bold**",
    "_i_",
    "__u__",
    "~s~",
    "~~s~~",
    "`code`",
    "```\nblock\n```",
    "||spoiler||",
    "> quote",
    ">>> quote",
    "# head",
    "-# small",
    "- list",
    "1. list",
    "===",
    "---",
    "| a | b |",
    "\\",
    "\\\\",
    "\\*",
    "&amp;",
    "&lt;",
    "&#60;",
    "&",
    "&&&&",
    "\r\nBcc: eve@evil.example",
    "\nSubject: x",
    "\r\n\r\n<b>",
    "\r\n.\r\n",
    "\0",
    "\u{1b}[31m",
    "\u{202e}gpj.exe",
    "\u{2066}x\u{2069}",
    "\u{200b}@here",
    "\u{2028}# x",
    "😀👩‍👩‍👧",
    "e\u{301}\u{301}",
    ":skull:",
];

/// A small generator, for the same names in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        for _ in 0..=self.below(12) {
            name.push_str(PIECES[self.below(PIECES.len())]);
            name.push_str(["", " ", "a", "xyz", "<", "&"][self.below(6)]);
        }
        name
    }
}

/// Messages of so many lines that tell all names, wherever a name may stand.
pub(crate) fn messages(lines: usize) -> Vec<Message> {
    let mut dice = Dice(7);
    let names = |dice: &mut Dice| Line {
        host: Some(dice.name()),
        rule: dice.name(),
        series: dice.name(),
        what: dice.name(),
        note: dice.name(),
        peak: dice.name(),
        ..line()
    };
    let one = |dice: &mut Dice| {
        let lines = (0..lines).map(|_| names(dice)).collect();
        Message { team_name: dice.name(), ..message(lines) }
    };
    (0..NAMES.div_ceil(lines * NAMES_A_LINE)).map(|_| one(&mut dice)).collect()
}

/// A text as people see it: nothing that cannot be seen, no whole URL but ours, nobody called.
pub(crate) fn check_text(text: &str) {
    let odd = |c: char| {
        (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.contains(odd), "{text:?}");
    for call in ["@everyone", "@here", "@channel", "@all", "@alice", "://evil"] {
        assert!(!text.contains(call), "{call}: {text:?}");
    }
}
