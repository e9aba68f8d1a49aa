//! `cargo xtask test`: everything that must be green, step by step, with one closing line.

mod tally;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::tools::{CHROMIUM_ENV, Servers, cargo_deny, chromium, npm};
use crate::{compile, console, page, workspace};
use tally::Tally;

/// Seeds the properties: every run looks at the same cases unless another seed is named.
const SEED_ENV: &str = "PROPTEST_RNG_SEED";
const SEED: &str = "1";

/// The steps in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Step {
    /// Code is formatted
    Fmt,
    /// Servers, the browser and tools are here
    Tools,
    /// What we depend on is allowed: crates, licences, sources
    Deny,
    /// The page: types, unit tests, build
    Page,
    /// Lints, warnings are errors
    Clippy,
    /// All programs and tests compile
    Build,
    /// Unit, integration and end-to-end tests with real servers
    Tests,
}

impl Step {
    const ALL: [Self; 7] =
        [Self::Fmt, Self::Tools, Self::Deny, Self::Page, Self::Clippy, Self::Build, Self::Tests];

    fn heading(self) -> &'static str {
        match self {
            Self::Fmt => "formatting",
            Self::Tools => "servers and browser",
            Self::Deny => "dependencies",
            Self::Page => "page",
            Self::Clippy => "lints",
            Self::Build => "build",
            Self::Tests => "tests",
        }
    }
}

/// What `test` was asked for.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// One step only
    #[arg(long, value_name = "STEP")]
    only: Option<Step>,
    /// Only tests whose name holds this text
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
}

/// Runs the steps, stops at the first that fails, and closes with `N passed, N failed`.
pub fn run(options: &Options) -> Result<()> {
    let start = Instant::now();
    let steps = options.only.map_or_else(|| Step::ALL.to_vec(), |step| vec![step]);
    let mut times = Vec::new();
    let mut tally = Tally::default();
    let mut failure = None;
    for step in steps {
        console::heading(format!("{} (at {})", step.heading(), clock(start.elapsed())));
        let began = Instant::now();
        let ended = run_step(step, options, &mut tally);
        times.push((step, began.elapsed()));
        if let Err(cause) = ended {
            failure = Some(cause.context(format!("the step `{}` failed", step.heading())));
            break;
        }
    }
    console::heading("summary");
    for (step, time) in times {
        console::line(format!("{:>7}  {}", clock(time), step.heading()));
    }
    console::line(format!("{:>7}  in all", clock(start.elapsed())));
    for name in &tally.failures {
        console::line(format!("failed: {name}"));
    }
    if let Some(failure) = &failure {
        console::error(failure);
    }
    // Last, and alone on its line: machines read it.
    console::line(tally.to_string());
    failure.map_or(Ok(()), |_| bail!(Reported))
}

/// The command failed and has already said why.
#[derive(Debug, Clone, Copy)]
pub struct Reported;

impl std::fmt::Display for Reported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("failed, as reported above")
    }
}

impl std::error::Error for Reported {}

fn run_step(step: Step, options: &Options, tally: &mut Tally) -> Result<()> {
    match step {
        Step::Fmt => {
            compile::run(compile::cargo().args(["fmt", "--all", "--check"]), "cargo fmt --all --check")
        }
        Step::Tools => crate::tools::run(),
        // The database of advisories is not in a package registry: whoever has a network adds `advisories` by hand.
        Step::Deny => compile::run(
            Command::new(cargo_deny()?)
                .args(["--locked", "check", "bans", "licenses", "sources"])
                .current_dir(workspace::root()),
            "cargo deny check bans licenses sources",
        ),
        Step::Page => {
            page::install()?;
            page::script("check")?;
            let mut tests = Command::new(npm()?);
            tests.args(["test", "--silent"]).current_dir(workspace::root().join("gateway/web"));
            counted(&mut tests, "the page's tests", tally)?;
            page::build()
        }
        Step::Clippy => compile::run(
            compile::cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]),
            "cargo clippy",
        ),
        // The same selection as the tests use: cargo compiles everything once.
        Step::Build => {
            compile::run(compile::cargo().args(["build", "--workspace", "--all-targets"]), "cargo build")
        }
        Step::Tests => {
            let servers = Servers::ensure()?;
            let mut tests = compile::cargo();
            tests.args(["test", "--workspace", "--no-fail-fast"]).args(&options.filter);
            tests.envs(servers.env()).env(CHROMIUM_ENV, chromium()?);
            if std::env::var_os(SEED_ENV).is_none() {
                tests.env(SEED_ENV, SEED);
            }
            counted(&mut tests, "cargo test", tally)
        }
    }
}

/// Runs a test runner, shows what it prints and counts what it says.
fn counted(command: &mut Command, what: &str, tally: &mut Tally) -> Result<()> {
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("running {what}"))?;
    let output = child.stdout.take().with_context(|| format!("reading {what}"))?;
    let mut bytes = Vec::new();
    let mut output = BufReader::new(output);
    while output.read_until(b'\n', &mut bytes).with_context(|| format!("reading {what}"))? > 0 {
        let line = String::from_utf8_lossy(&bytes);
        console::line(line.trim_end());
        tally.read(&line);
        bytes.clear();
    }
    let status = child.wait().with_context(|| format!("waiting for {what}"))?;
    if status.success() { Ok(()) } else { bail!("{what} failed ({status}); see above") }
}

fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}
