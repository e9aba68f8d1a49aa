//! What people may say of receivers, and what is kept of it: what may be read apart from what must not. Pure.

use crate::http::body::Mistakes;
use axum::http::Uri;
use serde::Deserialize;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use utoipa::ToSchema;
use watchkeeper_schemas::receiver::{Channel, ChannelSecret, ChatroomForm, SmtpSecurity};

/// Addresses of one receiver at most.
const ADDRESSES_MAX: usize = 16;
/// Characters of an e-mail address, and of what stands before its `@`.
const ADDRESS_CHARS_MAX: usize = 254;
const LOCAL_CHARS_MAX: usize = 64;
/// Characters of a server's name.
const SERVER_CHARS_MAX: usize = 253;
/// Characters of a part of it.
const LABEL_CHARS_MAX: usize = 63;
/// Characters of a URL.
const URL_CHARS_MAX: usize = 2048;
/// Characters of a user name of a mail server.
const USER_CHARS: RangeInclusive<usize> = 1..=256;
/// Characters of a password.
const PASSWORD_CHARS: RangeInclusive<usize> = 1..=1024;
/// Characters of an access token.
const TOKEN_CHARS: RangeInclusive<usize> = 1..=512;
/// Characters of an ntfy topic.
const TOPIC_CHARS: RangeInclusive<usize> = 1..=64;
/// Digits of a bot's number, and characters of its token behind them.
const BOT_DIGITS: RangeInclusive<usize> = 1..=20;
const BOT_CHARS: RangeInclusive<usize> = 10..=128;

/// How somebody is to be told. A secret that is left out stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ChannelForm {
    /// A chat of Telegram, which is linked apart.
    Telegram {},
    /// E-mail.
    Email {
        /// To whom.
        #[schema(min_items = 1, max_items = 16)]
        to: Vec<String>,
        /// From whom.
        from: String,
        /// The SMTP server's name.
        server: String,
        /// Its port.
        #[schema(minimum = 1)]
        port: u16,
        /// How the connection is protected.
        security: SmtpSecurity,
        /// With which name to log in; none: without.
        user: Option<String>,
        /// The password; needed anew where user, server, port or protection change.
        password: Option<String>,
    },
    /// A signed POST of a CloudEvent.
    Webhook {
        /// Where it goes, http or https; a new one brings a new key.
        #[schema(max_length = 2048)]
        url: Option<String>,
    },
    /// A topic of an ntfy server.
    Ntfy {
        /// The server, as `https://ntfy.sh`.
        server: String,
        /// The topic.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
        topic: String,
        /// The access token; empty: none. Needed anew where the server changes.
        token: Option<String>,
    },
    /// An incoming webhook of a chat program.
    Chatroom {
        /// Where it goes, http or https.
        #[schema(max_length = 2048)]
        url: Option<String>,
        /// Whose form it takes.
        form: ChatroomForm,
    },
}

/// What becomes of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// There is none from now on.
    Nothing,
    /// The one that is there stays, at this revision.
    Before(u64),
    /// A new one.
    New(ChannelSecret),
    /// A new URL of a webhook, with a key that is to be made.
    Signed(String),
}

