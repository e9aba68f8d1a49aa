//! What it costs to know who asks: the gateway's own code, with its buckets mirrored from a real server.
//!
//! A request's price without authorization is nothing, so that the whole of what is measured is added.

use super::codec::best_us;
use super::report::{Bound, Row};
use super::system::{System, processors_context};
use anyhow::{Context as _, Result, anyhow, ensure};
use async_nats::jetstream;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use watchkeeper_gateway::fleet::watch::now;
use watchkeeper_gateway::http::problem::Problem;
use watchkeeper_gateway::http::site::Site;
use watchkeeper_gateway::identity::authorize::{TOKEN_PREFIX, TokenSecret, token_key};
use watchkeeper_gateway::identity::families::Seen;
use watchkeeper_gateway::identity::known::Known;
use watchkeeper_gateway::identity::secret::Secret;
use watchkeeper_gateway::identity::vault::Bucket;
use watchkeeper_gateway::identity::{Identity, Settings};
use watchkeeper_schemas::ids::{TeamId, UserId};
use watchkeeper_schemas::journal::{Fact, JournalEvent, Member, Role, Scope, Team, Token, User};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::registry::Registry;
use watchkeeper_schemas::subjects::{self, JournalScope, JournalSubject};
use watchkeeper_streams::connect::{Connect, connect};
use watchkeeper_streams::topology::{self, Limits};
use xtask::stack::{Program, Stack};

/// Teams, each with a user of its own and the one who is measured.
const TEAMS: u64 = 100;
/// Other people's sessions.
const SESSIONS: u64 = 1_000;
const READ_DEADLINE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// What authorization may add to a request.
const AUTHORIZE_US_MAX: f64 = 5.0;

pub(super) fn run() -> Result<Vec<Row>> {
    let system = System::start(&[Program::Nats])?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting tokio")?;
    runtime.block_on(measure(&system.stack))
}

async fn measure(stack: &Stack) -> Result<Vec<Row>> {
    topology::ensure(&processors_context(stack).await?, &Limits::default()).await?;
    let (identity, registry) = identity(stack).await?;
    let user: UserId = "u0".parse()?;
    let mut access = String::new();
    for number in 0..SESSIONS {
        let seen = Seen { address: "127.0.0.1", agent: "bench", now: now() };
        let whose = format!("u{}", number % TEAMS).parse()?;
        let granted = identity.begin(&whose, seen).await.map_err(refused)?;
        if whose == user {
            access = granted.access;
        }
    }
    let secret = Secret::new()?;
    let kept = TokenSecret { hash: secret.hash() };
    identity.vault.put(Bucket::Secrets, &token_key(&"t".parse()?), &kept, 0).await?;
    let personal = format!("{TOKEN_PREFIX}t_{}", secret.text());
    let team: TeamId =
        registry.teams().map(|(id, _)| id.clone()).nth(TEAMS as usize / 2).context("no team")?;
    let authorized = |token: &str, team: Option<&str>| {
        let caller = identity.bearer(token, ADDRESS)?;
        identity.of_team(caller, team)
    };
    authorized(&access, Some(team.as_str())).map_err(refused)?;
    authorized(&personal, None).map_err(refused)?;
    let session = best_us(|| authorized(&access, None).is_ok());
    let named = best_us(|| authorized(&access, Some(team.as_str())).is_ok());
    let token = best_us(|| authorized(&personal, None).is_ok());
    let stranger = best_us(|| authorized("not-a-token", None).is_err());
    let row = |what, measured, bound| Row { what, measured, unit: "µs", bound };
    let limit = Bound::AtMost(AUTHORIZE_US_MAX);
    Ok(vec![
        row("authorize: a session in its first of 100 teams, 1,000 sessions", session, limit),
        row("authorize: the same, team named", named, limit),
        row("authorize: a personal token", token, limit),
        row("  beside: what is no token", stranger, Bound::None),
    ])
}

/// The gateway's identity on the real server, with people who were never asked for a password.
async fn identity(stack: &Stack) -> Result<(Arc<Identity>, Arc<Registry>)> {
    let inbox = subjects::program_inbox(&"gateway".parse()?);
    let settings =
        Connect { url: stack.nats_url(), creds: stack.creds().gateway.clone(), name: "bench", inbox };
    let connected = connect(&settings).await?;
    let (context, connects) = (jetstream::new(connected.client), connected.events.connects());
    let folder = stack.data().join("bench-gateway");
    let settings = Settings {
        site: Site::new("http://127.0.0.1:7171", false).map_err(|expected| anyhow!(expected))?,
        secrets_dir: folder.clone(),
        nats_dir: folder,
        nats_public_url: stack.nats_url(),
        open_registration: false,
    };
    let registry = Arc::new(registry()?);
    let (known, seen) = watch::channel(None);
    let (_rights, rights) = watch::channel(0);
    let identity = Arc::new(Identity::open(settings, context, seen, rights)?);
    known.send_replace(Some(Arc::new(Known::new(Arc::clone(&registry)))));
    for bucket in [Bucket::Sessions, Bucket::Secrets] {
        tokio::spawn(Arc::clone(&identity.vault).follow(bucket, connects.clone()));
    }
    let begin = Instant::now();
    while !identity.vault.is_loaded() {
        ensure!(begin.elapsed() < READ_DEADLINE, "the buckets are not read");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok((identity, registry))
}

fn registry() -> Result<Registry> {
    let mut registry = Registry::default();
    let mut sequence = 0;
    let mut say = |scope: JournalScope, fact: Fact| -> Result<()> {
        sequence += 1;
        let subject = JournalSubject::of(scope, &fact).context("a fact of another scope")?.to_string();
        let (author, cause) = ("bench".to_owned(), "bench".to_owned());
        let event = JournalEvent { v: 1, author, cause, time: UnixMs(0), fact };
        Ok(registry.apply(sequence, &subject, &serde_json::to_vec(&event)?)?)
    };
    for number in 0..TEAMS {
        let (id, user): (TeamId, UserId) = (format!("team-{number}").parse()?, format!("u{number}").parse()?);
        let value = User { display_name: user.to_string(), disabled: false };
        say(JournalScope::Everyone, Fact::User { id: user.clone(), value: Some(value) })?;
        let scope = JournalScope::Team(id.clone());
        say(scope.clone(), Fact::Team { id, value: Some(Team { name: format!("Team {number}") }) })?;
        let member = |id| Fact::Member { id, value: Some(Member { role: Role::Viewer }) };
        say(scope.clone(), member("u0".parse()?))?;
        if number > 0 {
            say(scope, member(user))?;
        }
    }
    let (user, expires) = ("u0".parse()?, UnixMs(u64::MAX / 4));
    let token = Token { user, name: "bench".to_owned(), scope: Scope::Read, team: None, expires };
    say(JournalScope::Everyone, Fact::Token { id: "t".parse()?, value: Some(token) })?;
    Ok(registry)
}

fn refused(problem: Problem) -> anyhow::Error {
    anyhow!("refused: {}", problem.detail())
}
