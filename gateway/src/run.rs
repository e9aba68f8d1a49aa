//! The life of the gateway: listens, connects, follows, serves, and ends within five seconds.

use crate::alerting::Alerting;
use crate::api::description::openapi;
use crate::api::table::router;
use crate::app::App;
use crate::audit::Audit;
use crate::config::Config;
use crate::first_team;
use crate::fleet::journal::configure;
use crate::fleet::watch::{Follow, follow, now};
use crate::history::History;
use crate::history::database::Database;
use crate::hosting::activation;
use crate::http::serve::{listen, serve};
use crate::http::tls;
use crate::identity::vault::Bucket;
use crate::identity::{Identity, Settings, bootstrap, known};
use crate::live::Live;
use crate::live::cursor::LagNews;
use crate::live::nats_thread::NatsThread;
use crate::metrics::Metrics;
use crate::receivers::secrets::Secrets;
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
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use watchkeeper_schemas::subjects::GATEWAY_INBOX;
use watchkeeper_streams::connect::{Connect, Connected, connect};
use watchkeeper_streams::journal;

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
    _nats: NatsThread,
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
    let nats = NatsThread::start().context("cannot start the thread that listens to NATS")?;
    let connection = nats.handle().spawn(async move { connect(&settings).await }).await??;
    let (mut servers, mut followers) = (JoinSet::new(), JoinSet::new());
    let app = assemble(config, connection, nats.handle(), &mut followers, &shutdown)?;
    let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
    servers.spawn(serve(prometheus, None, metrics_router(Arc::clone(&app)), shutdown.clone()));
    followers.spawn(offer_set_up(Arc::clone(&app.identity)));
    servers.spawn(serve(http, tls, router(app), shutdown.clone()));
    tracing::info!(%listen, %metrics_listen, "the gateway listens");
    Ok(Gateway { listen, metrics_listen, servers, followers, shutdown, _nats: nats })
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
    nats: &Handle,
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
    let (facts, facts_seen) = watch::channel(None);
    followers.spawn(journal::follow(context.clone(), connects.clone(), facts));
    followers.spawn(configure(Arc::clone(&live), facts_seen.clone()));
    let identity = identity(config, &context, (facts_seen, connects.clone()), followers)?;
    let (audit, writer) = Audit::new(context.clone());
    followers.spawn(writer.write());
    followers.spawn(activation::watch(Arc::clone(&identity), Arc::clone(&live), audit.clone()));
    followers.spawn(first_team::keep(Arc::clone(&identity)));
    followers.spawn_on(follow(follower), nats);
    let alerting = Arc::new(Alerting::default());
    let follow_alerts =
        Arc::clone(&alerting).follow_alerts(context.clone(), connects.clone(), Arc::clone(&live));
    let follow_notices =
        Arc::clone(&alerting).follow_notices(context.clone(), connects.clone(), Arc::clone(&live));
    followers.spawn_on(follow_alerts, nats);
    followers.spawn_on(follow_notices, nats);
    followers.spawn(Arc::clone(&alerting).follow_receivers(identity.watch(), Arc::clone(&live)));
    let secrets = Secrets::new(context.clone(), config.nats_dir.clone());
    let client = connection.client;
    let poll = Poll { client, context, database: Arc::clone(&database), connects, system, lag };
    followers.spawn(poll.run());
    followers.spawn(Arc::clone(&live).ring());
    Ok(Arc::new(App {
        identity,
        audit,
        live,
        alerting,
        secrets,
        lag: lag_seen,
        system: system_seen,
        history: History::new(database, Arc::clone(&metrics)),
        metrics,
        openapi: Bytes::from(openapi().to_json().context("cannot write the OpenAPI document")?),
        shutdown: shutdown.clone(),
    }))
}

/// Puts together what knows of people, and has it follow the facts and the sealed buckets.
fn identity(
    config: &Config,
    context: &jetstream::Context,
    (facts, connects): (watch::Receiver<journal::Facts>, watch::Receiver<u64>),
    followers: &mut JoinSet<()>,
) -> Result<Arc<Identity>> {
    let settings = Settings {
        site: config.site.clone(),
        secrets_dir: config.secrets_dir.clone(),
        nats_dir: config.nats_dir.clone(),
        nats_public_url: config.nats_public_url.clone(),
        open_registration: config.open_registration,
    };
    let ((known, known_seen), (rights, rights_seen)) = (watch::channel(None), watch::channel(0));
    followers.spawn(known::keep(facts, known, rights));
    let identity = Arc::new(Identity::open(settings, context.clone(), known_seen, rights_seen)?);
    for bucket in [Bucket::Sessions, Bucket::Secrets] {
        followers.spawn(Arc::clone(&identity.vault).follow(bucket, connects.clone()));
    }
    Ok(identity)
}

fn metrics_router(app: Arc<App>) -> Router {
    let scrape = move || {
        let text = app.metrics.scrape(&app.live, &app.alerting.notices(), &app.system.borrow());
        std::future::ready(([(CONTENT_TYPE, METRICS_TYPE)], text))
    };
    Router::new().route("/metrics", get(scrape))
}

/// Tells the code of the first owner, once it is known that there is none; then waits for the end.
async fn offer_set_up(identity: Arc<Identity>) {
    if identity.first_known().await.needs_setup() {
        match bootstrap::renew(&identity.settings.secrets_dir, now()) {
            Ok(code) => tell_code(&identity, &code.code),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "there is no code for the first owner")
            }
        }
    }
    std::future::pending::<()>().await;
}

#[expect(
    clippy::print_stderr,
    reason = "the code is for the person who started the gateway, not for the log"
)]
fn tell_code(identity: &Identity, code: &str) {
    eprintln!(
        "Nobody owns this gateway yet. Within 15 minutes open {} and use this code: {code}",
        identity.settings.site.origin()
    );
}

/// Each client of the live stream holds a descriptor; the usual limit is for programs with fewer friends.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, ?limit.current, "the limit of open files stays as it is");
    }
}
