//! Where everything of the NATS server lies in its folder.

use crate::accounts::{AccountName, Program, Role};
use crate::holder::Holder;
use std::path::{Path, PathBuf};

/// The name of the key that opens secrets of channels, which lies beside the credential of the processors.
pub const CHANNELS_KEY: &str = "channels.xk";

/// The folder of a NATS server: its configuration, accounts, keys, credentials and streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The folder itself.
    pub dir: PathBuf,
}

impl Layout {
    /// The layout of `dir`.
    #[must_use]
    pub fn new(dir: impl AsRef<Path>) -> Self {
        Self { dir: dir.as_ref().to_owned() }
    }

    /// What nats-server is started with: `nats-server -c <this>`.
    #[must_use]
    pub fn conf(&self) -> PathBuf {
        self.dir.join("nats-server.conf")
    }

    /// Who may sign accounts.
    #[must_use]
    pub fn operator_jwt(&self) -> PathBuf {
        self.dir.join("operator.jwt")
    }

    /// The server's resolver folder: one JWT for each account. The server writes here too, when claims are pushed.
    #[must_use]
    pub fn accounts(&self) -> PathBuf {
        self.dir.join("accounts")
    }

    /// The JWT of the account with this public nkey.
    #[must_use]
    pub fn account_jwt(&self, key: &str) -> PathBuf {
        self.accounts().join(format!("{key}.jwt"))
    }

    /// Where the server keeps streams.
    #[must_use]
    pub fn jetstream(&self) -> PathBuf {
        self.dir.join("jetstream")
    }

    /// What only setup and the processors see: the keys that sign accounts, and what could be mistaken for a program.
    #[must_use]
    pub fn operator(&self) -> PathBuf {
        self.dir.join("operator")
    }

    /// What the gateway sees: its credential, and the keys that sign agents and readers.
    #[must_use]
    pub fn gateway(&self) -> PathBuf {
        self.dir.join("gateway")
    }

    /// The operator's own key; it signs nothing but the operator's JWT.
    #[must_use]
    pub fn operator_key(&self) -> PathBuf {
        self.operator().join("operator.nk")
    }

    /// The key that signs accounts.
    #[must_use]
    pub fn operator_signing_key(&self) -> PathBuf {
        self.operator().join("operator.signing.nk")
    }

    /// An account's own key: its identity, signs nobody.
    #[must_use]
    pub fn account_key(&self, account: &AccountName) -> PathBuf {
        self.operator().join(format!("{}.nk", account.file_stem()))
    }

    /// The public half of an account's own key, beside the keys that sign its users.
    #[must_use]
    pub fn account_id(&self, account: &AccountName) -> PathBuf {
        let dir = match account {
            AccountName::Sys | AccountName::Core => self.operator(),
            AccountName::Readers | AccountName::Agents(_) => self.gateway(),
        };
        dir.join(format!("{}.pub", account.file_stem()))
    }

    /// The key that signs the users of one role.
    #[must_use]
    pub fn role_key(&self, account: &AccountName, role: Role) -> PathBuf {
        let dir = match role {
            Role::Agent | Role::Reader => self.gateway(),
            Role::Sys | Role::Processors | Role::Gateway | Role::Fleet => self.operator(),
        };
        dir.join(format!("{}.{role}.nk", account.file_stem()))
    }

    /// Opens secrets of channels: for the notifier alone.
    #[must_use]
    pub fn channels_key(&self) -> PathBuf {
        self.operator().join(CHANNELS_KEY)
    }

    /// Seals secrets of channels.
    #[must_use]
    pub fn channels_public(&self) -> PathBuf {
        self.gateway().join("channels.pub")
    }

    /// Credentials of others than our programs, made by hand.
    #[must_use]
    pub fn creds(&self) -> PathBuf {
        self.dir.join("creds")
    }

    /// The credential of one of our programs.
    #[must_use]
    pub fn program_creds(&self, program: Program) -> PathBuf {
        self.creds_of(&Holder::Program(program))
    }

    /// The credential of a holder, where it was made by a command.
    #[must_use]
    pub fn creds_of(&self, holder: &Holder) -> PathBuf {
        let dir = match holder {
            Holder::Program(Program::Gateway) => self.gateway(),
            Holder::Program(Program::Sys | Program::Processors) => self.operator(),
            Holder::Agent { .. } | Holder::Reader { .. } | Holder::Fleet { .. } => self.creds(),
        };
        dir.join(format!("{holder}.creds"))
    }

    /// Where an earlier version kept all keys and credentials, and where each lies now.
    pub(crate) fn earlier(&self, dir: &str, name: &str) -> Option<PathBuf> {
        let new = match (dir, name) {
            ("keys", name) if name.ends_with(".agent.nk") || name.ends_with(".reader.nk") => self.gateway(),
            ("keys", name) if name.ends_with(".nk") => self.operator(),
            ("creds", "gateway.creds") => self.gateway(),
            ("creds", "sys.creds" | "processors.creds") => self.operator(),
            _ => return None,
        };
        Some(new.join(name))
    }
}
