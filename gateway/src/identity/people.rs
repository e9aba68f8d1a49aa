//! How people come: the first owner, those who are invited, those who register. And how they show who they are.

use crate::http::problem::{FieldError, Problem};
use crate::identity::known::Known;
use crate::identity::password::{self, HashError, Kept, Verdict};
use crate::identity::secret::readable_id;
use crate::identity::sessions::no_randomness;
use crate::identity::throttle::Who;
use crate::identity::vault::Bucket;
use crate::identity::{Change, Identity, bootstrap};
use axum::http::StatusCode;
use watchkeeper_schemas::ids::{TeamId, UserId};
use watchkeeper_schemas::journal::{Fact, Member, Role, Team, User};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::JournalScope;

/// The team of the first owner.
pub const FIRST_TEAM: &str = "default";
/// When whoever found too many log-ins before them should come again, in seconds.
const BUSY_RETRY_S: u32 = 2;

/// Somebody who wants to come in, as they describe themselves.
#[derive(Debug, Clone)]
pub struct Newcomer {
    /// The name to log in with.
    pub user: UserId,
    /// The password.
    pub password: String,
    /// The name that people read.
    pub display_name: String,
}

fn password_key(user: &UserId) -> String {
    format!("password.{user}")
}

impl Identity {
    /// Makes the first owner and their team, for whoever has the code of the gateway's folder.
    ///
    /// # Errors
    /// 410 once there was an owner, 401 for a wrong code.
    pub async fn set_up(
        &self,
        code: &str,
        newcomer: Newcomer,
        team: &str,
        now: UnixMs,
    ) -> Result<TeamId, Problem> {
        let _one_at_a_time = self.setting_up.lock().await;
        let known = self.known()?;
        if !known.needs_setup() {
            return Err(Problem::new(
                StatusCode::GONE,
                "this gateway has an owner: ask them for an invitation",
            ));
        }
        let folder = &self.settings.secrets_dir;
        if !bootstrap::is_present(folder, code, now).map_err(unreadable)? {
            let detail = "this is not the present code: `watchkeeper-gateway bootstrap` prints it; it is good for 15 \
                          minutes, and a restart makes another";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
        }
        let first: TeamId = FIRST_TEAM.parse().map_err(|_| Problem::not_found("no such team"))?;
        let (user, scope) = (newcomer.user.clone(), JournalScope::Team(first.clone()));
        // An earlier try that was cut short may have left the user behind.
        let before = known.registry.users.revision(&user);
        // Of two who try at once at two gateways, the second fails here.
        let fact = Fact::Team { id: first.clone(), value: Some(Team { name: team.to_owned() }) };
        let expected = known.registry.any_team(&first).map_or(0, |team| team.revision());
        let author = user.as_str();
        self.record(Change { author, cause: "set up", scope: scope.clone(), fact, expected }).await?;
        self.admit(newcomer, "set up", before).await?;
        self.make_member(&user, &first, Role::Owner, (author, "set up")).await?;
        bootstrap::end(folder).map_err(unreadable)?;
        Ok(first)
    }

    /// Makes a new team that belongs to a user.
    ///
    /// # Errors
    /// 503 where NATS does not answer.
    pub async fn found_team(&self, user: &UserId, name: &str, cause: &str) -> Result<TeamId, Problem> {
        let id: TeamId =
            readable_id().map_err(no_randomness)?.parse().map_err(|_| Problem::not_found("no such team"))?;
        let fact = Fact::Team { id: id.clone(), value: Some(Team { name: name.to_owned() }) };
        let scope = JournalScope::Team(id.clone());
        self.record(Change { author: user.as_str(), cause, scope, fact, expected: 0 }).await?;
        self.make_member(user, &id, Role::Owner, (user.as_str(), cause)).await?;
        Ok(id)
    }

    /// Makes somebody a member of a team to which they do not belong.
    ///
    /// # Errors
    /// 409 where they belong to it, or somebody was faster.
    pub async fn make_member(
        &self,
        user: &UserId,
        team: &TeamId,
        role: Role,
        (author, cause): (&str, &str),
    ) -> Result<(), Problem> {
        let registry = self.registry()?;
        let facts = registry.any_team(team);
        if facts.is_some_and(|team| team.members.get(user).is_some()) {
            return Err(Problem::new(StatusCode::CONFLICT, "they belong to the team already"));
        }
        let expected = facts.map_or(0, |team| team.members.revision(user));
        let fact = Fact::Member { id: user.clone(), value: Some(Member { role }) };
        self.record(Change { author, cause, scope: JournalScope::Team(team.clone()), fact, expected })
            .await?;
        Ok(())
    }

    /// Makes a new user with a password.
    ///
    /// # Errors
    /// 409 for a name that is or was somebody's, 400 for a password that is too easy.
    pub async fn new_user(&self, newcomer: Newcomer, cause: &str) -> Result<(), Problem> {
        if self.registry()?.users.recorded(&newcomer.user).is_some() {
            return Err(Problem::new(StatusCode::CONFLICT, "this user name is taken"));
        }
        self.admit(newcomer, cause, 0).await
    }

