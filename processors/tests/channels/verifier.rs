//! The receiver in Python that docs/receivers.md shows, word for word, against real deliveries.

use crate::messages::{line, message, open};
use data_encoding::BASE64URL_NOPAD;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use watchkeeper_processors::notifier::channel::{Reply, Target, webhook::Hook};
use watchkeeper_processors::notifier::outgoing::Call;
use watchkeeper_schemas::notice::AnswerWord;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The block of Python in the page.
fn example() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/receivers.md");
    let page = std::fs::read_to_string(page).unwrap();
    let block = page.split("```python\n").nth(1).expect("a block of Python in docs/receivers.md");
    block.split("```").next().unwrap().to_owned()
}

#[tokio::test]
async fn the_documented_receiver_takes_what_is_signed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("receiver.py"), example()).unwrap();
    let key = [7; 32];
    let python = Command::new("python3")
        .args(["-u", "receiver.py", "0"])
        .current_dir(folder.path())
        .env("WATCHKEEPER_KEY", BASE64URL_NOPAD.encode(&key))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut running = Running(python.expect("python3"));
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let told = lines.next().unwrap().unwrap();
    let port: u16 = told.rsplit(' ').next().unwrap().parse().expect("the port in its first line");
    let url = format!("http://127.0.0.1:{port}/");
    let hook = |key: &[u8]| Target::Webhook(Hook { url: url.clone(), key: key.to_vec() });

    let reply = hook(&key).send(&open(), &message(vec![line()])).await;
    assert_eq!(reply, Reply::delivered("HTTP 204", None));
    assert_eq!(lines.next().unwrap().unwrap(), "critical open web-1 Disks /srv: 97.2 % (> 90 %)");
    let stranger = hook(b"another key").send(&open(), &message(vec![line()])).await;
    assert_eq!((stranger.answer, stranger.detail.as_str()), (AnswerWord::Refused, "HTTP 401"));
    // A second copy is taken and told of no more.
    let again = hook(&key).send(&open(), &message(vec![line()])).await;
    assert_eq!(again.answer, AnswerWord::Delivered);
    let other = watchkeeper_processors::notifier::message::Message {
        id: "other".to_owned(),
        ..message(vec![line()])
    };
    assert_eq!(hook(&key).send(&open(), &other).await.answer, AnswerWord::Delivered);
    assert!(lines.next().unwrap().unwrap().starts_with("critical"), "the other message");

    // What somebody kept for an hour, rightly signed then.
    let hour_ago = jiff::Timestamp::now().as_second() - 3600;
    let signed = format!("{hour_ago}.{{}}");
    let made = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key), signed.as_bytes());
    let signature = format!("v1={}", data_encoding::HEXLOWER.encode(made.as_ref()));
    let headers = vec![("Watchkeeper-Timestamp", hour_ago.to_string()), ("Watchkeeper-Signature", signature)];
    let replayed = open().post(Call { url, headers, body: b"{}".to_vec() }).await.unwrap();
    assert_eq!(replayed.status, 401);
}
