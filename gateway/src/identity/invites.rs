//! The secret halves of invitations: a hash in SESSIONS leads to the invitation in JOURNAL.

use crate::fleet::watch::now;
use crate::http::problem::Problem;
use crate::identity::Identity;
use crate::identity::secret::{Secret, hash};
use crate::identity::sessions::no_randomness;
use crate::identity::vault::Bucket;
use serde::{Deserialize, Serialize};
use watchkeeper_schemas::ids::{InvitationId, TeamId};
use watchkeeper_schemas::journal::Invitation;

/// How long an invitation is open, in milliseconds.
pub const LIFE_MS: u64 = 24 * 3600 * 1000;

/// Where a token leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lead {
    team: TeamId,
    invitation: InvitationId,
}

/// An invitation that is still open.
#[derive(Debug, Clone)]
pub struct Opened {
    /// To which team.
    pub team: TeamId,
    /// Which.
    pub id: InvitationId,
    /// To what.
    pub invitation: Invitation,
    /// What [`Identity::use_invitation`] takes.
    lead: (String, u64),
}

fn key(token: &str) -> String {
    format!("invite.{}", hash(token))
}

impl Identity {
    /// Makes the token of an invitation, which is shown once.
    ///
    /// # Errors
    /// 503 where NATS does not answer.
    pub async fn invite(&self, team: TeamId, invitation: InvitationId) -> Result<Secret, Problem> {
        let token = Secret::new().map_err(no_randomness)?;
        self.vault.put(Bucket::Sessions, &key(token.text()), &Lead { team, invitation }, 0).await?;
        Ok(token)
    }

    /// The open invitation that a token leads to.
    ///
    /// # Errors
    /// 404 for one that is unknown, used, withdrawn or over: nobody is told which.
    pub fn invitation(&self, token: &str) -> Result<Opened, Problem> {
        let closed =
            || Problem::not_found("there is no such invitation, or it was used, withdrawn or is over");
        let key = key(token);
        let kept = self.vault.get(Bucket::Sessions, &key);
        let registry = self.registry()?;
        let (lead, revision) =
            kept.and_then(|kept| Some((kept.read::<Lead>()?, kept.revision))).ok_or_else(closed)?;
        let team = registry.team(&lead.team).ok_or_else(closed)?;
        let invitation =
            team.invitations.get(&lead.invitation).filter(|it| it.expires > now()).ok_or_else(closed)?;
        let invitation = invitation.clone();
        Ok(Opened { team: lead.team, id: lead.invitation, invitation, lead: (key, revision) })
    }

    /// Uses an invitation up: of several who try, exactly one succeeds.
    ///
    /// # Errors
    /// 409 where somebody was faster, 503 where NATS does not answer.
    pub async fn use_invitation(&self, opened: &Opened) -> Result<(), Problem> {
        let (key, revision) = &opened.lead;
        Ok(self.vault.take(Bucket::Sessions, key, *revision).await?)
    }
}
