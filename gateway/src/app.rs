//! What every handler shares.

use crate::alerting::Alerting;
use crate::audit::Audit;
use crate::fleet::Fleet;
use crate::history::History;
use crate::http::problem::Problem;
use crate::identity::Identity;
use crate::live::Live;
use crate::live::cursor::LagNews;
use crate::metrics::Metrics;
use crate::receivers::secrets::Secrets;
use crate::system::SystemView;
use bytes::Bytes;
use std::sync::{Arc, RwLockReadGuard};
use tokio::sync::watch;

/// When a client whose hosts are still being read should come again, in seconds.
const LOADING_RETRY_S: u32 = 1;

/// What every handler shares.
pub struct App {
    /// Who people are and what they may do.
    pub identity: Arc<Identity>,
    /// Where deeds are told.
    pub audit: Audit,
    /// The fleet, live.
    pub live: Arc<Live>,
    /// Alerts, live.
    pub alerting: Arc<Alerting>,
    /// Where secrets of channels go.
    pub secrets: Secrets,
    /// The newest lag, rendered.
    pub lag: watch::Receiver<LagNews>,
    /// How the whole system does.
    pub system: watch::Receiver<Arc<SystemView>>,
    /// History.
    pub history: History,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The OpenAPI document.
    pub openapi: Bytes,
    /// Turns true at the end.
    pub shutdown: watch::Receiver<bool>,
}

impl App {
    /// The fleet, once it has been read.
    ///
    /// # Errors
    /// 503 before the bucket was read for the first time: an empty list would be a lie.
    pub fn fleet(&self) -> Result<RwLockReadGuard<'_, Fleet>, Problem> {
        let fleet = self.live.fleet();
        if fleet.is_loaded() {
            return Ok(fleet);
        }
        let detail =
            "the live view has not been read yet: NATS has not answered, or no processor has started";
        Err(Problem::unavailable(detail, LOADING_RETRY_S))
    }
}

#[cfg(test)]
impl App {
    /// An app that is connected to nothing.
    pub(crate) fn alone(identity: Arc<Identity>) -> Arc<Self> {
        let metrics = Arc::new(Metrics::default());
        let database = Arc::new(crate::history::database::Database::new("127.0.0.1", 9, "reader", ""));
        let audit = Audit::new(identity.context.clone()).0;
        let secrets = Secrets::new(identity.context.clone(), identity.settings.nats_dir.clone());
        Arc::new(Self {
            secrets,
            identity,
            audit,
            live: Arc::default(),
            alerting: Arc::default(),
            lag: watch::channel(LagNews::default()).1,
            system: watch::channel(Arc::new(SystemView::unknown(Default::default()))).1,
            history: History::new(database, Arc::clone(&metrics)),
            metrics,
            openapi: Bytes::new(),
            shutdown: watch::channel(false).1,
        })
    }
}
