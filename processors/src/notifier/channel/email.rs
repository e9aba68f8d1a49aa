//! E-mail over SMTP: a plain and an HTML part, all mails of an episode in one thread. The server is called as the guard
//! allows, and its certificate is held against its name.

use super::Reply;
use super::words::{self, Form, PLAIN};
use crate::notifier::message::{Body, Line, Message};
use crate::notifier::outgoing::{Outgoing, tls_reason};
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox as Address, MultiPart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::transport::smtp::{Error, response::Code};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};
use tokio::time::timeout;
use watchkeeper_schemas::receiver::SmtpSecurity;

/// From the look-up of the server's name to its last word: several questions and answers.
pub const MAIL_MAX: Duration = Duration::from_secs(10);
/// Of that, for one connection.
const CONNECT_MAX: Duration = Duration::from_secs(4);
/// For taking leave, once the mail is delivered.
const QUIT_MAX: Duration = Duration::from_secs(1);
/// Bytes of either part.
const TEXT_BYTES_MAX: usize = 256 << 10;
/// Bytes of a subject.
const SUBJECT_BYTES_MAX: usize = 200;
/// What the domain of ids is where the sender has none.
const NO_DOMAIN: &str = "watchkeeper.invalid";

const HTML: Form = Form {
    escape: |c, text| match c {
        '&' => text.push_str("&amp;"),
        '<' => text.push_str("&lt;"),
        '>' => text.push_str("&gt;"),
        '"' => text.push_str("&quot;"),
        '\'' => text.push_str("&#39;"),
        c => text.push(c),
    },
    size: str::len,
};

