//! A processor that writes down what it is given, and a runner around it that can be killed.

use crate::stack::{SOON, Server, number};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use watchkeeper_nats::Program;
use watchkeeper_streams::connect::Connected;
use watchkeeper_streams::event::Event;
use watchkeeper_streams::processor::{Failure, Processor};
use watchkeeper_streams::runner::{RunError, Runner, jetstream};
use watchkeeper_streams::topology::{LATEST_CONSUMER, Limits};

type Answer = Box<dyn FnMut(&[Event]) -> Result<(), Failure> + Send>;

/// What a processor has been given so far.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// How often it was to resume.
    pub(crate) resumes: usize,
    /// First and last sequence of every batch that it was given.
    pub(crate) tried: Vec<(u64, u64)>,
    /// Sequence and number of every event of the batches that it did not want again.
    pub(crate) handled: Vec<(u64, u64)>,
}

impl Told {
    /// The numbers handled, each once.
    pub(crate) fn numbers(&self) -> std::collections::BTreeSet<u64> {
        self.handled.iter().map(|(_, number)| *number).collect()
    }

    /// The sequences handled, in the order in which they were.
    pub(crate) fn sequences(&self) -> Vec<u64> {
        self.handled.iter().map(|(sequence, _)| *sequence).collect()
    }
}

struct Probe {
    told: watch::Sender<Told>,
    open: watch::Receiver<bool>,
    answer: Answer,
}

impl Processor for Probe {
    async fn process(&mut self, batch: &[Event]) -> Result<(), Failure> {
        let span = (batch[0].sequence, batch[batch.len() - 1].sequence);
        self.told.send_modify(|told| told.tried.push(span));
        if self.open.wait_for(|open| *open).await.is_err() {
            // The runner is being killed.
            std::future::pending::<()>().await;
        }
        let answer = (self.answer)(batch);
        if !matches!(answer, Err(Failure::Retry(_))) {
            let handled = batch.iter().map(|event| (event.sequence, number(&event.payload)));
            self.told.send_modify(|told| told.handled.extend(handled));
        }
        answer
    }

    async fn resume(&mut self) -> Result<(), Failure> {
        self.told.send_modify(|told| told.resumes += 1);
        Ok(())
    }
}

/// A runner in a runtime of its own, as a program would be.
pub(crate) struct Running {
    told: watch::Receiver<Told>,
    pub(crate) open: watch::Sender<bool>,
    pub(crate) connected: Connected,
    stop: watch::Sender<bool>,
    ended: JoinHandle<Result<(), RunError>>,
    runtime: Option<Runtime>,
}

/// Ends it in the middle of whatever it does, connection and all.
impl Drop for Running {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

impl Running {
    /// Handles everything at once.
    pub(crate) async fn start(server: &Server) -> Self {
        Self::start_answering(server, |_| Ok(())).await
    }

    /// Answers each batch like this.
    pub(crate) async fn start_answering(
        server: &Server,
        answer: impl FnMut(&[Event]) -> Result<(), Failure> + Send + 'static,
    ) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let guard = runtime.enter();
        let connected = server.connect(Program::Processors).await;
        drop(guard);
        let (stop, shutdown) = watch::channel(false);
        let (open, opened) = watch::channel(true);
        let (sender, told) = watch::channel(Told::default());
        let mut probe = Probe { told: sender, open: opened, answer: Box::new(answer) };
        let context = jetstream(connected.client.clone());
        let runner = Runner {
            connected: connected.clone(),
            context,
            consumer: LATEST_CONSUMER,
            limits: Limits::default(),
            shutdown,
        };
        let ended = runtime.spawn(async move { runner.run(&mut probe).await });
        Self { told, open, connected, stop, ended, runtime: Some(runtime) }
    }

    /// Waits until what it was told fulfils `condition`.
    pub(crate) async fn until(&mut self, what: &str, condition: impl FnMut(&Told) -> bool) {
        self.until_within(SOON, what, condition).await;
    }

    pub(crate) async fn until_within(
        &mut self,
        limit: Duration,
        what: &str,
        condition: impl FnMut(&Told) -> bool,
    ) {
        let waited = tokio::time::timeout(limit, self.told.wait_for(condition)).await.map(drop);
        let told = self.told.borrow();
        assert!(
            waited.is_ok(),
            "{what}: not within {limit:?}; {} handled up to {:?}, {} tries, the last {:?}, {} resumes",
            told.handled.len(),
            told.handled.last(),
            told.tried.len(),
            told.tried.last(),
            told.resumes
        );
    }

    pub(crate) fn told(&self) -> watch::Ref<'_, Told> {
        self.told.borrow()
    }

    /// Asks it to stop.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Asks it to stop and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.ask_to_stop();
        tokio::time::timeout(SOON, &mut self.ended)
            .await
            .expect("the runner does not stop")
            .unwrap()
            .unwrap();
    }

    /// Kills it.
    pub(crate) fn kill(self) {
        drop(self);
    }
}
