//! What happened to people and their rights: the one place from which it is told to the audit.

use crate::app::App;
use crate::audit::By;
use serde_json::Value;
use std::net::IpAddr;
use watchkeeper_schemas::audit::{Action, Deed, Outcome, Via};
use watchkeeper_schemas::ids::UserId;
use watchkeeper_schemas::subjects::JournalScope;

/// Something that happened, with what was before and after; never with a secret.
#[derive(Debug, Clone)]
pub struct Report {
    /// Whose audit it stands in.
    pub scope: JournalScope,
    /// What happened, as `session.started`.
    pub kind: &'static str,
    /// Who did it: a user, or what a stranger called themselves.
    pub who: String,
    /// From where.
    pub from: IpAddr,
    /// What it is about, in a word: a user, a team, a token's id.
    pub about: String,
    /// What was before.
    pub before: Value,
    /// What is now.
    pub after: Value,
}

/// What stands in the audit for each kind, whether it was done, and how they were known who did it.
fn entry(kind: &str) -> Option<(Action, Outcome, Via)> {
    Some(match kind {
        "setup" => (Action::SetUp, Outcome::Done, Via::Credential),
        "setup.refused" => (Action::SetUp, Outcome::Refused, Via::Nobody),
        "login" => (Action::LogIn, Outcome::Done, Via::Session),
        "login.refused" => (Action::LogIn, Outcome::Refused, Via::Nobody),
        "logout" => (Action::LogOut, Outcome::Done, Via::Session),
        "register" => (Action::Register, Outcome::Done, Via::Nobody),
        "session.token_reused" => (Action::TokenReuse, Outcome::Refused, Via::Nobody),
        "session.ended" | "sessions.ended" => (Action::SessionEnd, Outcome::Done, Via::Session),
        "password.changed" => (Action::PasswordChange, Outcome::Done, Via::Session),
        "password.refused" => (Action::PasswordChange, Outcome::Refused, Via::Session),
        "user.changed" => (Action::UserChange, Outcome::Done, Via::Session),
        "invitation.accepted" => (Action::InvitationAccept, Outcome::Done, Via::Credential),
        "token.made" => (Action::TokenCreate, Outcome::Done, Via::Session),
        "token.revoked" => (Action::TokenDelete, Outcome::Done, Via::Session),
        _ => return None,
    })
}

/// Tells it: to the audit that it belongs to, and what belongs to no team to every team of its user, whose owners are
/// to know who comes and goes.
pub async fn report(app: &App, report: Report) {
    let Report { scope, kind, who, from, about, before, after } = report;
    let Some((action, outcome, via)) = entry(kind) else {
        tracing::error!(kind, "nothing in the audit stands for this");
        return;
    };
    // A stranger may have typed anything there, be it a password.
    let actor: Option<UserId> = who.parse().ok();
    let object = if about == who { actor.as_ref().map_or(String::new(), ToString::to_string) } else { about };
    let by = By { actor: actor.clone(), via, from: Some(from) };
    let value = |value: Value| Some(value).filter(|value| !value.is_null());
    let deed = Deed { outcome, before: value(before), after: value(after), ..by.did(action, object) };
    if let (JournalScope::Everyone, Some(user), Ok(known)) = (&scope, actor, app.identity.known()) {
        for team in known.teams_of(&user) {
            app.audit.tell(JournalScope::Team(team.clone()), deed.clone()).await;
        }
    }
    app.audit.tell(scope, deed).await;
}
