//! What a developer reads on the terminal; the only file of xtask that prints.

use std::io::Write;

/// A line of plain text on standard output. A closed pipe is not our failure, so nothing is reported.
pub fn line(text: impl AsRef<str>) {
    writeln!(std::io::stdout().lock(), "{}", text.as_ref()).ok();
}

/// Opens a step: what happens now.
pub fn heading(text: impl AsRef<str>) {
    line(format!("\n== {}", text.as_ref()));
}

/// Something the developer should know and need not act on at once, on standard error.
pub fn warn(text: impl AsRef<str>) {
    writeln!(std::io::stderr().lock(), "warning: {}", text.as_ref()).ok();
}

/// Why the command ends in failure, the whole chain of causes, on standard error.
pub fn error(failure: &anyhow::Error) {
    writeln!(std::io::stderr().lock(), "error: {failure:#}").ok();
}
