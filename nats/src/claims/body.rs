//! What operator, account and user claims state, as the server reads it.

use super::{Body, Kind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A limit that limits nothing.
pub const UNLIMITED: i64 = -1;
/// A revocation up to this time, the last one the server can write, refuses every JWT of a key.
pub const WHENEVER: u64 = i64::MAX as u64;

/// Who may sign accounts, and which account is the system's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Public operator nkeys that may sign accounts beside the operator's own.
    pub signing_keys: Vec<String>,
    /// Public nkey of the system account.
    pub system_account: String,
}

/// What an account holds, shows to others and takes from others, and who may sign its users.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// Taken from other accounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<Import>,
    /// Shown to other accounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<Export>,
    /// What the account may use.
    pub limits: AccountLimits,
    /// Keys that sign users, each with the one set of rights it can give.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signing_keys: Vec<ScopedKey>,
    /// Public user nkey → seconds since 1970; JWTs of that key issued then or before are refused.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub revocations: BTreeMap<String, u64>,
    /// The rights of users whose JWT states none.
    pub default_permissions: Permissions,
    /// Subject → where its messages go instead.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mappings: BTreeMap<String, Vec<MappedTo>>,
}

/// Who a user is. Signed by a [`ScopedKey`] it must state no rights of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// Own rights; empty under a scoped key.
    #[serde(flatten)]
    pub permissions: Permissions,
    /// Own limits; all 0 under a scoped key.
    #[serde(flatten)]
    pub limits: UserLimits,
    /// Public nkey of the account, when a signing key of it signed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer_account: String,
    /// `name:value`, lower case: what templates are filled from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// How messages cross between accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Crossing {
    /// From the exporter to subscribers.
    Stream,
    /// From the importer to the exporter; the answer comes back.
    Service,
}

/// Shown to other accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// For people.
    pub name: String,
    /// The subject, wildcards allowed.
    pub subject: String,
    /// The direction.
    #[serde(rename = "type")]
    pub crossing: Crossing,
}

/// Taken from another account under the same subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// For people.
    pub name: String,
    /// The subject, wildcards allowed.
    pub subject: String,
    /// Public nkey of the exporting account.
    pub account: String,
    /// The direction.
    #[serde(rename = "type")]
    pub crossing: Crossing,
}

/// What an account may use; JetStream is off where both storages are 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountLimits {
    /// Subscriptions.
    pub subs: i64,
    /// Bytes pending.
    pub data: i64,
    /// Bytes of one message.
    pub payload: i64,
    /// Imports.
    pub imports: i64,
    /// Exports.
    pub exports: i64,
    /// Whether exports may hold wildcards.
    pub wildcards: bool,
    /// Connections.
    pub conn: i64,
    /// Connections of leaf nodes.
    pub leaf: i64,
    /// JetStream: bytes in memory.
    pub mem_storage: i64,
    /// JetStream: bytes on disk.
    pub disk_storage: i64,
    /// JetStream: streams.
    pub streams: i64,
    /// JetStream: consumers.
    pub consumer: i64,
}

/// A key that signs users of one kind: the rights stand here, in the account, not in the user's JWT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopedKey {
    /// Always `user_scope`.
    pub kind: ScopeKind,
    /// Public account nkey.
    pub key: String,
    /// The kind of user.
    pub role: String,
    /// The rights, with `{{tag(name)}}` filled from the user's tags.
    pub template: Template,
}

/// The one kind of scope NATS knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    /// A template of user rights.
    UserScope,
}

/// The rights a scoped key gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Template {
    /// Subjects.
    #[serde(flatten)]
    pub permissions: Permissions,
    /// Sizes.
    #[serde(flatten)]
    pub limits: UserLimits,
}

/// What a user may publish and hear.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Permissions {
    /// Publish.
    #[serde(rename = "pub")]
    pub publish: Permission,
    /// Subscribe.
    #[serde(rename = "sub")]
    pub subscribe: Permission,
}

/// Subjects allowed and denied; with neither, all are allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Permission {
    /// Only these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Never these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

/// Sizes of one user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserLimits {
    /// Subscriptions.
    #[serde(skip_serializing_if = "is_zero")]
    pub subs: i64,
    /// Bytes pending.
    #[serde(skip_serializing_if = "is_zero")]
    pub data: i64,
    /// Bytes of one message.
    #[serde(skip_serializing_if = "is_zero")]
    pub payload: i64,
}

/// Where mapped messages go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedTo {
    /// The other subject.
    pub subject: String,
}

impl Body for Operator {
    const KIND: Kind = Kind::Operator;
}

impl Body for Account {
    const KIND: Kind = Kind::Account;
}

impl Body for User {
    const KIND: Kind = Kind::User;
}

impl Account {
    /// Whether a JWT of `user` issued at `issued_at` (seconds since 1970) is refused.
    #[must_use]
    pub fn revokes(&self, user: &str, issued_at: u64) -> bool {
        self.revocations.get(user).is_some_and(|until| issued_at <= *until)
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}
