//! The outside heartbeat: a URL is called each minute while alerts keep up with the log, so that a service elsewhere
//! notices when they no longer do.

use crate::http;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use watchkeeper_schemas::quantity::UnixMs;

/// Between two calls.
const EVERY: Duration = Duration::from_secs(60);
/// And after one that was not answered well.
const AGAIN: Duration = Duration::from_secs(10);
/// Between two looks whether it is time.
const LOOK: Duration = Duration::from_secs(1);
/// A tick that was handled and is older does not show that alerts keep up, in milliseconds.
const KEEPS_UP_MS: u64 = 10_000;
/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Characters of a URL.
const URL_CHARS_MAX: usize = 2048;

/// Why a heartbeat cannot be kept up.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    File(#[from] std::io::Error),
    /// It holds something else. What it holds may be secret and is not told.
    #[error("expected one line that begins with https:// or http://, at most {URL_CHARS_MAX} characters")]
    Url,
}

/// Reads the URL that a file holds.
///
/// # Errors
/// When there is none.
pub fn url(file: &Path) -> Result<String, UrlError> {
    let text = std::fs::read_to_string(file)?;
    let line = text.trim();
    let is_url =
        ["https://", "http://"].iter().any(|scheme| line.strip_prefix(scheme).is_some_and(is_address));
    if is_url && line.len() <= URL_CHARS_MAX { Ok(line.to_owned()) } else { Err(UrlError::Url) }
}

fn is_address(rest: &str) -> bool {
    !rest.is_empty() && !rest.starts_with('/') && rest.chars().all(|it| it.is_ascii_graphic())
}

/// When it is time for a call.
#[derive(Debug, Default)]
struct Due {
    at: Option<Instant>,
}

impl Due {
    /// Whether to call now, where the newest tick that was handled says `ticked`.
    fn is_now(&self, ticked: UnixMs, wall: UnixMs, now: Instant) -> bool {
        let keeps_up = wall.0.saturating_sub(ticked.0) < KEEPS_UP_MS;
        keeps_up && self.at.is_none_or(|at| at <= now)
    }

    /// A call was made.
    fn called(&mut self, well: bool, now: Instant) {
        self.at = Some(now + if well { EVERY } else { AGAIN });
    }
}

/// Calls the URL for as long as alerts keep up, until it is dropped.
pub async fn keep(url: String, ticked: watch::Receiver<UnixMs>) {
    let agent = http::agent(ANSWER_MAX);
    let (mut due, mut was_well) = (Due::default(), true);
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let newest = *ticked.borrow();
        if !due.is_now(newest, wall(), Instant::now()) {
            continue;
        }
        let (caller, address) = (agent.clone(), url.clone());
        let told = tokio::task::spawn_blocking(move || call(&caller, &address)).await;
        let told = told.unwrap_or_else(|error| Err(error.to_string()));
        due.called(told.is_ok(), Instant::now());
        match &told {
            Ok(()) if !was_well => tracing::info!("the outside heartbeat is answered again"),
            // The URL is a secret: only what came of it is told.
            Err(why) if was_well => tracing::warn!(%why, "the outside heartbeat is not answered"),
            Ok(()) | Err(_) => {}
        }
        was_well = told.is_ok();
    }
}

fn call(agent: &ureq::Agent, url: &str) -> Result<(), String> {
    match agent.get(url).call() {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("HTTP status {}", answer.status().as_u16())),
        Err(ureq::Error::Timeout(_)) => Err(format!("no answer within {ANSWER_MAX:?}")),
        Err(ureq::Error::Io(error)) => Err(error.to_string()),
        Err(_) => Err("the address cannot be called".to_owned()),
    }
}

fn wall() -> UnixMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn it_beats_each_minute_sooner_after_a_failure_and_never_while_alerts_lag() {
        let (begin, at) = (Instant::now(), |seconds| Duration::from_secs(seconds));
        let mut due = Due::default();
        assert!(!due.is_now(UnixMs(0), UnixMs(50_000), begin), "nothing was handled yet");
        assert!(due.is_now(UnixMs(50_000), UnixMs(59_999), begin));
        assert!(!due.is_now(UnixMs(50_000), UnixMs(60_000), begin), "the newest tick is ten seconds old");
        due.called(true, begin);
        assert!(!due.is_now(UnixMs(99_000), UnixMs(99_000), begin + at(59)));
        assert!(due.is_now(UnixMs(99_000), UnixMs(99_000), begin + at(60)));
        due.called(false, begin);
        assert!(due.is_now(UnixMs(99_000), UnixMs(99_000), begin + at(10)));
    }

    #[test]
    fn a_file_holds_one_url_and_what_else_it_holds_is_not_told() {
        let held = |text: &str| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            url(file.path()).map_err(|error| error.to_string())
        };
        assert_eq!(held("https://hc.example/ping/x?y=1\n").unwrap(), "https://hc.example/ping/x?y=1");
        for wrong in ["", "secret", "ftp://a", "https://", "https:///x", "http://a b", "http://a\nhttp://b"] {
            let told = held(wrong).unwrap_err();
            assert!(told.starts_with("expected one line") && !told.contains("secret"), "{wrong:?}: {told}");
        }
        assert!(held(&format!("https://{}", "a".repeat(URL_CHARS_MAX))).is_err());
    }
}
