//! The life of the gateway: listens, connects, follows, serves, and ends within five seconds.

use crate::api::table::{openapi, router};
use crate::app::App;
use crate::config::Config;
use crate::fleet::watch::{Follow, follow, now};
use crate::history::History;
use crate::history::database::Database;
use crate::http::principal::default_team;
use crate::http::serve::{listen, serve};
use crate::live::Live;
use crate::live::cursor::LagNews;
use crate::metrics::Metrics;
use crate::shutdown::stopped;
use crate::system::SystemView;
use crate::system::poll::{Poll, tell};
use anyhow::{Context as _, Result};
use async_nats::jetstream;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use bytes::Bytes;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use watchkeeper_schemas::subjects::GATEWAY_INBOX;
use watchkeeper_streams::connect::{Connect, Connected, connect};

/// Answers that are under way at the end get this long.
const DRAIN_MAX: Duration = Duration::from_secs(4);
/// What Prometheus reads.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A gateway at work.
pub struct Gateway {
    /// Where the page and the API are.
    pub listen: SocketAddr,
    /// Where Prometheus reads.
    pub metrics_listen: SocketAddr,
    servers: JoinSet<()>,
    followers: JoinSet<()>,
    shutdown: watch::Receiver<bool>,
}

/// Starts everything; NATS and QuestDB need not be there yet.
///
/// # Errors
/// When an address is taken, or the credential cannot be read.
pub async fn start(config: &Config, shutdown: watch::Receiver<bool>) -> Result<Gateway> {
    raise_descriptor_limit();
    let listening =
        |address: SocketAddr| listen(address).with_context(|| format!("cannot listen on {address}"));
    let (http, prometheus) = (listening(config.listen)?, listening(config.metrics_listen)?);
    let (listen, metrics_listen) = (http.local_addr()?, prometheus.local_addr()?);
    let settings = Connect {
        url: config.nats.clone(),
        creds: config.nats_creds.clone(),
        name: "watchkeeper-gateway",
        inbox: GATEWAY_INBOX.trim_end_matches(".>").to_owned(),
    };
    let connection = connect(&settings).await?;
    let (mut servers, mut followers) = (JoinSet::new(), JoinSet::new());
    let app = assemble(config, connection, &mut followers, &shutdown)?;
    servers.spawn(serve(prometheus, metrics_router(Arc::clone(&app)), shutdown.clone()));
    servers.spawn(serve(http, router(app), shutdown.clone()));
    tracing::info!(%listen, %metrics_listen, "the gateway listens");
    Ok(Gateway { listen, metrics_listen, servers, followers, shutdown })
}

impl Gateway {
    /// Works until shutdown, then ends.
    ///
    /// # Errors
    /// When a part of it ended by itself.
    pub async fn wait(mut self) -> Result<()> {
        tokio::select! {
            () = stopped(&mut self.shutdown) => {}
            Some(ended) = self.followers.join_next() => {
                ended.context("a part of the gateway failed")?;
                anyhow::bail!("a part of the gateway ended by itself");
            }
        }
        let drained = async { while self.servers.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
            tracing::warn!("not every answer could be finished");
        }
        self.servers.shutdown().await;
        self.followers.shutdown().await;
        Ok(())
    }
}

/// Puts the parts together and sets those to work that do so by themselves.
fn assemble(
    config: &Config,
    connection: Connected,
    followers: &mut JoinSet<()>,
    shutdown: &watch::Receiver<bool>,
) -> Result<Arc<App>> {
    let (live, metrics) = (Arc::new(Live::default()), Arc::new(Metrics::default()));
    let database = Database::new(
        &config.questdb_host,
        config.questdb_port,
        &config.questdb_user,
        &config.questdb_password,
    );
    let database = Arc::new(database);
    let context = jetstream::new(connection.client.clone());
    let (system, system_seen) = watch::channel(Arc::new(SystemView::unknown(now())));
    let (lag, lag_seen) = watch::channel(LagNews::default());
    tell(&lag, &system_seen.borrow().lag());
    let connects = connection.events.connects();
    let follower = Follow {
        client: connection.client.clone(),
        context: context.clone(),
        connects: connects.clone(),
        live: Arc::clone(&live),
        metrics: Arc::clone(&metrics),
    };
    let client = connection.client;
    let poll = Poll { client, context, database: Arc::clone(&database), connects, system, lag };
    followers.spawn(follow(follower));
    followers.spawn(poll.run());
    followers.spawn(Arc::clone(&live).ring());
    Ok(Arc::new(App {
        identify: default_team,
        live,
        lag: lag_seen,
        system: system_seen,
        history: History::new(database, Arc::clone(&metrics)),
        metrics,
        openapi: Bytes::from(openapi().to_json().context("cannot write the OpenAPI document")?),
        shutdown: shutdown.clone(),
    }))
}

fn metrics_router(app: Arc<App>) -> Router {
    let scrape = move || {
        let text = app.metrics.scrape(&app.live, &app.system.borrow());
        std::future::ready(([(CONTENT_TYPE, METRICS_TYPE)], text))
    };
    Router::new().route("/metrics", get(scrape))
}

/// Each client of the live stream holds a descriptor; the usual limit is for programs with fewer friends.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, ?limit.current, "the limit of open files stays as it is");
    }
}
