//! A small HTTP receiver: answers as it is told and keeps a journal of what arrived.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

/// Between two bytes of an answer that trickles.
const TRICKLE: Duration = Duration::from_millis(200);

/// What arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What is answered.
pub(crate) enum Answer {
    /// Status, headers, body.
    Http(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// These bytes and no more.
    Raw(&'static [u8]),
    /// Nothing, until the other side goes.
    Hang,
    /// The connection ends without a word.
    Close,
    /// A byte of these now and then, for ever.
    Trickle(&'static [u8]),
}

type Answers = dyn Fn(&Request) -> Answer + Send + Sync;

/// It listens on 127.0.0.1 until it is dropped.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
    connections: Arc<Mutex<u32>>,
    stop: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

/// An authority, and a certificate of it for `localhost`.
pub(crate) struct Authority {
    folder: TempDir,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Answer {
    /// A status with nothing else.
    pub(crate) fn status(status: u16) -> Self {
        Self::Http(status, Vec::new(), Vec::new())
    }
}

impl Receiver {
    pub(crate) fn start(answers: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::listen(Arc::new(answers), None)
    }

    pub(crate) fn with_tls(
        authority: &Authority,
        answers: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Arc::new(answers), Some(authority.server()))
    }

    fn listen(answers: Arc<Answers>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let connections = Arc::new(Mutex::new(0));
        let (journal, counted, ended) = (Arc::clone(&seen), Arc::clone(&connections), Arc::clone(&stop));
        let listening = std::thread::spawn(move || {
            let mut guests = Vec::new();
            for socket in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                *counted.lock().unwrap() += 1;
                let (answers, journal, tls) = (Arc::clone(&answers), Arc::clone(&journal), tls.clone());
                guests.push(std::thread::spawn(move || serve(socket.unwrap(), tls, &*answers, &journal)));
            }
            guests.into_iter().for_each(|guest| guest.join().unwrap());
        });
        Self { port, seen, connections, stop, listening: Some(listening) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook?secret=7", self.port)
    }

    /// What arrived, in order.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// How often somebody connected.
    pub(crate) fn connections(&self) -> u32 {
        *self.connections.lock().unwrap()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let woken = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port)));
        if let (Ok(_), Some(listening)) = (woken, self.listening.take()) {
            let ended = listening.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the receiver met what it does not take");
        }
    }
}

fn serve(
    socket: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    answers: &Answers,
    journal: &Mutex<Vec<Request>>,
) {
    // Who is refused hangs up at any moment: that is for the other side to report.
    let _gone = match tls {
        None => talk(socket.try_clone().unwrap(), &socket, answers, journal).is_err(),
        Some(tls) => {
            let stream = StreamOwned::new(ServerConnection::new(tls).unwrap(), socket.try_clone().unwrap());
            talk(stream, &socket, answers, journal).is_err()
        }
    };
}

fn talk(
    stream: impl Read + Write,
    socket: &TcpStream,
    answers: &Answers,
    journal: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let Some(request) = read(&mut stream)? else { return Ok(()) };
    journal.lock().unwrap().push(request.clone());
    let stream = stream.get_mut();
    match answers(&request) {
        Answer::Close => Ok(()),
        Answer::Raw(bytes) => stream.write_all(bytes),
        Answer::Hang => stream.read(&mut [0; 64]).map(drop),
        Answer::Trickle(bytes) => trickle(stream, socket, bytes),
        Answer::Http(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            stream.write_all(format!("{head}\r\n").as_bytes())?;
            stream.write_all(&body)?;
            stream.flush()
        }
    }
}

fn read(stream: &mut impl std::io::BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request { method, path, headers, body: Vec::new() };
    let length = request.header("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    request.body = vec![0; length];
    stream.read_exact(&mut request.body)?;
    Ok(Some(request))
}

fn trickle(stream: &mut (impl Read + Write), socket: &TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    socket.set_read_timeout(Some(TRICKLE))?;
    for byte in bytes.iter().chain(std::iter::repeat(&b'x')) {
        stream.write_all(&[*byte])?;
        stream.flush()?;
        match stream.read(&mut [0; 64]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            _ => break,
        }
    }
    Ok(())
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let openssl = |words: &[&str]| {
            let output = Command::new("openssl").args(words).current_dir(folder.path()).output();
            let output = output.expect("openssl, which every development machine has");
            assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let new = ["req", "-newkey", "ed25519", "-nodes", "-days", "2"];
        let authority = ["-x509", "-subj", "/CN=test authority", "-out", "ca.pem", "-keyout", "ca.key"];
        openssl(&[&new[..], &authority].concat());
        let own = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
        let files = ["-out", "request.pem", "-keyout", "key.pem"];
        openssl(&[&["req", "-newkey", "ed25519", "-nodes"], &own[..], &files].concat());
        let sign = ["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2"];
        openssl(&[&sign[..], &["-copy_extensions", "copy", "-out", "cert.pem"]].concat());
        Self { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The authority itself, for who is to trust it.
    pub(crate) fn trusted(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_file(self.folder().join("ca.pem")).unwrap()]
    }

    fn server(&self) -> Arc<ServerConfig> {
        let certificate = CertificateDer::from_pem_file(self.folder().join("cert.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.folder().join("key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth().with_single_cert(vec![certificate], key);
        Arc::new(config.unwrap())
    }
}
