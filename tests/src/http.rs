//! The least of HTTP that a double needs: requests with a body, answers in JSON, and connections that break on purpose.

use serde_json::Value;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Largest request that is read.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// A request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// GET, POST.
    pub method: String,
    /// Without what follows `?`.
    pub path: String,
    /// What follows `?`.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What follows from it.
#[derive(Debug, Clone)]
pub enum Said {
    /// An answer in JSON.
    Json(u16, Value),
    /// An answer for people.
    Text(u16, String),
    /// No answer, ever.
    Hang,
    /// The connection is reset.
    Reset,
}

/// Answers on a listener until it is dropped.
pub async fn serve<F, A>(listener: TcpListener, answer: F)
where
    F: Fn(Asked, SocketAddr) -> A + Send + Sync + 'static,
    A: Future<Output = Said> + Send,
{
    let answer = Arc::new(answer);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, peer)) = accepted {
                let answer = Arc::clone(&answer);
                // Whoever breaks a connection ends it, and nothing else.
                connections.spawn(async move { connection(stream, peer, &*answer).await.ok() });
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection<F, A>(mut stream: TcpStream, peer: SocketAddr, answer: &F) -> io::Result<()>
where
    F: Fn(Asked, SocketAddr) -> A,
    A: Future<Output = Said>,
{
    stream.set_nodelay(true)?;
    let mut read = Vec::new();
    while let Some(asked) = request(&mut stream, &mut read).await? {
        let said = tokio::select! {
            said = answer(asked, peer) => said,
            () = closed(&stream) => return Ok(()),
        };
        match said {
            Said::Json(code, body) => write(&mut stream, code, "application/json", &body.to_string()).await?,
            Said::Text(code, body) => write(&mut stream, code, "text/plain; charset=utf-8", &body).await?,
            Said::Hang => {
                closed(&stream).await;
                return Ok(());
            }
            Said::Reset => {
                stream.set_zero_linger()?;
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Returns once the other side has gone.
async fn closed(stream: &TcpStream) {
    match stream.peek(&mut [0]).await {
        Ok(0) | Err(_) => {}
        // Another request waits behind this one.
        Ok(_) => std::future::pending().await,
    }
}

async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<Option<Asked>> {
    let head_end = loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if !more(stream, read).await? {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(read.get(..head_end).unwrap_or_default()).into_owned();
    read.drain(..head_end + 4);
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()))
        .collect();
    let header =
        |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    if header("expect").is_some_and(|it| it.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let length = header("content-length").and_then(|it| it.parse::<usize>().ok()).unwrap_or_default();
    if length > REQUEST_BYTES_MAX {
        return Err(io::Error::other("the request is too large"));
    }
    while read.len() < length {
        if !more(stream, read).await? {
            return Ok(None);
        }
    }
    let body = read.drain(..length).collect();
    let (method, path, query) = (method.to_owned(), path.to_owned(), query.to_owned());
    Ok(Some(Asked { method, path, query, headers, body }))
}

async fn more(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<bool> {
    if read.len() > REQUEST_BYTES_MAX {
        return Err(io::Error::other("the request is too large"));
    }
    let mut piece = [0; 16 * 1024];
    let count = stream.read(&mut piece).await?;
    read.extend_from_slice(piece.get(..count).unwrap_or_default());
    Ok(count > 0)
}

async fn write(stream: &mut TcpStream, code: u16, kind: &str, body: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {code} Answer\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await
}
