//! The thread that listens to NATS.
//!
//! What comes from there wakes this thread alone: among the threads that serve clients every event would wake two or
//! three, for a few microseconds of work.

use std::io;
use std::thread::JoinHandle;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A thread with a runtime of its own; both end when this is dropped.
#[derive(Debug)]
pub struct NatsThread {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl NatsThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread or no descriptors.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("nats".to_owned()).spawn(move || {
            // Who dropped the sender wants it to stop, too.
            drop(runtime.block_on(stopped));
        })?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Where tasks are spawned that are to run there.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for NatsThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(_)) = ended {
            tracing::error!("the thread that listens to NATS has panicked");
        }
    }
}
