//! Keeping the credential good: signed anew at half of its life, by a short-lived child, so that what HTTP and TLS need is
//! given back at once. Also asked when the broker refuses it: only the gateway can say that a host is cut off.

use crate::credential::{Credential, CredentialError, Lifetime};
use crate::folder::Folder;
use crate::gateway::{Gateway, GatewayError, Renew, Watch};
use crate::sampler::now;
use crate::settings_file::{self, SettingsFile};
use data_encoding::BASE64URL_NOPAD;
use std::io;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use watchkeeper_streams::backoff::{Backoff, jittered};

/// Exit code of an agent, and of `renew`, that was cut off.
pub const EXIT_CUT_OFF: u8 = 4;
/// So many refusals in a row are no accident of a server that restarts.
const REFUSALS_STEADY: u32 = 3;
/// Wait between two questions to the gateway, growing from the first to the last.
const ASK_WAIT_FIRST: Duration = Duration::from_secs(60);
const ASK_WAIT_MAX: Duration = Duration::from_secs(3600);
/// The wall clock is looked at so often: a machine may sleep, and its clock may be set.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// Time for the child; its own questions have shorter limits.
const CHILD_WAIT_MAX: Duration = Duration::from_secs(60);
/// Most of what the child said that is repeated.
const SAID_BYTES_MAX: usize = 1024;

/// The gateway no longer accepts this host.
#[derive(Debug, thiserror::Error)]
#[error(
    "this host was cut off: the gateway no longer accepts its credential ({said}); if that is a mistake, make a new token \
     on its page and run `watchkeeper-agent enroll` again"
)]
pub struct CutOff {
    said: String,
}

/// Why a credential was not signed anew.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The folder holds none that can be used.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The gateway gave none; `Refused` says that it never will.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// What the gateway gave cannot be used.
    #[error("what the gateway gave cannot be used: {0}")]
    Answer(String),
    /// It cannot be kept.
    #[error("cannot keep the new credential in {folder}", folder = folder.path().display())]
    Keep {
        /// Where.
        folder: Folder,
        /// What went wrong.
        source: io::Error,
    },
}

/// Has the credential in `folder` signed anew and keeps it, with how the host is to be watched now.
///
/// # Errors
/// When it was not; the one that was there then stays.
pub fn renew(folder: &Folder, gateway: &str, allow_http: bool) -> Result<(), RenewError> {
    let Credential { jwt, key, subject, .. } = Credential::read(&folder.creds())?;
    let authority = Some(folder.authority()).filter(|file| file.exists());
    let gateway = Gateway::new(gateway, authority.as_deref(), allow_http)?;
    let answer = |error: &dyn std::fmt::Display| RenewError::Answer(error.to_string());
    let public_key = key.public_key();
    let time = u64::try_from(now().wall_ms).unwrap_or_default();
    let signature = key.sign(Renew::signed(&public_key, time).as_bytes()).map_err(|error| answer(&error))?;
    let signature = BASE64URL_NOPAD.encode(&signature);
    let renewed = gateway.renew(&Renew { jwt: &jwt, public_key, time, signature })?;
    let credential = Credential::new(&renewed.jwt, key).map_err(|error| answer(&error))?;
    if credential.subject != subject {
        return Err(answer(&"it is of another host"));
    }
    let text = credential.text().map_err(|error| answer(&error))?;
    let unkept = |source| RenewError::Keep { folder: folder.clone(), source };
    folder.put(&folder.creds(), text.as_bytes()).map_err(unkept)?;
    // After the credential, which must not wait for settings that this version cannot use.
    settings_file::check(&renewed.watch).map_err(|error| answer(&error))?;
    follow(folder, &renewed.watch).map_err(unkept)
}

/// Has the settings of the folder say how the host is to be watched; whoever names settings of their own keeps them.
fn follow(folder: &Folder, watch: &Watch) -> io::Result<()> {
    let text = match std::fs::read_to_string(folder.settings()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read?,
    };
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let found = SettingsFile::read(&text).map_err(invalid)?;
    let mut wanted = found.clone();
    wanted.watch(watch);
    if wanted == found { Ok(()) } else { folder.put(&folder.settings(), wanted.text().as_bytes()) }
}

