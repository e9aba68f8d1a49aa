//! The audit: who did what, from where, chained so that a change of what was written breaks the chain. Pure.
//!
//! Each entry holds the SHA-256 of the bytes of the one before it in its scope, so that nothing can be changed,
//! removed or put in between unseen. What was cut off at the end is seen only by who noted the head elsewhere.

use crate::ids::UserId;
use crate::quantity::UnixMs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// One entry as AUDIT keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditEntry {
    /// Version of this form; 1.
    pub v: u8,
    /// Its place in the chain of its scope; 1 is the first.
    pub number: u64,
    /// SHA-256 of the bytes of the entry before it, in hexadecimal; zeros for the first.
    pub previous: String,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub time: UnixMs,
    /// What was done.
    #[serde(flatten)]
    pub deed: Deed,
}

/// What was done, and by whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
pub struct Deed {
    /// What was done or tried.
    pub action: Action,
    /// Whether it was done.
    pub outcome: Outcome,
    /// The user who did it; none where nobody was logged in.
    pub actor: Option<UserId>,
    /// How they were known.
    pub via: Via,
    /// The address that the request came from.
    pub from: Option<String>,
    /// The id of what it was done to.
    pub object: String,
    /// What was true before; never a secret.
    #[schema(value_type = Option<Object>)]
    pub before: Option<Value>,
    /// What is true now; never a secret.
    #[schema(value_type = Option<Object>)]
    pub after: Option<Value>,
}

/// Declares the closed set of actions with their names, so that filters and documents list them all.
macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// What was done or tried.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
        pub enum Action {
            $($(#[$doc])* #[serde(rename = $name)] #[schema(rename = $name)] $variant),+
        }

        impl Action {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }
    };
}

actions! {
    /// The first owner was set up.
    SetUp = "set_up",
    /// Somebody logged in.
    LogIn = "log_in",
    /// Somebody logged out.
    LogOut = "log_out",
    /// Somebody registered.
    Register = "register",
    /// An old refresh token came again: its sessions ended.
    TokenReuse = "token_reuse",
    /// Sessions were ended by hand.
    SessionEnd = "session_end",
    /// A password was changed.
    PasswordChange = "password_change",
    /// A user's own data were changed.
    UserChange = "user_change",
    /// A personal token was made.
    TokenCreate = "token_create",
    /// A personal token was taken back.
    TokenDelete = "token_delete",
    /// Something was refused for want of a role or scope.
    Refused = "refused",
    /// A team was made.
    TeamCreate = "team_create",
    /// A team was changed.
    TeamChange = "team_change",
    /// A team was removed.
    TeamDelete = "team_delete",
    /// Somebody was invited.
    Invite = "invite",
    /// An invitation was taken back.
    InvitationDelete = "invitation_delete",
    /// An invitation was accepted.
    InvitationAccept = "invitation_accept",
    /// A member's role was changed.
    MemberChange = "member_change",
    /// A member left or was removed.
    MemberDelete = "member_delete",
    /// A host was made.
    HostCreate = "host_create",
    /// A host was changed.
    HostChange = "host_change",
    /// A host was removed.
    HostDelete = "host_delete",
    /// An enrolment token was made; an agent that was there before is cut off.
    EnrolmentCreate = "enrolment_create",
    /// An agent was given its credential.
    Enrol = "enrol",
    /// The credential of an agent was taken back, because no valid sample came.
    EnrolmentEnd = "enrolment_end",
    /// An agent's credential was renewed.
    CredentialRenew = "credential_renew",
    /// A reader was given its credential.
    ReaderCreate = "reader_create",
    /// The credential of a reader was taken back.
    ReaderDelete = "reader_delete",
    /// An alert rule was made.
    RuleCreate = "rule_create",
    /// An alert rule was changed.
    RuleChange = "rule_change",
    /// An alert rule was removed.
    RuleDelete = "rule_delete",
    /// Who hears where a rule names nobody was changed.
    AlertDefaultsChange = "alert_defaults_change",
    /// A silence was made.
    SilenceCreate = "silence_create",
    /// A silence was changed.
    SilenceChange = "silence_change",
    /// A silence was ended.
    SilenceDelete = "silence_delete",
    /// Weekly maintenance was made.
    MaintenanceCreate = "maintenance_create",
    /// Weekly maintenance was changed.
    MaintenanceChange = "maintenance_change",
    /// Weekly maintenance was removed.
    MaintenanceDelete = "maintenance_delete",
    /// Somebody looks after an alert.
    AlertAcknowledge = "alert_acknowledge",
    /// Nobody looks after an alert any more.
    AlertWithdraw = "alert_withdraw",
    /// An alert was ended by hand.
    AlertResolve = "alert_resolve",
    /// A receiver was made.
    ReceiverCreate = "receiver_create",
    /// A receiver was changed.
    ReceiverChange = "receiver_change",
    /// A receiver was removed.
    ReceiverDelete = "receiver_delete",
    /// A message was sent to a receiver to see whether it arrives.
    ReceiverTest = "receiver_test",
    /// A link was made by which a chat becomes a receiver.
    ChatOffer = "chat_offer",
    /// A chat was linked to a receiver.
    ChatLink = "chat_link",
    /// A chat is no longer linked to a receiver.
    ChatUnlink = "chat_unlink",
    /// A chat that nobody linked asked for something.
    ChatUnknown = "chat_unknown",
    /// The team's Telegram bot was set or removed.
    BotChange = "bot_change",
}