impl ChannelForm {
    /// Notes what cannot be.
    pub fn check(&self, mistakes: &mut Mistakes) {
        match self {
            Self::Telegram {} => {}
            Self::Email { to, from, server, port, security: _, user, password } => {
                if to.is_empty() || to.len() > ADDRESSES_MAX {
                    let expected = format!("1 to {ADDRESSES_MAX} addresses");
                    mistakes.note("channel.to", expected, &to.len().to_string());
                }
                to.iter().take(ADDRESSES_MAX).for_each(|it| check_address(mistakes, "channel.to", it));
                check_address(mistakes, "channel.from", from);
                if !is_server(server) {
                    mistakes.note("channel.server", "the name or address of a server", server);
                }
                mistakes.number("channel.port", *port, 1..=u16::MAX);
                if let Some(user) = user {
                    mistakes.text("channel.user", user, USER_CHARS);
                }
                if let Some(password) = password {
                    check_secret(mistakes, "channel.password", password, PASSWORD_CHARS, |c| !c.is_control());
                    if user.is_none() {
                        mistakes.note("channel.user", "the user whose password this is", "nothing");
                    }
                }
            }
            Self::Webhook { url } | Self::Chatroom { url, form: _ } => {
                if url.as_ref().is_some_and(|url| destination(url).is_none()) {
                    mistakes.note("channel.url", URL_EXPECTED, "something else");
                }
            }
            Self::Ntfy { server, topic, token } => {
                if origin(server).is_none() {
                    let expected = "https:// or http:// and a server, as https://ntfy.sh";
                    mistakes.note("channel.server", expected, server);
                }
                let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
                if !TOPIC_CHARS.contains(&topic.len()) || !topic.chars().all(is_word) {
                    mistakes.note("channel.topic", "1 to 64 of A-Z, a-z, 0-9, _ and -", topic);
                }
                if let Some(token) = token.as_ref().filter(|token| !token.is_empty()) {
                    check_secret(mistakes, "channel.token", token, TOKEN_CHARS, |c| c.is_ascii_graphic());
                }
            }
        }
    }

    /// What is kept of it, with the place of a secret still open: over what was there before.
    ///
    /// # Errors
    /// The field that is missing or cannot be.
    pub fn settle(
        self,
        before: Option<&Channel>,
    ) -> Result<(Channel, Kept), (&'static str, &'static str, &'static str)> {
        if before.is_some_and(|before| before.kind().as_str() != self.kind()) {
            return Err(("channel.type", "the channel that it has: make another receiver", self.kind()));
        }
        let secret = before.and_then(Channel::secret);
        match self {
            Self::Telegram {} => Ok((Channel::Telegram {}, Kept::Nothing)),
            Self::Email { to, from, server, port, security, user, password } => {
                let server = server.to_ascii_lowercase();
                let kept = match (&user, password, secret) {
                    (None, _, _) => Kept::Nothing,
                    (Some(_), Some(password), _) => Kept::New(ChannelSecret::Email { password }),
                    (Some(_), None, Some(secret)) => {
                        let place = (&server, port, security, &user);
                        if before.and_then(place_of) != Some(place) {
                            return Err(("channel.password", PASSWORD_AGAIN, "nothing"));
                        }
                        Kept::Before(secret)
                    }
                    (Some(_), None, None) => {
                        return Err(("channel.password", "the password of that user", "nothing"));
                    }
                };
                Ok((Channel::Email { to, from, server, port, security, user, secret: None }, kept))
            }
            Self::Webhook { url } => {
                let (host, kept) = target(url, before, Kept::Signed)?;
                Ok((Channel::Webhook { host, secret: 0 }, kept))
            }
            Self::Chatroom { url, form } => {
                let (host, kept) = target(url, before, |url| Kept::New(ChannelSecret::Chatroom { url }))?;
                Ok((Channel::Chatroom { host, form, secret: 0 }, kept))
            }
            Self::Ntfy { server, topic, token } => {
                // It was checked before that it is one.
                let server = origin(&server).unwrap_or(server);
                let is_same = matches!(before, Some(Channel::Ntfy { server: known, .. }) if *known == server);
                let kept = match (token, secret) {
                    (Some(token), _) if token.is_empty() => Kept::Nothing,
                    (Some(token), _) => Kept::New(ChannelSecret::Ntfy { token }),
                    (None, Some(secret)) if is_same => Kept::Before(secret),
                    (None, Some(_)) => return Err(("channel.token", TOKEN_AGAIN, "nothing")),
                    (None, None) => Kept::Nothing,
                };
                Ok((Channel::Ntfy { server, topic, secret: None }, kept))
            }
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Telegram {} => "telegram",
            Self::Email { .. } => "email",
            Self::Webhook { .. } => "webhook",
            Self::Ntfy { .. } => "ntfy",
            Self::Chatroom { .. } => "chatroom",
        }
    }
}