/// Who is written to, and through which server.
#[derive(Clone)]
pub struct Mailbox {
    /// To whom.
    pub to: Vec<String>,
    /// From whom.
    pub from: String,
    /// The SMTP server's name.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: SmtpSecurity,
    /// Name and password; none: without.
    pub login: Option<(String, String)>,
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Says that no person wrote it, so that no absent person's program answers.
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

impl Mailbox {
    /// Sends a message.
    pub async fn send(&self, outgoing: &Outgoing, message: &Message) -> Reply {
        let mail = match self.mail(message) {
            Ok(mail) => mail,
            Err(reply) => return reply,
        };
        let is_handed_over = AtomicBool::new(false);
        let deadline = Instant::now() + MAIL_MAX;
        let is_protected = self.security != SmtpSecurity::Plain;
        let (_turn, addresses) = match outgoing.reach(&self.server, self.port, is_protected, deadline).await {
            Ok(found) => found,
            Err(reply) => return reply,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let told = timeout(left, self.hand_over(outgoing, &addresses, &mail, &is_handed_over)).await;
        match told {
            Ok(Ok((mut connection, reply))) => {
                // The mail is delivered: whether the server says good-bye changes nothing.
                let _late = timeout(QUIT_MAX, connection.quit()).await.is_err();
                reply
            }
            Ok(Err(reply)) => reply,
            Err(_) if is_handed_over.load(Ordering::Relaxed) => {
                Reply::unknown(format!("no answer within {} s", MAIL_MAX.as_secs()))
            }
            Err(_) => Reply::not_now(format!("the server took longer than {} s", MAIL_MAX.as_secs())),
        }
    }

    async fn hand_over(
        &self,
        outgoing: &Outgoing,
        addresses: &[SocketAddr],
        mail: &lettre::Message,
        is_handed_over: &AtomicBool,
    ) -> Result<(AsyncSmtpConnection, Reply), Reply> {
        let mut connection = self.connect(outgoing, addresses, mail).await?;
        let envelope = mail.envelope();
        let mut parameters = Vec::new();
        if !envelope.from().into_iter().chain(envelope.to()).all(|it| AsRef::<str>::as_ref(it).is_ascii()) {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err(Reply::refused("the server takes no address with such letters"));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        let before = |error: Error| judged(&error, "");
        connection.command(Mail::new(envelope.from().cloned(), parameters)).await.map_err(before)?;
        let mut refusals = Vec::new();
        for to in envelope.to() {
            match connection.command(Rcpt::new(to.clone(), Vec::new())).await {
                Ok(_) => {}
                Err(error) if error.status().is_some() => refusals.push(error),
                Err(error) => return Err(before(error)),
            }
        }
        if refusals.len() == envelope.to().len() {
            let again = refusals.iter().find(|error| error.is_transient());
            let said = again.or(refusals.first()).map(|error| judged(error, "the address is refused"));
            return Err(said.unwrap_or_else(|| Reply::refused("there is nobody to write to")));
        }
        connection.command(Data).await.map_err(before)?;
        is_handed_over.store(true, Ordering::Relaxed);
        let answer = connection.message(&mail.formatted()).await.map_err(|error| match error.status() {
            Some(_) => judged(&error, "the mail is refused"),
            None => Reply::unknown("the connection broke before the server had taken the mail"),
        })?;
        let mut told = format!("SMTP {}", answer.code());
        if let Some(code) = refusals.first().and_then(Error::status) {
            told.push_str(&format!(
                "; {} of {} addresses refused, SMTP {code}",
                refusals.len(),
                envelope.to().len()
            ));
        }
        Ok((connection, Reply::delivered(told, None)))
    }

    /// A connection over which mails may be sent.
    async fn connect(
        &self,
        outgoing: &Outgoing,
        addresses: &[SocketAddr],
        mail: &lettre::Message,
    ) -> Result<AsyncSmtpConnection, Reply> {
        let domain = mail.envelope().from().map_or(NO_DOMAIN, |from| from.domain());
        let hello = ClientId::Domain(domain.to_owned());
        let tls = match self.security {
            SmtpSecurity::Plain => None,
            SmtpSecurity::Tls | SmtpSecurity::StartTls => Some(self.tls(outgoing)?),
        };
        let at_once = tls.clone().filter(|_| self.security == SmtpSecurity::Tls);
        let connected =
            AsyncSmtpConnection::connect_tokio1(addresses, Some(CONNECT_MAX), &hello, at_once, None).await;
        let mut connection = connected.map_err(|error| judged(&error, "the server turns us away"))?;
        if let (SmtpSecurity::StartTls, Some(tls)) = (self.security, tls) {
            if !connection.can_starttls() {
                return Err(Reply::refused("the server offers no STARTTLS: choose TLS, or another port"));
            }
            connection.starttls(tls, &hello).await.map_err(|error| judged(&error, "STARTTLS is refused"))?;
        }
        if let Some((user, password)) = &self.login {
            let credentials = Credentials::new(user.clone(), password.clone());
            let known = [Mechanism::Plain, Mechanism::Login];
            if connection.server_info().get_auth_mechanism(&known).is_none() {
                return Err(Reply::refused("the server offers no log-in that is known here (PLAIN, LOGIN)"));
            }
            connection
                .auth(&known, &credentials)
                .await
                .map_err(|error| judged(&error, "the log-in is refused"))?;
        }
        Ok(connection)
    }

    /// TLS for the server's name, whatever address it has, by the authorities that are trusted.
    fn tls(&self, outgoing: &Outgoing) -> Result<TlsParameters, Reply> {
        let wrong = |_| Reply::refused("the server's name cannot be in a certificate");
        let mut tls = TlsParameters::builder(self.server.trim_end_matches('.').to_owned())
            .certificate_store(CertificateStore::None);
        for trusted in outgoing.trusted() {
            tls = tls.add_root_certificate(Certificate::from_der(trusted.to_vec()).map_err(wrong)?);
        }
        tls.build_rustls().map_err(wrong)
    }

    /// The mail that a message becomes.
    fn mail(&self, message: &Message) -> Result<lettre::Message, Reply> {
        let address = |text: &str| {
            let parsed = text.parse::<Address>();
            parsed.map_err(|_| {
                Reply::refused("an address of a sender or receiver is none: expected name@example.org")
            })
        };
        let from = address(&self.from)?;
        let domain = from.email.domain().to_owned();
        let mut mail = lettre::Message::builder()
            .subject(subject(message))
            .date(UNIX_EPOCH + Duration::from_millis(message.time.0))
            .message_id(Some(format!("<{}@{domain}>", local_part(&message.id))))
            .header(AutoSubmitted);
        if let Some(first) = words::lines(message).first() {
            let thread = format!("<episode.{}@{domain}>", local_part(first.episode.as_str()));
            mail = mail.in_reply_to(thread.clone()).references(thread);
        }
        for to in &self.to {
            mail = mail.to(address(to)?);
        }
        let parts = MultiPart::alternative_plain_html(plain(message), html(message));
        mail.from(from).multipart(parts).map_err(|_| Reply::refused("there is nobody to write to"))
    }
}

/// What may stand before the `@` of an id.
fn local_part(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() || "-_~.".contains(c) { c } else { '-' }).collect()
}

fn subject(message: &Message) -> String {
    let title = PLAIN.piece(&PLAIN.title(message), SUBJECT_BYTES_MAX);
    if message.possible_repeat { format!("{title} (possible repeat)") } else { title }
}

fn plain(message: &Message) -> String {
    let told = PLAIN.whole(message, TEXT_BYTES_MAX, |line| {
        let link = words::link(&line.link).unwrap_or_default();
        format!("{}\n{}\n{link}", PLAIN.headline(line), PLAIN.facts(line))
    });
    format!("{told}\n\n-- \n{}\n", foot(&PLAIN, message))
}

fn html(message: &Message) -> String {
    let told = HTML.whole(message, TEXT_BYTES_MAX, html_line);
    let paragraphs: String = told.split("\n\n").map(|part| format!("<p>{part}</p>\n")).collect();
    let foot = foot(&HTML, message);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"></head>\n\
         <body style=\"font-family: sans-serif\">\n{paragraphs}<p style=\"color: #666\">{foot}</p>\n</body></html>\n"
    )
}

fn html_line(line: &Line) -> String {
    let link = words::link(&line.link).map(|url| HTML.ours(&url));
    let link = link.map(|url| format!("<br>\n<a href=\"{url}\">Open</a>")).unwrap_or_default();
    format!("<strong>{}</strong><br>\n{}{link}", HTML.headline(line), HTML.facts(line))
}

fn foot(form: &Form, message: &Message) -> String {
    let team = form.team(message);
    let page = match &message.body {
        Body::Test { link, .. } | Body::Alerts { link, .. } => words::link(link).unwrap_or_default(),
    };
    format!("{team} · {}", form.ours(&page))
}

/// What a failure means; `what` says it in words where the server gave but a code.
fn judged(error: &Error, what: &str) -> Reply {
    if let Some(code) = error.status() {
        let colon = if what.is_empty() { "" } else { ": " };
        let told = format!("SMTP {code}{colon}{what}");
        return if is_for_good(code) { Reply::refused(told) } else { Reply::not_now(told) };
    }
    if let Some(why) = tls_reason(error) {
        return Reply::not_now(why);
    }
    if error.is_timeout() {
        return Reply::not_now("no connection in time");
    }
    if error.is_response() {
        return Reply::not_now("what it answered is no SMTP");
    }
    Reply::not_now(refused_connection(error).unwrap_or("the connection broke before a mail was handed over"))
}

fn is_for_good(code: Code) -> bool {
    u16::from(code) >= 500
}

fn refused_connection(error: &Error) -> Option<&'static str> {
    let source = std::error::Error::source(error)?.downcast_ref::<std::io::Error>()?;
    (source.kind() == std::io::ErrorKind::ConnectionRefused).then_some("connection refused")
}