/// Whether something was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
}

/// How somebody was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// By a session in a browser or a tool.
    Session,
    /// By a personal token.
    Token,
    /// By a one-time token or a credential of an agent.
    Credential,
    /// By a chat that they had linked.
    Chat,
    /// At the machine itself, or the gateway by itself.
    Machine,
    /// Not at all.
    Nobody,
}

/// SHA-256 of an entry's bytes: what the next entry holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What the first entry holds.
    pub const NONE: Self = Self([0; 32]);

    /// Of the bytes of an entry.
    #[must_use]
    pub fn of(entry: &[u8]) -> Self {
        Self(Sha256::digest(entry).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Action {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|action| action.as_str() == text).ok_or(())
    }
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Bytes that are no entry.
    #[error("after entry {after} stands something that is no entry: {detail}")]
    Form {
        /// The last good entry.
        after: u64,
        /// What was wrong.
        detail: String,
    },
    /// A number was left out or comes twice.
    #[error("after entry {after} comes entry {found}: something was removed or put in")]
    Number {
        /// The last good entry.
        after: u64,
        /// The number found.
        found: u64,
    },
    /// The entry before it is not the one that was there when it was written.
    #[error("entry {number} was written after another entry {}: that one was changed", number - 1)]
    Hash {
        /// The entry whose hash does not fit.
        number: u64,
    },
}

/// The end of a chain: what the next entry builds on, and what an owner may note elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number of the last entry; 0 before the first.
    pub number: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Default for Head {
    fn default() -> Self {
        Self { number: 0, hash: Hash::NONE }
    }
}

impl Head {
    /// The next entry, and the bytes of it that are written.
    ///
    /// # Errors
    /// When the deed cannot be written as JSON.
    pub fn next(&self, time: UnixMs, deed: Deed) -> Result<Vec<u8>, serde_json::Error> {
        let (number, previous) = (self.number + 1, self.hash.to_string());
        serde_json::to_vec(&AuditEntry { v: 1, number, previous, time, deed })
    }

    /// Checks that these bytes are the entry after this one, and goes on to it.
    ///
    /// # Errors
    /// When the chain is broken here.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<AuditEntry, Broken> {
        let form = |error: serde_json::Error| Broken::Form { after: self.number, detail: error.to_string() };
        let entry: AuditEntry = serde_json::from_slice(bytes).map_err(form)?;
        if entry.number != self.number + 1 {
            return Err(Broken::Number { after: self.number, found: entry.number });
        }
        if entry.previous != self.hash.to_string() {
            return Err(Broken::Hash { number: entry.number });
        }
        *self = Self { number: entry.number, hash: Hash::of(bytes) };
        Ok(entry)
    }

    /// The head after this entry, which is trusted.
    ///
    /// # Errors
    /// When the bytes are no entry.
    pub fn at(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let entry: AuditEntry = serde_json::from_slice(bytes)?;
        Ok(Self { number: entry.number, hash: Hash::of(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deed(object: &str) -> Deed {
        Deed {
            action: Action::HostChange,
            outcome: Outcome::Done,
            actor: Some("alice".parse().unwrap()),
            via: Via::Session,
            from: Some("192.0.2.7".to_owned()),
            object: object.to_owned(),
            before: Some(json!({ "name": "a" })),
            after: Some(json!({ "name": "b" })),
        }
    }

    fn chain() -> Vec<Vec<u8>> {
        let mut head = Head::default();
        let entries = ["web-1", "web-2", "web-3", "web-4"].map(|object| {
            let bytes = head.next(UnixMs(1_790_000_000_000), deed(object)).unwrap();
            assert_eq!(head.follow(&bytes).unwrap().deed, deed(object));
            bytes
        });
        entries.to_vec()
    }

    fn check(entries: &[Vec<u8>]) -> Result<Head, Broken> {
        let mut head = Head::default();
        entries.iter().try_for_each(|bytes| head.follow(bytes).map(|_| ()))?;
        Ok(head)
    }

    #[test]
    fn whatever_is_changed_removed_or_put_in_is_told_by_its_place() {
        let entries = chain();
        assert_eq!(check(&entries).unwrap().number, 4);
        assert_eq!(Head::at(&entries[3]).unwrap(), check(&entries).unwrap());

        let mut removed = entries.clone();
        removed.remove(1);
        assert_eq!(check(&removed), Err(Broken::Number { after: 1, found: 3 }));
        let mut doubled = entries.clone();
        doubled.insert(1, entries[0].clone());
        assert_eq!(check(&doubled), Err(Broken::Number { after: 1, found: 1 }));
        let mut changed = entries.clone();
        changed[1] = String::from_utf8(changed[1].clone()).unwrap().replace("web-2", "web-9").into_bytes();
        assert_eq!(check(&changed), Err(Broken::Hash { number: 3 }));
        let mut damaged = entries;
        damaged[2].truncate(20);
        assert!(matches!(check(&damaged), Err(Broken::Form { after: 2, .. })));
    }

    #[test]
    fn the_name_of_an_action_is_the_one_it_is_written_with() {
        for action in Action::ALL {
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
            assert_eq!(action.as_str().parse(), Ok(*action));
        }
    }
}
