//! Receivers: who is told of alerts, and by which channel. Becomes facts of JOURNAL; what is secret lies sealed in
//! CHANNELS, and a fact names only its revision there.

use crate::ids::UserId;
use crate::quantity::UnixMs;
use crate::rule::Severity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody who is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// The name that people read.
    pub name: String,
    /// How they are told.
    pub channel: Channel,
    /// How bad an alert must be for them to hear of it.
    #[serde(default = "whatever")]
    pub hears_from: Severity,
}

fn whatever() -> Severity {
    Severity::Info
}

/// How a receiver is told; `secret` is the revision in CHANNELS of what must not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Channel {
    /// A chat of Telegram, which is linked apart.
    Telegram {},
    /// E-mail.
    Email {
        /// To whom.
        to: Vec<String>,
        /// From whom.
        from: String,
        /// The SMTP server's name.
        server: String,
        /// Its port.
        port: u16,
        /// How the connection is protected.
        security: SmtpSecurity,
        /// With which name to log in; none: without.
        user: Option<String>,
        /// The password.
        secret: Option<u64>,
    },
    /// A signed POST of a CloudEvent.
    Webhook {
        /// Where it goes, without what may be secret.
        host: String,
        /// The URL and the key that signs.
        secret: u64,
    },
    /// A topic of an ntfy server.
    Ntfy {
        /// The server, as `https://ntfy.sh`.
        server: String,
        /// The topic.
        topic: String,
        /// The access token.
        secret: Option<u64>,
    },
    /// An incoming webhook of a chat program.
    Chatroom {
        /// Where it goes, without what may be secret.
        host: String,
        /// Whose form it takes.
        form: ChatroomForm,
        /// The URL.
        secret: u64,
    },
}

/// The kinds of channels.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// A chat of Telegram.
    Telegram,
    /// E-mail.
    Email,
    /// A signed POST of a CloudEvent.
    Webhook,
    /// A topic of an ntfy server.
    Ntfy,
    /// An incoming webhook of a chat program.
    Chatroom,
}

/// How a connection to an SMTP server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SmtpSecurity {
    /// TLS from the first byte; usually port 465.
    Tls,
    /// TLS after a greeting, or not at all; usually port 587.
    StartTls,
    /// None: only for a server in a network of one's own.
    Plain,
}

/// Whose form an incoming webhook takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChatroomForm {
    /// Slack, Mattermost, Rocket.Chat.
    Slack,
    /// Discord.
    Discord,
}

/// What lies sealed in CHANNELS.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ChannelSecret {
    /// Of a Telegram bot.
    Bot {
        /// As BotFather tells it.
        token: String,
    },
    /// Of a user of an SMTP server.
    Email {
        /// To log in with.
        password: String,
    },
    /// Of a signed webhook.
    Webhook {
        /// Where it goes.
        url: String,
        /// What signs it: 32 bytes as base64url.
        key: String,
    },
    /// Of a user of an ntfy server.
    Ntfy {
        /// Sent as bearer token.
        token: String,
    },
    /// Of a chat program.
    Chatroom {
        /// Where it goes.
        url: String,
    },
}

impl std::fmt::Debug for ChannelSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChannelSecret(…)")
    }
}

/// An offer to link a chat to a receiver, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkOffer {
    /// SHA-256 of the link's token, as base64url.
    pub hash: String,
    /// Who offers: the chat may do what they may.
    pub by: UserId,
    /// When it ends.
    pub expires: UnixMs,
}

/// A chat that is linked to a receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chat {
    /// Telegram's id of it.
    pub chat: i64,
    /// Whether more than one person may be in it.
    pub is_group: bool,
    /// What it is called.
    pub title: String,
    /// Telegram's id of who linked it.
    pub telegram_user: i64,
    /// Whose it is among our users: who offered the link.
    pub user: UserId,
    /// The hash of the offer that it took: none is taken twice.
    pub offer: String,
}

/// A channel refuses what is sent to a receiver, and will go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiverFailure {
    /// What it answers, as far as it may be shown.
    pub answer: String,
    /// The revision of the receiver or of its link that is refused: a change makes it be tried again.
    pub revision: u64,
}

/// A team's own Telegram bot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bot {
    /// The revision of its token in CHANNELS.
    pub secret: u64,
}

/// What Telegram says of the bot that serves a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BotState {
    /// Its name, without `@`; none: the token is refused.
    pub username: Option<String>,
    /// What Telegram answers where it refuses.
    pub refusal: Option<String>,
    /// The revision of the token in CHANNELS; none: the installation's own bot.
    pub secret: Option<u64>,
}

impl Channel {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> ChannelKind {
        match self {
            Self::Telegram {} => ChannelKind::Telegram,
            Self::Email { .. } => ChannelKind::Email,
            Self::Webhook { .. } => ChannelKind::Webhook,
            Self::Ntfy { .. } => ChannelKind::Ntfy,
            Self::Chatroom { .. } => ChannelKind::Chatroom,
        }
    }

    /// The revision in CHANNELS of what it keeps there.
    #[must_use]
    pub fn secret(&self) -> Option<u64> {
        match self {
            Self::Telegram {} => None,
            Self::Email { secret, .. } | Self::Ntfy { secret, .. } => *secret,
            Self::Webhook { secret, .. } | Self::Chatroom { secret, .. } => Some(*secret),
        }
    }
}

impl ChannelKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Telegram, Self::Email, Self::Webhook, Self::Ntfy, Self::Chatroom];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Telegram => "telegram",
            Self::Email => "email",
            Self::Webhook => "webhook",
            Self::Ntfy => "ntfy",
            Self::Chatroom => "chatroom",
        }
    }
}
