//! `health`: whether this machine's gateway lives, for supervisors that run a command and have no HTTP client.

use anyhow::{Context as _, Result, ensure};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Time for the whole answer; a supervisor's own limit is somewhat longer.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// As much of the answer as says how it went: `HTTP/1.1 200`.
const STATUS_BYTES: usize = 12;

/// Asks where Prometheus reads, which is plain HTTP on loopback however people reach the page.
///
/// # Errors
/// When there is no answer, or one that tells of a failure.
pub fn ask(metrics: SocketAddr) -> Result<()> {
    let told = || format!("no gateway answers at {metrics}");
    let mut stream = TcpStream::connect_timeout(&metrics, ANSWER_MAX).with_context(told)?;
    stream.set_read_timeout(Some(ANSWER_MAX)).with_context(told)?;
    let request = format!("GET /metrics HTTP/1.0\r\nhost: {metrics}\r\n\r\n");
    stream.write_all(request.as_bytes()).with_context(told)?;
    let mut status = [0; STATUS_BYTES];
    stream.read_exact(&mut status).with_context(told)?;
    ensure!(status.ends_with(b" 200"), "what answers at {metrics} says {}", String::from_utf8_lossy(&status));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn asked_of(answer: &'static str) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 256];
            let read = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let told = ask(address);
        assert!(server.join().unwrap().starts_with("GET /metrics HTTP/1.0\r\n"));
        told
    }

    #[test]
    fn only_a_good_answer_is_health() {
        asked_of("HTTP/1.0 200 OK\r\n\r\n").unwrap();
        for other in ["HTTP/1.0 503 Service Unavailable\r\n\r\n", "", "SSH-2.0-OpenSSH_9.2\r\n"] {
            assert!(asked_of(other).is_err(), "{other:?}");
        }
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(ask(nobody).unwrap_err().to_string().contains("no gateway answers"));
    }
}
