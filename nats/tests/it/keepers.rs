//! The processors that keep order on the server, running in the test, and the journal that they follow.

use crate::client::{Client, Heard};
use crate::jetstream;
use crate::server::{Server, host};
use async_nats::jetstream::Context;
use clap::Parser as _;
use nkeys::KeyPair;
use std::collections::BTreeMap;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Mutex, MutexGuard, watch};
use watchkeeper_nats::{AccountName, Program, UserKey, sign_agent};
use watchkeeper_processors::config::{Config, Name};
use watchkeeper_schemas::ids::{HostId, PublicKey, Shard, TeamId};
use watchkeeper_schemas::journal::{Credential, Enrolment, Fact, Host, JournalEvent, Team};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::registry::Registry;
use watchkeeper_schemas::subjects::{JournalScope, JournalSubject};
use watchkeeper_streams::journal::{Facts, follow, record};
use watchkeeper_streams::topology::{Limits, ensure};

/// Longest wait for anything that a test waits for, unless it says otherwise.
pub(crate) const SOON: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// These tests take times: a flood in one must not be the load of another.
static TURN: Mutex<()> = Mutex::const_new(());

/// Accounts and guard, each on its thread; both end with this.
pub(crate) struct Keepers {
    _turn: MutexGuard<'static, ()>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Keepers {
    /// Over a server whose streams are made here, as the processors make them.
    pub(crate) async fn start(server: &Server) -> Self {
        Self::start_these(server, &[Name::Accounts, Name::Guard]).await
    }

    /// The same, with the views of hosts.
    pub(crate) async fn start_with_latest(server: &Server) -> Self {
        Self::start_these(server, &[Name::Accounts, Name::Guard, Name::Latest]).await
    }

    async fn start_these(server: &Server, names: &[Name]) -> Self {
        let turn = TURN.lock().await;
        ensure(&jetstream::of(server, Program::Processors).await, &Limits::default()).await.unwrap();
        let url = format!("nats://{}", server.address);
        let (creds, dir) = (server.layout.program_creds(Program::Processors), server.layout.dir.clone());
        let arguments = [
            "test",
            "--nats",
            &url,
            "--nats-creds",
            creds.to_str().unwrap(),
            "--nats-dir",
            dir.to_str().unwrap(),
        ];
        let config = Config::parse_from(arguments);
        let (stop, stopped) = watch::channel(false);
        let spawn = |name: &Name| {
            let (name, config, stopped) = (*name, config.clone(), stopped.clone());
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(watchkeeper_processors::work(name, &config, stopped)).unwrap();
            })
        };
        Self { _turn: turn, stop, threads: names.iter().map(spawn).collect() }
    }
}

impl Drop for Keepers {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let ended: Vec<bool> = self.threads.drain(..).map(|thread| thread.join().is_ok()).collect();
        assert!(thread::panicking() || ended.iter().all(|well| *well), "a keeper ended badly");
    }
}

/// The journal, written as the gateway writes it.
pub(crate) struct Journal {
    context: Context,
    revisions: BTreeMap<String, u64>,
    facts: watch::Receiver<Facts>,
}

impl Journal {
    pub(crate) async fn open(server: &Server) -> Self {
        let context = jetstream::of(server, Program::Gateway).await;
        let (told, facts) = watch::channel(None);
        let (never, connects) = watch::channel(0);
        let followed = context.clone();
        tokio::spawn(async move {
            let _stays = never;
            follow(followed, connects, told).await;
        });
        Self { context, revisions: BTreeMap::new(), facts }
    }

    /// The same after a restart of the server.
    pub(crate) async fn open_again(server: &Server, before: Self) -> Self {
        Self { revisions: before.revisions, ..Self::open(server).await }
    }

    pub(crate) async fn record(&mut self, team: &str, fact: Fact) {
        let scope = JournalScope::Team(team.parse().unwrap());
        let subject = JournalSubject::of(scope.clone(), &fact).unwrap().to_string();
        let event = JournalEvent { v: 1, author: "test".into(), cause: "test".into(), time: now(), fact };
        let expected = self.revisions.get(&subject).copied().unwrap_or(0);
        let revision = record(&self.context, scope, &event, expected).await.unwrap();
        self.revisions.insert(subject, revision);
    }

