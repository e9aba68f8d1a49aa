//! The facts of JOURNAL with what every request asks of them, and a bell that rings when rights change.

use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;
use watchkeeper_schemas::ids::{TeamId, UserId};
use watchkeeper_schemas::journal::Fact;
use watchkeeper_schemas::registry::Registry;
use watchkeeper_schemas::subjects::JournalScope;
use watchkeeper_streams::journal::Facts;

/// All facts, and the teams of each user in the order of their names.
#[derive(Debug)]
pub struct Known {
    /// All facts.
    pub registry: Arc<Registry>,
    teams: HashMap<UserId, Vec<TeamId>>,
}

impl Known {
    /// Makes it of all facts.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Self {
        let mut order: Vec<_> = registry.teams().collect();
        order.sort_by_key(|(id, team)| (team.name().to_lowercase(), (*id).clone()));
        let mut teams: HashMap<UserId, Vec<TeamId>> = HashMap::new();
        for (id, team) in order {
            for (user, _) in team.members.iter() {
                teams.entry(user.clone()).or_default().push(id.clone());
            }
        }
        Self { registry, teams }
    }

    /// The teams of a user in the order of their names.
    #[must_use]
    pub fn teams_of(&self, user: &UserId) -> &[TeamId] {
        self.teams.get(user).map_or(&[], Vec::as_slice)
    }

    /// Whether nobody ever belonged to a team: the first owner is still to come.
    #[must_use]
    pub fn needs_setup(&self) -> bool {
        self.registry.all_teams().all(|(_, team)| team.members.all().next().is_none())
    }

    /// The newest fact that says who may do what.
    fn newest_right(&self) -> u64 {
        let registry = &self.registry;
        let users = registry.users.all().map(|(_, it)| it.revision);
        let tokens = registry.tokens.all().map(|(_, it)| it.revision);
        let teams = registry.all_teams().flat_map(|(_, team)| {
            team.members.all().map(|(_, it)| it.revision).chain(team.recorded().map(|it| it.revision))
        });
        users.chain(tokens).chain(teams).max().unwrap_or(0)
    }
}

/// Keeps `known` at what `facts` are, and rings `rights` when somebody may do more or less than before.
pub async fn keep(
    mut facts: watch::Receiver<Facts>,
    known: watch::Sender<Option<Arc<Known>>>,
    rights: watch::Sender<u64>,
) {
    while facts.changed().await.is_ok() {
        let Some(registry) = facts.borrow_and_update().clone() else { continue };
        let newer = Known::new(registry);
        let right = newer.newest_right();
        known.send_replace(Some(Arc::new(newer)));
        rights.send_if_modified(|before| std::mem::replace(before, right) != right);
    }
}

/// The revision of the newest fact about the same thing; 0 where there is none.
#[must_use]
pub fn revision(registry: &Registry, scope: &JournalScope, fact: &Fact) -> u64 {
    let team = match scope {
        JournalScope::Team(id) => registry.any_team(id),
        JournalScope::Everyone => None,
    };
    let of_team = match fact {
        Fact::User { id, .. } => return registry.users.revision(id),
        Fact::Token { id, .. } => return registry.tokens.revision(id),
        Fact::Team { .. } => team.map(|team| team.revision()),
        Fact::Member { id, .. } => team.map(|team| team.members.revision(id)),
        Fact::Invitation { id, .. } => team.map(|team| team.invitations.revision(id)),
        Fact::Host { id, .. } => team.map(|team| team.hosts.revision(id)),
        Fact::Reader { id, .. } => team.map(|team| team.readers.revision(id)),
        Fact::Credential { id, .. } => team.map(|team| team.credentials.revision(id)),
        Fact::Flag { id, .. } => team.map(|team| team.flags.revision(id)),
        Fact::Rule { id, .. } => team.map(|team| team.rules.revision(id)),
        Fact::Silence { id, .. } => team.map(|team| team.silences.revision(id)),
        Fact::Acknowledgement { episode, .. } => {
            team.zip(episode.id()).map(|(team, id)| team.acknowledgements.revision(&id))
        }
        Fact::Resolution { episode, .. } => {
            team.zip(episode.id()).map(|(team, id)| team.resolutions.revision(&id))
        }
        Fact::AlertDefaults { id, .. } => team.map(|team| team.alert_defaults.revision(id)),
        Fact::Maintenance { id, .. } => team.map(|team| team.maintenance.revision(id)),
        Fact::Receiver { id, .. } => team.map(|team| team.receivers.revision(id)),
        Fact::LinkOffer { id, .. } => team.map(|team| team.link_offers.revision(id)),
        Fact::Chat { id, .. } => team.map(|team| team.chats.revision(id)),
        Fact::ReceiverFailure { id, .. } => team.map(|team| team.receiver_failures.revision(id)),
        Fact::Bot { id, .. } => team.map(|team| team.bots.revision(id)),
        Fact::BotState { id, .. } => team.map(|team| team.bot_states.revision(id)),
        Fact::Behind { id, .. } => team.map(|team| team.behind.revision(id)),
    };
    of_team.unwrap_or(0)
}