/// Where a password is good.
type Place<'a> = (&'a String, u16, SmtpSecurity, &'a Option<String>);

const URL_EXPECTED: &str =
    "https:// or http://, a host and a path, without user and password, of at most 2048 characters";
const PASSWORD_AGAIN: &str =
    "the password again, as it would go elsewhere: user, server, port or protection are others";
const TOKEN_AGAIN: &str = "the token again, as it would go to another server; empty for none";

fn place_of(channel: &Channel) -> Option<Place<'_>> {
    match channel {
        Channel::Email { server, port, security, user, .. } => Some((server, *port, *security, user)),
        Channel::Telegram {} | Channel::Webhook { .. } | Channel::Ntfy { .. } | Channel::Chatroom { .. } => {
            None
        }
    }
}

/// Where a new URL leads, or the one that is there.
fn target(
    url: Option<String>,
    before: Option<&Channel>,
    keep: impl FnOnce(String) -> Kept,
) -> Result<(String, Kept), (&'static str, &'static str, &'static str)> {
    if let Some(url) = url {
        let host = destination(&url).ok_or(("channel.url", URL_EXPECTED, "something else"))?;
        return Ok((host, keep(url)));
    }
    match before {
        Some(Channel::Webhook { host, secret } | Channel::Chatroom { host, secret, .. }) => {
            Ok((host.clone(), Kept::Before(*secret)))
        }
        Some(Channel::Telegram {} | Channel::Email { .. } | Channel::Ntfy { .. }) | None => {
            Err(("channel.url", URL_EXPECTED, "nothing"))
        }
    }
}

/// The channel with the revision of its secret.
#[must_use]
pub fn with_secret(channel: Channel, revision: Option<u64>) -> Channel {
    match channel {
        Channel::Telegram {} => Channel::Telegram {},
        Channel::Email { to, from, server, port, security, user, secret: _ } => {
            Channel::Email { to, from, server, port, security, user, secret: revision }
        }
        Channel::Webhook { host, secret } => Channel::Webhook { host, secret: revision.unwrap_or(secret) },
        Channel::Ntfy { server, topic, secret: _ } => Channel::Ntfy { server, topic, secret: revision },
        Channel::Chatroom { host, form, secret } => {
            Channel::Chatroom { host, form, secret: revision.unwrap_or(secret) }
        }
    }
}

/// Notes a token that no bot has.
pub fn check_bot_token(mistakes: &mut Mistakes, token: &str) {
    let is_token = token.split_once(':').is_some_and(|(number, rest)| {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        BOT_DIGITS.contains(&number.len())
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && BOT_CHARS.contains(&rest.len())
            && rest.bytes().all(is_word)
    });
    if !is_token {
        let expected = "a bot's token as BotFather tells it: digits, a colon, letters and digits";
        mistakes.note("token", expected, "something else");
    }
}

/// What is wrong with a secret is told without it.
fn check_secret(
    mistakes: &mut Mistakes,
    field: &str,
    secret: &str,
    chars: RangeInclusive<usize>,
    is_fit: impl Fn(char) -> bool,
) {
    if !chars.contains(&secret.chars().count()) || !secret.chars().all(is_fit) {
        let expected = format!("{} to {} characters that can be typed", chars.start(), chars.end());
        mistakes.note(field, expected, "something else");
    }
}

fn check_address(mistakes: &mut Mistakes, field: &str, address: &str) {
    let is_atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let is_address = address.rsplit_once('@').is_some_and(|(local, domain)| {
        (1..=LOCAL_CHARS_MAX).contains(&local.len())
            && local.chars().all(is_atom)
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..")
            && is_name(domain)
    });
    if !is_address || address.len() > ADDRESS_CHARS_MAX {
        mistakes.note(field, "an e-mail address, as ops@example.org", address);
    }
}

/// The name of a host, as DNS has them.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_CHARS_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= SERVER_CHARS_MAX && text.split('.').all(is_label)
}