    /// Makes a team, and waits until its account is there.
    pub(crate) async fn team(&mut self, server: &Server, id: &str) {
        let team: TeamId = id.parse().unwrap();
        self.record(id, Fact::Team { id: team.clone(), value: Some(Team { name: id.into() }) }).await;
        let (key, layout) = (KeyPair::new_user(), server.layout.clone());
        until("the team's account is made", || {
            let user = UserKey::read(&public(&key)).unwrap();
            let jwt = sign_agent(&layout, &team, &host("probe"), &user, LATER).map_err(|e| e.to_string())?;
            Client::connect_as(&server.address, &jwt, &key).map(drop)
        });
    }

    /// A host with an agent whose credential is its own.
    pub(crate) async fn host(&mut self, server: &Server, team: &str, id: &str) -> Enrolled {
        let (team_id, host_id): (TeamId, HostId) = (team.parse().unwrap(), host(id));
        let key = KeyPair::new_user();
        let user = UserKey::read(&public(&key)).unwrap();
        // The other way round the key would be nobody's, and refused, for a moment.
        self.record(team, active(id, public(&key))).await;
        let value = Credential::Agent { host: host_id.clone(), expires: UnixMs(LATER * 1000) };
        self.record(team, Fact::Credential { id: public(&key), value: Some(value) }).await;
        let jwt = sign_agent(&server.layout, &team_id, &host_id, &user, LATER).unwrap();
        let subject = format!("sample.v1.{team}.{}.{id}", Shard::of(&host_id));
        Enrolled {
            key,
            jwt,
            subject,
            inbox: format!("_INBOX.{team}.{id}.1"),
            address: server.address.clone(),
        }
    }

    /// What the journal says now.
    pub(crate) fn registry(&self) -> Registry {
        self.facts.borrow().as_ref().map(|facts| Registry::clone(facts)).unwrap_or_default()
    }
}

/// Seconds since 1970, far from now.
const LATER: u64 = 4_000_000_000;

/// An agent that made its own key.
pub(crate) struct Enrolled {
    pub(crate) key: KeyPair,
    pub(crate) jwt: String,
    /// Its live subject.
    pub(crate) subject: String,
    pub(crate) inbox: String,
    pub(crate) address: String,
}

impl Enrolled {
    pub(crate) fn try_connect(&self) -> Result<Client, String> {
        let mut client = Client::connect_as(&self.address, &self.jwt, &self.key)?;
        client.subscribe(&format!("{}>", self.inbox.trim_end_matches('1')));
        Ok(client)
    }

    pub(crate) fn connect(&self) -> Client {
        self.try_connect().unwrap()
    }
}

pub(crate) fn active(id: &str, key: PublicKey) -> Fact {
    let value = Host {
        name: id.into(),
        tags: [].into(),
        interval_ms: 5000,
        mounts: [].into(),
        without: [].into(),
        paused: false,
        enrolment: Enrolment::Active { key },
    };
    Fact::Host { id: host(id), value: Some(value) }
}

pub(crate) fn agents(team: &str) -> AccountName {
    AccountName::Agents(team.parse().unwrap())
}

pub(crate) fn public(key: &KeyPair) -> PublicKey {
    key.public_key().parse().unwrap()
}

pub(crate) fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixMs(since.as_millis() as u64)
}

/// Looks until `look` finds what is awaited; fails with what it saw last.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        match look() {
            Ok(found) => return found,
            Err(last) => assert!(Instant::now() < deadline, "{what}: not within {SOON:?}, at last {last}"),
        }
        thread::park_timeout(LOOK_AGAIN);
    }
}

/// When the server cut a client off that says nothing; `None` when it did not.
pub(crate) fn cut_at(client: &mut Client) -> Option<Instant> {
    loop {
        match client.next_within(SOON) {
            Some(Heard::Closed) => return Some(Instant::now()),
            Some(Heard::Refused(_) | Heard::Message(..) | Heard::Pong) => {}
            None => return None,
        }
    }
}
