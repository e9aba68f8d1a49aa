//! Where the running system is and with which credential a fleet speaks to it.

use super::Options;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use watchkeeper_schemas::ids::TeamId;

/// Address, credential and team.
pub(super) struct Target {
    pub(super) nats: String,
    pub(super) creds: PathBuf,
    pub(super) team: TeamId,
}

#[derive(Deserialize)]
struct ReadyFile {
    nats: String,
    team: TeamId,
    creds: ReadyCreds,
}

#[derive(Deserialize)]
struct ReadyCreds {
    fleet: PathBuf,
}

/// Flags first, then the ready file; without one the team is `default`.
pub(super) fn find(options: &Options) -> Result<Target> {
    let ready = options.ready_file.as_ref().map(|file| {
        let told = || format!("reading the ready file {}", file.display());
        let text = fs::read_to_string(file).with_context(told)?;
        serde_json::from_str::<ReadyFile>(&text).with_context(told)
    });
    let ready = ready.transpose()?;
    let (nats, creds, team) = match ready {
        Some(ready) => (Some(ready.nats), Some(ready.creds.fleet), Some(ready.team)),
        None => (None, None, None),
    };
    Ok(Target {
        nats: options.nats.clone().or(nats).context("neither --nats nor --ready-file is given")?,
        creds: options.creds.clone().or(creds).context("neither --creds nor --ready-file is given")?,
        team: options.team.clone().or(team).map_or_else(|| "default".parse(), Ok)?,
    })
}

/// Reads `5s`, `500ms` or `1m`.
pub(super) fn parse_tick(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let amount: u64 = digits.parse().map_err(|_| "expected a duration such as 5s or 500ms")?;
    let tick = match &text[digits.len()..] {
        "ms" => Duration::from_millis(amount),
        "s" => Duration::from_secs(amount),
        "m" => Duration::from_secs(amount.saturating_mul(60)),
        _ => return Err("expected a duration such as 5s or 500ms".to_owned()),
    };
    let allowed = Duration::from_millis(100)..=Duration::from_secs(3600);
    if allowed.contains(&tick) { Ok(tick) } else { Err("expected 100ms to 60m".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_needs_a_unit_and_a_sane_length() {
        assert_eq!(parse_tick("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_tick("5s"), Ok(Duration::from_secs(5)));
        for bad in ["", "5", "s", "5 s", "1.5s", "1ms", "2000m", "99999999999999999999s"] {
            assert!(parse_tick(bad).is_err(), "{bad:?}");
        }
    }
}