fn is_server(text: &str) -> bool {
    is_name(text) || text.parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok()
}

/// Host and port of a URL that something may be sent to: what may be shown of it.
fn destination(url: &str) -> Option<String> {
    // Where two readers of a URL could take different hosts from it, neither gets it.
    let is_plain = |c: char| c.is_ascii_graphic() && !"\\#\"<>^`{|}".contains(c);
    if url.len() > URL_CHARS_MAX || !url.chars().all(is_plain) {
        return None;
    }
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    if !matches!(uri.scheme_str(), Some("https" | "http")) || authority.as_str().contains(['@', '%']) {
        return None;
    }
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = bare.map_or_else(|| is_name(host), |host| host.parse::<Ipv6Addr>().is_ok());
    let port = authority.port_u16();
    let is_whole = match port {
        Some(port) => port > 0 && authority.as_str().ends_with(&format!(":{port}")),
        None => authority.as_str() == host,
    };
    (is_host && is_whole).then(|| authority.as_str().to_ascii_lowercase())
}

/// Scheme, host and port of a server, without a path.
fn origin(url: &str) -> Option<String> {
    let host = destination(url)?;
    let uri: Uri = url.parse().ok()?;
    let bare = uri.path() == "/" && uri.query().is_none();
    bare.then(|| format!("{}://{host}", uri.scheme_str().unwrap_or("https")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn mistakes_of(form: &Value) -> Vec<String> {
        let form: ChannelForm = serde_json::from_value(form.clone()).unwrap();
        let mut mistakes = Mistakes::default();
        form.check(&mut mistakes);
        let problem = serde_json::to_value(mistakes.into_result().err()).unwrap();
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|it| it["field"].as_str().unwrap().to_owned()).collect()
    }

    fn email() -> Value {
        json!({
            "type": "email", "to": ["ops@example.org"], "from": "watch@example.org", "server": "mail.example.org",
            "port": 465, "security": "tls", "user": "watch", "password": "x",
        })
    }

    fn settled(form: Value, before: Option<&Channel>) -> Result<(Channel, Kept), &'static str> {
        let form: ChannelForm = serde_json::from_value(form).unwrap();
        form.settle(before).map_err(|(field, ..)| field)
    }

    #[test]
    fn a_url_has_one_reading_or_is_refused() {
        for (url, host) in [
            ("https://Hooks.example.org/a/b?c=d", "hooks.example.org"),
            ("http://192.0.2.7:8080/", "192.0.2.7:8080"),
            ("https://[2001:db8::1]:8443/x", "[2001:db8::1]:8443"),
            ("https://example.org", "example.org"),
        ] {
            assert_eq!(destination(url).as_deref(), Some(host), "{url}");
        }
        let long = format!("https://example.org/{}", "a".repeat(URL_CHARS_MAX));
        for url in [
            "ftp://example.org/",
            "example.org",
            "/path",
            "https://",
            "https:///x",
            "https://a:b@example.org/",
            "https://example.org\\@evil.example/",
            "https://example.org/#x",
            "https://exa mple.org/",
            "https://example.org/\r\nX-Evil: 1",
            "https://exämple.org/",
            "https://%65xample.org/",
            "https://example.org:0/",
            "https://example.org:99999/",
            "https://example.org:/",
            "https://-a.org/",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://[::1/",
            &long,
        ] {
            assert_eq!(destination(url), None, "{url}");
        }
        assert_eq!(origin("https://Ntfy.sh/").as_deref(), Some("https://ntfy.sh"));
        assert_eq!(origin("https://ntfy.sh/topic"), None);
    }

    #[test]
    fn nothing_that_could_end_a_header_gets_into_one() {
        assert!(mistakes_of(&email()).is_empty());
        for (field, bad) in [
            ("to", json!(["ops@example.org\r\nBcc: all@example.org"])),
            ("to", json!([])),
            ("to", json!(vec!["ops@example.org"; 17])),
            ("from", json!("Watch <a@example.org>")),
            ("from", json!("a b@example.org")),
            ("from", json!("@example.org")),
            ("server", json!("mail.example.org\r\nQUIT")),
            ("server", json!("-x")),
            ("port", json!(0)),
            ("user", json!("a\nb")),
            ("password", json!("a\r\nb")),
        ] {
            let mut form = email();
            form[field] = bad;
            assert_eq!(mistakes_of(&form), [format!("channel.{field}")], "{form}");
        }
        let ntfy = |key: &str, value: &str| {
            let mut form =
                json!({"type": "ntfy", "server": "https://ntfy.sh", "topic": "ops", "token": "tk_1"});
            form[key] = json!(value);
            mistakes_of(&form)
        };
        assert!(ntfy("topic", "a_B-9").is_empty() && ntfy("token", "").is_empty());
        for (key, bad) in [
            ("topic", "a/b"),
            ("topic", ""),
            ("topic", &"a".repeat(65)),
            ("token", "a\r\nb"),
            ("server", "ntfy.sh"),
        ] {
            assert_eq!(ntfy(key, bad), [format!("channel.{key}")], "{bad}");
        }
    }

    #[test]
    fn a_secret_stays_only_where_it_goes_to_the_same_place() {
        let (channel, kept) = settled(email(), None).unwrap();
        assert_eq!(kept, Kept::New(ChannelSecret::Email { password: "x".to_owned() }));
        let before = with_secret(channel, Some(7));
        let without = |key: &str, value: Value| {
            let mut form = email();
            form["password"] = Value::Null;
            form[key] = value;
            settled(form, Some(&before)).map(|(_, kept)| kept)
        };
        assert_eq!(without("to", json!(["boss@example.org"])), Ok(Kept::Before(7)));
        assert_eq!(without("user", Value::Null), Ok(Kept::Nothing));
        for (key, other) in [
            ("server", json!("evil.example")),
            ("port", json!(25)),
            ("security", json!("plain")),
            ("user", json!("other")),
        ] {
            assert_eq!(without(key, other), Err("channel.password"), "{key}");
        }
        let hook = Channel::Webhook { host: "example.org".to_owned(), secret: 3 };
        assert_eq!(settled(json!({"type": "webhook"}), Some(&hook)).unwrap().1, Kept::Before(3));
        assert_eq!(settled(json!({"type": "webhook"}), None), Err("channel.url"));
        let url = "https://other.example/";
        let (moved, kept) = settled(json!({"type": "webhook", "url": url}), Some(&hook)).unwrap();
        assert_eq!(kept, Kept::Signed(url.to_owned()), "a key that others know goes on");
        assert_eq!(
            with_secret(moved, Some(4)),
            Channel::Webhook { host: "other.example".to_owned(), secret: 4 }
        );
        assert_eq!(settled(email(), Some(&hook)), Err("channel.type"));
        let (server, topic) = ("https://ntfy.sh".to_owned(), "ops".to_owned());
        let ntfy = Channel::Ntfy { server, topic, secret: Some(5) };
        let on = |server: &str| settled(json!({"type": "ntfy", "server": server, "topic": "b"}), Some(&ntfy));
        assert_eq!(on("https://ntfy.sh").unwrap().1, Kept::Before(5));
        assert_eq!(on("https://evil.example"), Err("channel.token"));
    }

    #[test]
    fn a_bots_token_has_its_shape() {
        let is_good = |token: &str| {
            let mut mistakes = Mistakes::default();
            check_bot_token(&mut mistakes, token);
            mistakes.into_result().is_ok()
        };
        assert!(is_good("123456789:AAE-x_aaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
        for bad in [
            "",
            "123",
            "123:",
            ":AAEaaaaaaaaaaaaa",
            "1 23:AAEaaaaaaaaaaaaa",
            "123:AAEaaaaaaa/aaaaaa",
            "x:AAEaaaaaaaaaaaaa",
        ] {
            assert!(!is_good(bad), "{bad}");
        }
    }
}
