//! `cargo xtask up --telegram-double`: Telegram's double beside the system, and how to talk to it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::{Launch, Process, log_tail};
use crate::reaper::Reaper;
use crate::wait::wait_until;
use crate::workspace::Profile;

/// What is built for it.
pub(super) const PACKAGE: &str = "watchkeeper-tests";
const PROGRAM: &str = "telegram-double";
/// The bot's number; its name at the double follows from it.
const BOT: u32 = 700_100;
const SECRET_BYTES: usize = 24;
const LISTEN_DEADLINE: Duration = Duration::from_secs(20);

/// The running double; dropping it stops it.
#[derive(Debug)]
pub(super) struct TelegramDouble {
    process: Option<Process>,
    reaper: Reaper,
    url: String,
    token_file: PathBuf,
}

impl TelegramDouble {
    /// Starts it and waits until it listens.
    pub(super) fn start(profile: Profile, data: &Path) -> Result<Self> {
        let token_file = data.join("telegram-double.token");
        let address_file = data.join("telegram-double.address");
        write_token(&token_file)?;
        if address_file.exists() {
            fs::remove_file(&address_file).context("removing the old address of Telegram's double")?;
        }
        let mut reaper = Reaper::start()?;
        let args = [
            "--token-file".into(),
            token_file.clone().into_os_string(),
            "--address-file".into(),
            address_file.clone().into_os_string(),
        ];
        let log = data.join("logs/telegram-double.log");
        let launch = Launch { program: profile.binary(PROGRAM), args: args.into(), env: Vec::new(), log };
        let mut process = Process::start(&launch, &mut reaper).context("starting Telegram's double")?;
        let url = wait_until("Telegram's double to listen", LISTEN_DEADLINE, || match process.exited() {
            Some(status) => Err(format!("it ended ({status}); {}", log_tail(&launch.log))),
            None => Ok(fs::read_to_string(&address_file).ok()),
        })?;
        Ok(Self { process: Some(process), reaper, url, token_file })
    }

    /// What the processors are told.
    pub(super) fn args(&self) -> [std::ffi::OsString; 4] {
        let (url, token) = (self.url.clone().into(), self.token_file.clone().into_os_string());
        ["--telegram-api".into(), url, "--telegram-token-file".into(), token]
    }

    /// How to talk to it.
    pub(super) fn summary(&self) -> String {
        let url = &self.url;
        format!(
            "\n  Telegram  {url} (a double; its bot is @watch_{BOT}_bot; GET {url} tells what can be asked)\n\n  \
             Link a chat: make a link on the page, below Receivers; it ends with ?start=TOKEN. Then press it as chat 42:\n    \
             curl {url}/control/say -d '{{\"chat\": 42, \"text\": \"/start TOKEN\"}}'\n  \
             Look at the chat, press a button:\n    \
             curl '{url}/control/chat?42'\n    \
             curl {url}/control/press -d '{{\"chat\": 42, \"button\": \"Acknowledge\"}}'"
        )
    }
}

impl Drop for TelegramDouble {
    fn drop(&mut self) {
        // A drop cannot report; what does not stop here is killed by the reaper.
        if let Some(process) = self.process.take() {
            process.stop(&mut self.reaper).ok();
        }
    }
}

/// A token that nobody else knows, for its owner to read only; one that is there stays.
fn write_token(path: &Path) -> Result<()> {
    let told = || format!("the token file {}", path.display());
    if path.is_file() {
        return Ok(());
    }
    let mut random = [0; SECRET_BYTES];
    getrandom::fill(&mut random).context("reading random numbers for a token")?;
    let token = format!("{BOT}:{}", data_encoding::BASE64URL_NOPAD.encode(&random));
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(told)?;
    file.write_all(token.as_bytes()).with_context(told)
}
