//! E-mail against a real SMTP server, aiosmtpd.

use crate::hostile;
use crate::messages::{PAGE, line, message, open, test};
use crate::receiver::Authority;
use serde::Deserialize;
use std::io::{BufRead as _, BufReader, Lines};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};
use watchkeeper_processors::notifier::channel::{Reply, Target, email::Mailbox};
use watchkeeper_processors::notifier::message::{Body, Line, Message};
use watchkeeper_processors::notifier::outgoing::Outgoing;
use watchkeeper_schemas::notice::AnswerWord;
use watchkeeper_schemas::receiver::SmtpSecurity;
use xtask::tools::smtp_server;

const PASSWORD: &str = "a night watch of nine bells";
/// The ten seconds of a mail, and what a busy machine adds.
const MAIL_MAX: Duration = Duration::from_secs(12);
const THREAD: &str = "<episode.disks~web-1~4711~00112233445566ff@example.org>";

static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

/// The server, stopped at the end.
struct Server {
    python: Child,
    port: u16,
    security: SmtpSecurity,
    mails: Mutex<Lines<BufReader<ChildStdout>>>,
}

/// What arrived, as a mail program reads it.
#[derive(Debug, Deserialize)]
struct Mail {
    from: String,
    to: Vec<String>,
    is_tls: bool,
    is_known: bool,
    headers: Vec<(String, String)>,
    defects: Vec<String>,
    longest_line: usize,
    is_ascii: bool,
    parts: Vec<String>,
    plain: String,
    html_tags: Vec<String>,
    html_links: Vec<String>,
    html_text: String,
}