    async fn admit(&self, newcomer: Newcomer, cause: &str, expected: u64) -> Result<(), Problem> {
        let Newcomer { user, password, display_name } = newcomer;
        self.set_password(&user, password).await?;
        let value = Some(User { display_name, disabled: false });
        let fact = Fact::User { id: user.clone(), value };
        let scope = JournalScope::Everyone;
        self.record(Change { author: user.as_str(), cause, scope, fact, expected }).await?;
        Ok(())
    }

    /// Takes a user back who turned out to have come for nothing.
    ///
    /// # Errors
    /// 503 where NATS does not answer.
    pub async fn remove_user(&self, user: &UserId, cause: &str) -> Result<(), Problem> {
        let expected = self.registry()?.users.revision(user);
        let (fact, scope) = (Fact::User { id: user.clone(), value: None }, JournalScope::Everyone);
        self.record(Change { author: user.as_str(), cause, scope, fact, expected }).await?;
        Ok(())
    }

    /// Changes what is known of a user.
    ///
    /// # Errors
    /// 409 where somebody changed it meanwhile, 503 where NATS does not answer.
    pub async fn change_user(
        &self,
        id: &UserId,
        user: User,
        author: &str,
        cause: &str,
    ) -> Result<(), Problem> {
        let expected = self.registry()?.users.revision(id);
        let (fact, scope) = (Fact::User { id: id.clone(), value: Some(user) }, JournalScope::Everyone);
        self.record(Change { author, cause, scope, fact, expected }).await?;
        Ok(())
    }

    /// Keeps another password.
    ///
    /// # Errors
    /// 400 for one that is too easy, 503 where too many are hashed at once or NATS does not answer.
    pub async fn set_password(&self, user: &UserId, password: String) -> Result<(), Problem> {
        check_password(&password, user)?;
        let kept = self.hasher.keep(password).await?;
        let key = password_key(user);
        self.vault.put(Bucket::Secrets, &key, &kept, self.vault.revision(Bucket::Secrets, &key)).await?;
        Ok(())
    }

    /// Whether this is the user's password; takes as long where there is no such user. Guesses are slowed down.
    ///
    /// # Errors
    /// 429 with the time to wait, 503 where too many log in at once.
    pub async fn is_password(
        &self,
        known: &Known,
        user: &str,
        password: String,
        guessers: &[Who],
        now: UnixMs,
    ) -> Result<Option<UserId>, Problem> {
        self.slow_down(guessers, now)?;
        let id: Option<UserId> = user.parse().ok();
        let id = id.filter(|id| known.registry.users.get(id).is_some_and(|user| !user.disabled));
        let kept = id.as_ref().and_then(|id| self.vault.get(Bucket::Secrets, &password_key(id)));
        let kept = kept.and_then(|kept| kept.read::<Kept>());
        let verdict = self.hasher.verify(password.clone(), kept).await?;
        match (verdict, id) {
            (Verdict::Wrong, _) | (Verdict::Right | Verdict::RightButOld, None) => {
                self.throttle().failed(guessers, now);
                Ok(None)
            }
            (Verdict::Right, Some(id)) => {
                self.throttle().succeeded(guessers);
                Ok(Some(id))
            }
            (Verdict::RightButOld, Some(id)) => {
                self.throttle().succeeded(guessers);
                self.hash_anew(&id, password).await;
                Ok(Some(id))
            }
        }
    }

    /// The parameters have risen since the password was kept; where this fails, the next log-in tries again.
    async fn hash_anew(&self, user: &UserId, password: String) {
        let key = password_key(user);
        let revision = self.vault.revision(Bucket::Secrets, &key);
        let Ok(kept) = self.hasher.keep(password).await else { return };
        if let Err(error) = self.vault.put(Bucket::Secrets, &key, &kept, revision).await {
            tracing::warn!(%user, %error, "a password could not be hashed anew");
        }
    }

    /// Refuses whoever guessed wrong too often, for a while.
    ///
    /// # Errors
    /// 429 with the time to wait.
    pub fn slow_down(&self, guessers: &[Who], now: UnixMs) -> Result<(), Problem> {
        self.throttle().allowed(guessers, now).map_err(|wait| {
            let seconds = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
            Problem::too_many(format!("too many wrong tries: come again in {seconds} s"), seconds)
        })
    }

    /// They tried a secret and it was wrong.
    pub fn guessed_wrong(&self, guessers: &[Who], now: UnixMs) {
        self.throttle().failed(guessers, now);
    }
}

/// Whether a password may be chosen.
///
/// # Errors
/// 400 with what is expected of another.
pub fn check_password(password: &str, user: &UserId) -> Result<(), Problem> {
    password::acceptable(password, user)
        .map_err(|expected| Problem::fields(vec![FieldError::new("password", expected, "another")]))
}

fn unreadable(error: anyhow::Error) -> Problem {
    tracing::error!(error = format!("{error:#}"), "the code of the first owner cannot be read or removed");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the code cannot be compared")
}

impl From<HashError> for Problem {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::unavailable("too many log in at once", BUSY_RETRY_S),
            HashError::Failed | HashError::NoRandomness(_) => {
                tracing::error!(%error, "a password cannot be hashed or compared");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "passwords cannot be compared")
            }
        }
    }
}