/// Keeps the credential of an enrolled host good, and tells `renewed` when it was signed anew; ends only when the
/// gateway says that the host is cut off.
///
/// The connection picks the new one up by itself: it reads the file each time.
pub async fn keep(enrolled: Option<Folder>, mut refused: watch::Receiver<u32>, renewed: &Notify) -> CutOff {
    let Some(folder) = enrolled else { return std::future::pending().await };
    let mut pace = Backoff::new(ASK_WAIT_FIRST, ASK_WAIT_MAX);
    loop {
        tokio::select! {
            () = half_of_life(&folder) => {}
            () = steadily_refused(&mut refused) => {}
        }
        match ask(&folder).await {
            Told::Renewed => {
                tracing::info!("the credential was signed anew");
                renewed.notify_one();
            }
            Told::CutOff(said) => return CutOff { said },
            Told::NotNow(why) => {
                tracing::warn!(why, "the credential could not be renewed, trying again later")
            }
        }
        // Whatever was said: a credential that stays refused must not become a flood of questions.
        sleep(pace.next_wait()).await;
        if *refused.borrow_and_update() < REFUSALS_STEADY {
            pace.reset();
        }
    }
}

/// Ends once half of the credential's life is over; never for one without an end.
async fn half_of_life(folder: &Folder) {
    let Some(lifetime) = Credential::read(&folder.creds()).ok().and_then(|it| it.lifetime) else {
        return std::future::pending().await;
    };
    let due = due(lifetime);
    loop {
        let now = u64::try_from(now().wall_ms / 1000).unwrap_or_default();
        match due.saturating_sub(now) {
            0 => return,
            seconds => sleep(Duration::from_secs(seconds).min(LOOK_EVERY)).await,
        }
    }
}

/// When a JWT is signed anew, in Unix seconds: a little after half of its life, each host a little differently.
fn due(Lifetime { issued, expires }: Lifetime) -> u64 {
    let life = expires.saturating_sub(issued);
    let spread = Duration::from_secs(life / 10);
    issued + life / 2 + jittered(spread, spread, 0).as_secs()
}

async fn steadily_refused(refused: &mut watch::Receiver<u32>) {
    loop {
        if refused.changed().await.is_err() {
            return std::future::pending().await;
        }
        if *refused.borrow() >= REFUSALS_STEADY {
            return;
        }
    }
}

/// What came of a question.
enum Told {
    Renewed,
    CutOff(String),
    NotNow(String),
}

/// Runs `renew` as a child.
async fn ask(folder: &Folder) -> Told {
    let child = Command::new("/proc/self/exe")
        .args(["renew", "--dir"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let output = match timeout(CHILD_WAIT_MAX, child).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Told::NotNow(format!("the child that asks cannot run: {error}")),
        Err(_) => return Told::NotNow("the gateway did not answer in time".to_owned()),
    };
    let said = &output.stderr[..output.stderr.len().min(SAID_BYTES_MAX)];
    let said = String::from_utf8_lossy(said).trim().to_owned();
    match output.status.code() {
        Some(0) => Told::Renewed,
        Some(code) if code == i32::from(EXIT_CUT_OFF) => Told::CutOff(said),
        Some(_) | None => Told::NotNow(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn a_fleet_that_was_enrolled_together_does_not_come_together() {
        let (issued, day) = (1_800_000_000, 86_400);
        let lifetime = Lifetime { issued, expires: issued + 30 * day };
        let dues: Vec<u64> = (0..200).map(|_| due(lifetime)).collect();
        assert!(dues.iter().all(|due| (issued + 15 * day..=issued + 18 * day).contains(due)), "{dues:?}");
        let (first, last) = (dues.iter().min().unwrap(), dues.iter().max().unwrap());
        assert!(last - first > day / 2, "all come within {} s", last - first);
        assert_eq!(due(Lifetime { issued: 7, expires: 3 }), 7);
    }

    #[test]
    fn one_refusal_is_no_reason_to_ask() {
        let (count, mut refused) = watch::channel(0);
        let mut asks = |refusals| {
            count.send_replace(refusals);
            steadily_refused(&mut refused).now_or_never().is_some()
        };
        assert!(!asks(REFUSALS_STEADY - 1));
        assert!(asks(REFUSALS_STEADY));
        assert!(steadily_refused(&mut refused).now_or_never().is_none(), "the same refusal counted twice");
    }
}
