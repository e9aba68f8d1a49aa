//! The port that clients connect to beyond loopback: it speaks TLS, or the folder is not made.

use crate::server::{Server, options};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use watchkeeper_nats::{Outcome, Program, SetupError, SetupOptions, Tls, setup};

/// A certificate for 127.0.0.1 that is its own authority, and its key.
fn certificate(dir: &Path) -> (PathBuf, PathBuf) {
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-out".as_ref(), cert.as_os_str(), "-keyout".as_ref(), key.as_os_str()])
        .output()
        .expect("openssl, which every development machine has");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (cert, key)
}

#[test]
fn a_port_beyond_loopback_speaks_tls_or_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(dir.path());
    let beyond = |tls| SetupOptions {
        listen: "0.0.0.0:4222".parse().unwrap(),
        tls,
        ..options(&dir.path().join("nats"), &["a"])
    };
    let error = setup(&beyond(Tls::Off)).unwrap_err();
    assert!(
        matches!(&error, SetupError::Plain { .. }) && error.to_string().contains("--tls-cert"),
        "{error}"
    );
    assert!(!dir.path().join("nats").exists(), "something was made all the same");
    let files = Tls::Files { cert, key };
    setup(&beyond(files.clone())).unwrap();
    let again = setup(&beyond(files)).unwrap();
    assert!(again.files.iter().all(|(_, outcome)| *outcome == Outcome::Kept), "{again:?}");
    let elsewhere = setup(&beyond(Tls::Elsewhere)).unwrap();
    assert!(!fs::read_to_string(elsewhere.layout.conf()).unwrap().contains("cert_file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_know_the_certificate_or_speaks_plainly_is_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(dir.path());
    let server = Server::start_with(&["a"], Tls::Files { cert: cert.clone(), key });
    let connect = |roots: Option<PathBuf>, scheme: &str| {
        let options =
            async_nats::ConnectOptions::with_credentials(&server.program(Program::Gateway)).unwrap();
        let options = options.custom_inbox_prefix("_INBOX.gateway");
        let options = match roots {
            Some(roots) => options.add_root_certificates(roots),
            None => options,
        };
        options.connect(format!("{scheme}://{}", server.address))
    };
    let client = connect(Some(cert), "tls").await.unwrap();
    client.flush().await.unwrap();
    let error = connect(None, "tls").await.unwrap_err();
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    let said = crate::client::Client::connect(&server.address, &server.program(Program::Gateway)).err();
    assert!(said.is_some(), "a client that speaks no TLS was served");
}
