//! A wire to a server that can be made to swallow what the server says.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

const READ_BYTES: usize = 16 * 1024;

/// Passes connections on until it is dropped.
pub(crate) struct Wire {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    swallows: AtomicBool,
    ended: AtomicBool,
    /// Both ends of every connection.
    open: Mutex<Vec<TcpStream>>,
}

impl Wire {
    /// A wire to this server.
    pub(crate) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::new(State::default()));
        let wire = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                if wire.ended.load(Ordering::SeqCst) {
                    return;
                }
                // A server that is away is a connection that ends.
                if let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) {
                    wire.join(&client, &server);
                }
            }
        });
        Self { address, state }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing that the server says arrives; what clients say does.
    pub(crate) fn swallow(&self) {
        self.state.swallows.store(true, Ordering::SeqCst);
    }

    /// Passes everything again, on new connections: the old ones have lost their thread.
    pub(crate) fn heal(&self) {
        self.state.swallows.store(false, Ordering::SeqCst);
        self.state.cut();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        // Wakes who waits for a client.
        drop(TcpStream::connect(self.address));
        self.state.cut();
    }
}

impl State {
    fn join(self: &Arc<Self>, client: &TcpStream, server: &TcpStream) {
        let both = || [client.try_clone().unwrap(), server.try_clone().unwrap()];
        self.open.lock().unwrap().extend(both());
        let ([from_client, to_server], [to_client, from_server]) = (both(), both());
        thread::spawn(move || pass(from_client, to_server, || false));
        let state = Arc::clone(self);
        thread::spawn(move || pass(from_server, to_client, || state.swallows.load(Ordering::SeqCst)));
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            // The other side may have gone already.
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

/// Passes bytes on until one side has gone; then the other goes, too.
fn pass(mut from: TcpStream, mut to: TcpStream, swallows: impl Fn() -> bool) {
    let mut bytes = vec![0; READ_BYTES];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if !swallows() && to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}
