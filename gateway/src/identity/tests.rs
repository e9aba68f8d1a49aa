//! For tests: people and teams in memory, connected to nothing.

use crate::http::site::Site;
use crate::identity::authorize::{TOKEN_PREFIX, TokenSecret, family_key, token_key};
use crate::identity::families::{Family, Seen};
use crate::identity::known::Known;
use crate::identity::secret::Secret;
use crate::identity::vault::Bucket;
use crate::identity::{Identity, Settings};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::watch;
use watchkeeper_schemas::ids::TeamId;
use watchkeeper_schemas::journal::{Fact, JournalEvent, Member, Role, Scope, Team, Token, User};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::registry::Registry;
use watchkeeper_schemas::subjects::{JournalScope, JournalSubject};

/// Identity without a server.
pub(crate) struct Alone {
    pub(crate) identity: Arc<Identity>,
    _folder: TempDir,
    known: watch::Sender<Option<Arc<Known>>>,
    _rights: watch::Sender<u64>,
}

impl Alone {
    /// Nothing has been read yet.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nowhere =
            async_nats::ConnectOptions::new().retry_on_initial_connect().connect("nats://127.0.0.1:9");
        let context = async_nats::jetstream::new(nowhere.await.unwrap());
        let settings = Settings {
            site: Site::new("http://127.0.0.1:7171", false).unwrap(),
            secrets_dir: folder.path().to_owned(),
            nats_dir: folder.path().to_owned(),
            nats_public_url: String::new(),
            open_registration: true,
        };
        let ((known, seen), (_rights, rights)) = (watch::channel(None), watch::channel(0));
        let identity = Arc::new(Identity::open(settings, context, seen, rights).unwrap());
        Self { identity, _folder: folder, known, _rights }
    }

    /// With one user for each role of the team `ours`, called like it, and `foreigner`, who owns the team `theirs`.
    pub(crate) async fn peopled() -> Self {
        let alone = Self::new().await;
        let mut facts = Vec::new();
        for (team, members) in [
            ("ours", &[("viewer", Role::Viewer), ("admin", Role::Admin), ("owner", Role::Owner)][..]),
            ("theirs", &[("foreigner", Role::Owner)]),
        ] {
            let id: TeamId = team.parse().unwrap();
            let scope = JournalScope::Team(id.clone());
            facts.push((scope.clone(), Fact::Team { id, value: Some(Team { name: team.to_owned() }) }));
            for (user, role) in members {
                let (id, display_name) = (user.parse().unwrap(), (*user).to_owned());
                facts.push((
                    JournalScope::Everyone,
                    Fact::User { id, value: Some(User { display_name, disabled: false }) },
                ));
                let fact = Fact::Member { id: user.parse().unwrap(), value: Some(Member { role: *role }) };
                facts.push((scope.clone(), fact));
            }
        }
        for (id, scope) in [("reading", Scope::Read), ("writing", Scope::Write)] {
            let token = Token {
                user: "owner".parse().unwrap(),
                name: id.to_owned(),
                scope,
                team: None,
                expires: UnixMs(u64::MAX / 4),
            };
            facts.push((JournalScope::Everyone, Fact::Token { id: id.parse().unwrap(), value: Some(token) }));
        }
        alone.say(facts);
        alone
    }

    /// From now on these facts are known, and nothing else.
    pub(crate) fn say(&self, facts: Vec<(JournalScope, Fact)>) {
        let mut registry = Registry::default();
        for (index, (scope, fact)) in facts.into_iter().enumerate() {
            let subject = JournalSubject::of(scope, &fact).unwrap().to_string();
            let event =
                JournalEvent { v: 1, author: "test".into(), cause: "test".into(), time: UnixMs(0), fact };
            registry.apply(index as u64 + 1, &subject, &serde_json::to_vec(&event).unwrap()).unwrap();
        }
        self.identity.vault.pretend_loaded();
        self.known.send_replace(Some(Arc::new(Known::new(Arc::new(registry)))));
    }

    /// The access token of a new session.
    pub(crate) fn session(&self, user: &str) -> String {
        let now = crate::fleet::watch::now();
        let seen = Seen { address: "127.0.0.1", agent: "test", now };
        let family = Family::begin(user.parse().unwrap(), "hash".into(), seen);
        let sid = crate::identity::secret::unguessable_id().unwrap();
        self.identity.vault.pretend(Bucket::Sessions, &family_key(&family.user, &sid), &family);
        self.identity.tokens.sign(&family, &sid, now).unwrap().0
    }

    /// A personal token as it is shown to its owner.
    pub(crate) fn token(&self, id: &str) -> String {
        let secret = Secret::new().unwrap();
        let kept = TokenSecret { hash: secret.hash() };
        self.identity.vault.pretend(Bucket::Secrets, &token_key(&id.parse().unwrap()), &kept);
        format!("{TOKEN_PREFIX}{id}_{}", secret.text())
    }
}