impl Server {
    fn start(security: SmtpSecurity) -> Self {
        let (python, packages) = smtp_server().unwrap();
        let mode = match security {
            SmtpSecurity::Tls => "tls",
            SmtpSecurity::StartTls => "starttls",
            SmtpSecurity::Plain => "plain",
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/channels/smtp_server.py");
        let mut python = Command::new(python)
            .arg(script)
            .arg(mode)
            .arg(AUTHORITY.folder())
            .env("PYTHONPATH", packages)
            .env("PYTHONWARNINGS", "ignore")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut mails = BufReader::new(python.stdout.take().unwrap()).lines();
        let port = mails.next().unwrap().unwrap().parse().unwrap();
        Self { python, port, security, mails: Mutex::new(mails) }
    }

    fn mailbox(&self, to: &[&str]) -> Mailbox {
        Mailbox {
            to: to.iter().map(|it| (*it).to_owned()).collect(),
            from: "Watchkeeper <watch@example.org>".to_owned(),
            server: "localhost".to_owned(),
            port: self.port,
            security: self.security,
            login: (self.security != SmtpSecurity::Plain).then(|| ("watch".to_owned(), PASSWORD.to_owned())),
        }
    }

    fn next(&self) -> Mail {
        serde_json::from_str(&self.mails.lock().unwrap().next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.python.kill().unwrap();
        self.python.wait().unwrap();
    }
}

impl Mail {
    fn header(&self, name: &str) -> &str {
        let found: Vec<_> = self.headers.iter().filter(|(it, _)| it == name).collect();
        assert_eq!(found.len(), 1, "{name}: {:?}", self.headers);
        &found[0].1
    }
}

fn trusting() -> Outgoing {
    let local = vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
    Outgoing::trusting(local, AUTHORITY.trusted()).unwrap()
}

async fn send(mailbox: &Mailbox, outgoing: &Outgoing, message: &Message) -> Reply {
    let start = Instant::now();
    let reply = Target::Email(mailbox.clone()).send(outgoing, message).await;
    assert!(start.elapsed() < MAIL_MAX, "{:?}: {reply:?}", start.elapsed());
    assert!(!reply.detail.contains("script"), "{reply:?}");
    reply
}

#[tokio::test]
async fn a_mail_arrives_by_tls_starttls_and_plainly() {
    for (security, is_protected) in
        [(SmtpSecurity::Tls, true), (SmtpSecurity::StartTls, true), (SmtpSecurity::Plain, false)]
    {
        let server = Server::start(security);
        let reply = send(&server.mailbox(&["ops@example.org"]), &trusting(), &message(vec![line()])).await;
        assert_eq!(reply, Reply::delivered("SMTP 250", None), "{security:?}");
        let mail = server.next();
        assert_eq!((mail.is_tls, mail.is_known), (is_protected, is_protected), "{security:?}");
        assert_eq!((mail.from.as_str(), mail.to), ("watch@example.org", vec!["ops@example.org".to_owned()]));
    }
}

#[tokio::test]
async fn a_mail_is_whole_and_threads_by_its_episode() {
    let server = Server::start(SmtpSecurity::StartTls);
    let mailbox = server.mailbox(&["ops@example.org", "Night Watch <night@example.org>"]);
    let outgoing = trusting();
    send(&mailbox, &outgoing, &message(vec![line()])).await;
    let over = Line { is_over: true, duration_ms: Some(90_000), ..line() };
    let later = Message { id: "11".to_owned(), possible_repeat: true, ..message(vec![over, line()]) };
    send(&mailbox, &outgoing, &later).await;
    send(&mailbox, &outgoing, &test()).await;
    let (first, later, test) = (server.next(), server.next(), server.next());
    assert_eq!(first.header("Subject"), "Critical: web-1: Disks /srv");
    assert_eq!(later.header("Subject"), "Over: web-1: Disks /srv (and 1 more) (possible repeat)");
    assert_eq!(test.header("Subject"), "Test of Watchkeeper");
    assert_eq!(first.header("Message-ID"), "<00ff00ff@example.org>");
    assert_eq!(later.header("Message-ID"), "<11@example.org>");
    for mail in [&first, &later] {
        assert_eq!((mail.header("References"), mail.header("In-Reply-To")), (THREAD, THREAD));
    }
    for mail in [&first, &later, &test] {
        assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
        assert_eq!(mail.header("Date"), "Mon, 21 Sep 2026 14:15:20 +0000");
        assert_eq!(mail.header("From"), "Watchkeeper <watch@example.org>");
        assert_eq!(mail.header("To"), "ops@example.org, Night Watch <night@example.org>");
        assert_eq!(mail.parts, ["multipart/alternative", "text/plain", "text/html"]);
        assert!(mail.defects.is_empty() && mail.is_ascii && mail.longest_line <= 998, "{mail:?}");
    }
    let facts = "97.2 % (> 90 %) · since 2026-09-21 14:13:20 UTC · worst 98.1 % · 2 short episodes before";
    let foot = format!("Acme & Sons · {PAGE}alerts");
    let said = format!("Critical: web-1: Disks /srv\n{facts}\n{}\n\n-- \n{foot}\n", line().link);
    assert_eq!(first.plain.replace("\r\n", "\n"), said);
    assert!(first.html_text.contains(facts) && first.html_text.contains(&foot), "{}", first.html_text);
    assert_eq!(first.html_links, [line().link]);
    assert!(
        later.plain.starts_with("Possible repeat") && later.plain.contains("lasted 1 min 30 s"),
        "{later:?}"
    );
}

#[tokio::test]
async fn what_a_server_says_is_told_apart() {
    let server = Server::start(SmtpSecurity::StartTls);
    let outgoing = trusting();
    for (to, answer, detail) in [
        (&["nobody@example.org"][..], AnswerWord::Refused, "SMTP 550: the address is refused"),
        (&["later@example.org"], AnswerWord::NotNow, "SMTP 451: the address is refused"),
        (
            &["later@example.org", "nobody@example.org"],
            AnswerWord::NotNow,
            "SMTP 451: the address is refused",
        ),
        (
            &["nobody@x.example", "ops@x.example"],
            AnswerWord::Delivered,
            "SMTP 250; 1 of 2 addresses refused, SMTP 550",
        ),
        (&["spam@example.org"], AnswerWord::Refused, "SMTP 554: the mail is refused"),
        (&["full@example.org"], AnswerWord::NotNow, "SMTP 452: the mail is refused"),
        (
            &["drop@example.org"],
            AnswerWord::Unknown,
            "the connection broke before the server had taken the mail",
        ),
        (&["hang@example.org"], AnswerWord::Unknown, "no answer within 10 s"),
    ] {
        let reply = send(&server.mailbox(to), &outgoing, &message(vec![line()])).await;
        assert_eq!((reply.answer, reply.detail.as_str()), (answer, detail), "{to:?}");
    }
    let right = server.mailbox(&["ops@example.org"]);
    let login = Some(("watch".to_owned(), "wrong".to_owned()));
    let stranger = send(&Mailbox { login, ..right.clone() }, &outgoing, &test()).await;
    assert_eq!(stranger, Reply::refused("SMTP 535: the log-in is refused"));
    let nobody = send(&Mailbox { login: None, ..right }, &outgoing, &test()).await;
    assert_eq!(nobody, Reply::refused("SMTP 530"));
}

#[tokio::test]
async fn protection_is_never_left_out() {
    let (plain, protected) = (Server::start(SmtpSecurity::Plain), Server::start(SmtpSecurity::Tls));
    let outgoing = trusting();
    let of = |server: &Server, security| Mailbox { security, ..server.mailbox(&["ops@example.org"]) };
    let none = send(&of(&plain, SmtpSecurity::StartTls), &outgoing, &test()).await;
    assert_eq!(none, Reply::refused("the server offers no STARTTLS: choose TLS, or another port"));
    let deaf = send(&of(&plain, SmtpSecurity::Tls), &outgoing, &test()).await;
    assert_eq!(deaf, Reply::not_now("it does not speak TLS"));
    let right = of(&protected, SmtpSecurity::Tls);
    let strange = send(&right, &open(), &test()).await;
    assert_eq!(strange, Reply::not_now("nobody that this host trusts vouches for its certificate"));
    let other = Mailbox { server: "127.0.0.1".to_owned(), ..right.clone() };
    assert_eq!(send(&other, &outgoing, &test()).await, Reply::not_now("its certificate is for another name"));
    let closed = Outgoing::trusting(Vec::new(), AUTHORITY.trusted()).unwrap();
    for server in ["localhost", "127.0.0.1", "0x7f000001", "::1", "::ffff:127.0.0.1"] {
        let mailbox = Mailbox { server: server.to_owned(), ..right.clone() };
        let reply = send(&mailbox, &closed, &test()).await;
        assert!(
            reply.answer == AnswerWord::Refused && reply.detail.contains("--receiver-networks"),
            "{reply:?}"
        );
    }
    let bare = Mailbox { server: "9.9.9.9".to_owned(), security: SmtpSecurity::Plain, ..right.clone() };
    let reply = send(&bare, &outgoing, &test()).await;
    assert!(reply.answer == AnswerWord::Refused && reply.detail.contains("TLS only"), "{reply:?}");
}

#[tokio::test]
async fn a_server_that_is_away_or_silent_has_certainly_taken_nothing() {
    let outgoing = trusting();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mailbox = Mailbox {
        to: vec!["ops@example.org".to_owned()],
        from: "watch@example.org".to_owned(),
        server: "localhost".to_owned(),
        port: away,
        security: SmtpSecurity::StartTls,
        login: None,
    };
    assert_eq!(send(&mailbox, &outgoing, &test()).await, Reply::not_now("connection refused"));
    let port = silent.local_addr().unwrap().port();
    for security in [SmtpSecurity::StartTls, SmtpSecurity::Tls] {
        let reply = send(&Mailbox { port, security, ..mailbox.clone() }, &outgoing, &test()).await;
        assert_eq!(reply, Reply::not_now("the server took longer than 10 s"), "{security:?}");
    }
    let unknown = Mailbox { server: "no-such-host.invalid".to_owned(), ..mailbox.clone() };
    assert_eq!(send(&unknown, &outgoing, &test()).await.answer, AnswerWord::NotNow);
    for (from, to) in [
        ("watch", "ops@example.org"),
        ("watch@example.org", "ops@example.org\r\nBcc: eve@example.org"),
        ("a@b\r\nX: y", "ops@example.org"),
        ("watch@example.org", "<>"),
    ] {
        let wrong = Mailbox { from: from.to_owned(), to: vec![to.to_owned()], ..mailbox.clone() };
        assert_eq!(send(&wrong, &outgoing, &test()).await.answer, AnswerWord::Refused, "{from:?} {to:?}");
    }
}

#[tokio::test]
async fn ten_thousand_hostile_names_add_no_header_and_no_tag() {
    let server = Server::start(SmtpSecurity::Plain);
    let outgoing = trusting();
    let mailbox = server.mailbox(&["ops@example.org"]);
    let headers = [
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "In-Reply-To",
        "References",
        "To",
        "From",
        "MIME-Version",
        "Content-Type",
    ];
    let tags = ["html", "head", "meta", "body", "p", "strong", "br", "a"];
    let sent = hostile::messages(10);
    assert_eq!(sent.len(), 167);
    for sent in sent {
        assert_eq!(send(&mailbox, &outgoing, &sent).await.answer, AnswerWord::Delivered);
        let mail = server.next();
        let found: Vec<&str> = mail.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(found, headers);
        assert!(mail.html_tags.iter().all(|it| tags.contains(&it.as_str())), "{:?}", mail.html_tags);
        assert!(mail.html_links.iter().all(|it| it.starts_with(PAGE)), "{:?}", mail.html_links);
        assert!(mail.defects.is_empty() && mail.is_ascii && mail.longest_line <= 998);
        assert_eq!(mail.to, ["ops@example.org"]);
        hostile::check_text(mail.header("Subject"));
        hostile::check_text(&mail.plain.replace('\r', ""));
        // What people read is the same in both parts: nothing was lost to an entity.
        let Body::Alerts { lines, .. } = &sent.body else { unreachable!() };
        assert_eq!(mail.html_tags.iter().filter(|it| *it == "strong").count(), lines.len());
        let plain = mail.plain.replace("\r\n", "\n");
        let headlines = |text: &str| -> Vec<String> {
            text.lines().filter(|it| it.starts_with("Critical: ")).map(str::to_owned).collect()
        };
        let pairs: Vec<_> = headlines(&plain).into_iter().zip(headlines(&mail.html_text)).collect();
        assert_eq!(pairs.len(), lines.len());
        for (plain, html) in pairs {
            // Entities take more of a name's place: it may be cut sooner, never amid one.
            let told = html.split('…').next().unwrap();
            assert!(plain.starts_with(told) && told.len() > 16, "{html}\n{plain}");
        }
    }
}
