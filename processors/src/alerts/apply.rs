//! `rules apply`: makes a team's rules equal to a file, through the HTTP API, and shows the difference first.

mod api;
mod plan;

use super::decision::FileRule;
use anyhow::{Context as _, bail};
use api::{Api, Refusal};
use clap::Args;
use plan::{Change, Wanted, plan};
use std::io::{BufRead as _, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

/// Holds the token where no file is named.
const TOKEN_ENV: &str = "WATCHKEEPER_TOKEN";

/// Makes a team's rules equal to a file: shows what is different, asks, and does it.
#[derive(Debug, Args)]
#[command(
    after_help = "The token is a personal one that may write (Account, API tokens). It is read from the file, or from WATCHKEEPER_TOKEN.
Exit codes: 0 the rules are those of the file, 1 they are not (--dry-run, not confirmed, or some were refused), 2 nothing could be done."
)]
pub(super) struct Apply {
    /// Rules as `replay` reads them: a JSON list of {"id", "text", "name", "scope", "receivers", "escalation", "state"}.
    file: PathBuf,
    /// The gateway, as https://watch.example.org.
    #[arg(long, env = "WATCHKEEPER_URL")]
    url: String,
    /// The team; needed by whoever is in several.
    #[arg(long, env = "WATCHKEEPER_TEAM")]
    team: Option<String>,
    /// File that holds the token.
    #[arg(long, env = "WATCHKEEPER_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Does it without asking.
    #[arg(long)]
    yes: bool,
    /// Only shows what is different.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Takes a gateway without TLS that is not on this machine.
    #[arg(long)]
    allow_http: bool,
}

impl Apply {
    /// Whether the rules are those of the file now.
    ///
    /// # Errors
    /// When file or token cannot be read, or the gateway cannot be asked.
    pub(super) fn run(&self, out: &mut impl Write) -> anyhow::Result<bool> {
        let wanted = read(&self.file)?;
        let api = Api::new(&self.url, self.team.as_deref(), &self.token()?, self.allow_http)?;
        let changes = plan(wanted, api.rules()?).map_err(|error| at(&self.file, &error))?;
        if changes.is_empty() {
            writeln!(out, "nothing to do: the rules are those of {}", self.file.display())?;
            return Ok(true);
        }
        changes.iter().flat_map(Change::told).try_for_each(|line| writeln!(out, "{line}"))?;
        let sum = sum(&changes);
        if self.dry_run {
            writeln!(out, "{sum}; nothing was done")?;
            return Ok(false);
        }
        if !self.yes && !confirmed(&sum, out)? {
            writeln!(out, "nothing was done")?;
            return Ok(false);
        }
        make(&api, &changes, out)
    }

    fn token(&self) -> anyhow::Result<String> {
        let token = match &self.token_file {
            Some(path) => std::fs::read_to_string(path).map_err(|error| at(path, &error))?,
            None => std::env::var(TOKEN_ENV).with_context(|| {
                format!("there is no token: name its file with --token-file, or set {TOKEN_ENV}")
            })?,
        };
        Ok(token.trim().to_owned())
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<Wanted>> {
    let text = std::fs::read_to_string(file).map_err(|error| at(file, &error))?;
    let rules: Vec<FileRule> = serde_json::from_str(&text).map_err(|error| at(file, &error))?;
    let wanted = rules.into_iter().map(|rule| {
        let (id, name, rule) = rule.saved()?;
        Ok(Wanted { id, name, rule })
    });
    wanted.collect::<Result<_, String>>().map_err(|error| at(file, &error))
}

fn at(file: &Path, what: &dyn std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("{}: {what}", file.display())
}

fn sum(changes: &[Change]) -> String {
    let count = |is: fn(&Change) -> bool| changes.iter().filter(|change| is(change)).count();
    let made = count(|it| matches!(it, Change::Create { .. }));
    let changed = count(|it| matches!(it, Change::Edit { .. }));
    let removed = count(|it| matches!(it, Change::Delete { .. }));
    format!("{made} to make, {changed} to change, {removed} to remove")
}

/// Asks a person; nobody there is no answer.
fn confirmed(sum: &str, out: &mut impl Write) -> anyhow::Result<bool> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!("{sum}: nobody can be asked without a terminal; add --yes to do it, or --dry-run to look");
    }
    write!(out, "{sum}. Do it? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Does one after another; a refusal is told and stops no other.
fn make(api: &Api, changes: &[Change], out: &mut impl Write) -> anyhow::Result<bool> {
    let (mut done, mut refused) = (0_usize, 0_usize);
    for change in changes {
        match api.make(change) {
            Ok(()) => done += 1,
            Err(Refusal::Said(why)) => {
                refused += 1;
                writeln!(out, "refused: {}: {why}", change.id())?;
            }
            Err(Refusal::NoAnswer(error)) => {
                writeln!(out, "{done} of {} done", changes.len())?;
                out.flush()?;
                return Err(error.context(format!("rule {}: it may have been done or not", change.id())));
            }
        }
    }
    writeln!(out, "{done} done, {refused} refused")?;
    Ok(refused == 0)
}
