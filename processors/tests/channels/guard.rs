//! The guard on outgoing calls: who is not called, and what comes of those who are.

use crate::messages::open;
use crate::receiver::{Answer, Authority, Receiver, Request};
use std::net::TcpListener;
use std::time::{Duration, Instant};
use watchkeeper_processors::notifier::channel::Reply;
use watchkeeper_processors::notifier::outgoing::{Answered, Call, Network, Outgoing};
use watchkeeper_schemas::notice::AnswerWord;

/// The five seconds of a call, and what a busy machine adds.
const CALL_MAX: Duration = Duration::from_secs(7);

async fn post(outgoing: &Outgoing, url: &str) -> Result<Answered, Reply> {
    let call = Call { url: url.to_owned(), headers: Vec::new(), body: b"{}".to_vec() };
    let start = Instant::now();
    let answered = outgoing.post(call).await;
    assert!(start.elapsed() < CALL_MAX, "{url} took {:?}", start.elapsed());
    answered
}

async fn refused(outgoing: &Outgoing, url: &str) -> Reply {
    let reply = post(outgoing, url).await.expect_err(url);
    assert!(reply.message.is_none() && reply.retry_after.is_none(), "{url}: {reply:?}");
    reply
}

fn localhost() -> Vec<Network> {
    vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]
}

#[tokio::test]
async fn nothing_private_is_called_in_whatever_form_it_is_written() {
    let receiver = Receiver::start(|_| Answer::status(200));
    let closed = Outgoing::new(Vec::new()).unwrap();
    let elsewhere = Outgoing::new(vec!["10.0.0.0/8".parse().unwrap()]).unwrap();
    let port = receiver.port;
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "0x7f.1",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "192.168.0.1",
        "100.100.100.200",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/");
            for outgoing in [&closed, &elsewhere] {
                let reply = refused(outgoing, &url).await;
                assert_eq!(reply.answer, AnswerWord::Refused, "{url}: {reply:?}");
                assert!(reply.detail.contains("--receiver-networks"), "{url}: {reply:?}");
            }
        }
    }
    // Not every system knows the name with its dot: called it is by none.
    let dotted = refused(&closed, &format!("https://localhost.:{port}/")).await;
    assert!(matches!(dotted.answer, AnswerWord::Refused | AnswerWord::NotNow), "{dotted:?}");
    let named = refused(&open(), &format!("http://user:secret@127.0.0.1:{port}/")).await;
    assert!(named.answer == AnswerWord::Refused && !named.detail.contains("secret"), "{named:?}");
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn what_is_allowed_is_called_and_without_tls_nothing_else_is() {
    let receiver = Receiver::start(|_| Answer::status(200));
    for host in ["127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{}/", receiver.port);
        assert_eq!(post(&open(), &url).await.map(|it| it.status), Ok(200), "{url}");
    }
    let open_net = refused(&open(), "http://9.9.9.9/").await;
    assert_eq!(open_net.answer, AnswerWord::Refused);
    assert!(open_net.detail.contains("https://"), "{open_net:?}");
}

#[tokio::test]
async fn nobody_is_sent_on() {
    let inner = Receiver::start(|_| Answer::status(200));
    let target = inner.url();
    for status in [301, 302, 303, 307, 308] {
        let location = ("Location", target.clone());
        let outer =
            Receiver::start(move |_: &Request| Answer::Http(status, vec![location.clone()], Vec::new()));
        assert_eq!(post(&open(), &outer.url()).await.unwrap().status, status);
    }
    assert_eq!(inner.connections(), 0);
}

#[tokio::test]
async fn an_answer_is_bounded_in_size_and_time() {
    let large = Receiver::start(|_| Answer::Http(200, Vec::new(), vec![b'x'; 1 << 20]));
    assert_eq!(post(&open(), &large.url()).await.unwrap().body.len(), 64 << 10);
    let head = Receiver::start(|_| Answer::Trickle(b"HTTP/1.1 200 OK\r\nx-long: "));
    let reply = refused(&open(), &head.url()).await;
    assert_eq!(reply, Reply::unknown("no answer within 5 s"));
    // Its status has said that it took the message.
    let body = Receiver::start(|request: &Request| match request.path.as_str() {
        "/hook?secret=7" => Answer::Trickle(b"HTTP/1.1 202 OK\r\n\r\nx"),
        _ => Answer::status(404),
    });
    assert_eq!(post(&open(), &body.url()).await.unwrap().status, 202);
}

#[tokio::test]
async fn headers_without_end_are_not_collected() {
    let headers = (0..2_000).map(|_| ("X-Long", "x".repeat(100))).collect::<Vec<_>>();
    let long = Receiver::start(move |_: &Request| Answer::Http(200, headers.clone(), Vec::new()));
    assert_eq!(refused(&open(), &long.url()).await.answer, AnswerWord::Unknown);
}

#[tokio::test]
async fn what_was_sent_or_not_is_told_apart() {
    let hangs = Receiver::start(|_| Answer::Hang);
    assert_eq!(refused(&open(), &hangs.url()).await, Reply::unknown("no answer within 5 s"));
    let closes = Receiver::start(|_| Answer::Close);
    let broken = Reply::unknown("the connection broke before an answer came");
    assert_eq!(refused(&open(), &closes.url()).await, broken);
    let speaks = Receiver::start(|_| Answer::Raw(b"220 mail.example.org ESMTP\r\n\r\n"));
    assert_eq!(refused(&open(), &speaks.url()).await.answer, AnswerWord::Unknown);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = refused(&open(), &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(nobody, Reply::not_now("connection refused"));
    let unknown = refused(&open(), "https://no-such-host.invalid/").await;
    assert_eq!(unknown, Reply::not_now("the name no-such-host.invalid does not resolve"));
}

#[tokio::test]
async fn a_certificate_is_held_against_the_name_and_the_authorities() {
    let authority = Authority::new();
    let receiver = Receiver::with_tls(&authority, |_| Answer::status(204));
    let trusting = Outgoing::trusting(localhost(), authority.trusted()).unwrap();
    let url = |host: &str| format!("https://{host}:{}/", receiver.port);
    assert_eq!(post(&trusting, &url("localhost")).await.unwrap().status, 204);
    let wrong = refused(&trusting, &url("127.0.0.1")).await;
    assert_eq!(wrong, Reply::not_now("its certificate is for another name"));
    let strange = refused(&open(), &url("localhost")).await;
    assert_eq!(strange, Reply::not_now("nobody that this host trusts vouches for its certificate"));
    let plain = Receiver::start(|_| Answer::status(200));
    let deaf = refused(&trusting, &format!("https://localhost:{}/", plain.port)).await;
    assert_eq!(deaf.answer, AnswerWord::NotNow, "{deaf:?}");
    // A socket that accepts and never speaks: nothing was told to it.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let reply = refused(&trusting, &format!("https://localhost:{port}/")).await;
    assert_eq!(reply, Reply::not_now("no connection in time"));
    assert_eq!(receiver.seen().len(), 1);
}
