//! Everything that JOURNAL says, folded: who may do what, what is watched and how. Pure.

use crate::alerting::{Defaults, Silence, WeeklyMaintenance};
use crate::ids::{
    EpisodeId, HostId, InvitationId, MaintenanceId, ProcessorName, PublicKey, ReaderName, ReceiverId, RuleId,
    SilenceId, TeamId, TokenId, UserId,
};
use crate::journal::{
    Behind, Credential, Fact, Flag, Host, Invitation, JournalEvent, Member, Reader, Remark, Role, Rule, Team,
    Token, User,
};
use crate::quantity::UnixMs;
use crate::receiver::{Bot, BotState, Chat, LinkOffer, Receiver, ReceiverFailure};
use crate::subjects::{JournalScope, JournalSubject, SubjectError};
use std::collections::BTreeMap;

/// The newest fact about one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded<V> {
    /// The fact's place in JOURNAL: the revision that an edit must name.
    pub revision: u64,
    /// When it was recorded.
    pub time: UnixMs,
    /// Who recorded it.
    pub author: String,
    /// When the thing was recorded for the first time since it was last removed.
    pub since: UnixMs,
    /// What is true; nothing once removed.
    pub value: Option<V>,
}

/// The newest fact about each thing of one kind, removed ones included.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts<K, V>(BTreeMap<K, Recorded<V>>);

impl<K, V> Default for Facts<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, V> Facts<K, V> {
    /// What is true of a thing that is there.
    #[must_use]
    pub fn get(&self, id: &K) -> Option<&V> {
        self.0.get(id)?.value.as_ref()
    }

    /// The newest fact about a thing, be it that it was removed.
    #[must_use]
    pub fn recorded(&self, id: &K) -> Option<&Recorded<V>> {
        self.0.get(id)
    }

    /// What an edit of a thing must name as the last revision; 0 where nothing was ever recorded.
    #[must_use]
    pub fn revision(&self, id: &K) -> u64 {
        self.0.get(id).map_or(0, |recorded| recorded.revision)
    }

    /// Everything that is there.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().filter_map(|(id, recorded)| Some((id, recorded.value.as_ref()?)))
    }

    /// Everything that ever was, with its newest fact.
    pub fn all(&self) -> impl Iterator<Item = (&K, &Recorded<V>)> {
        self.0.iter()
    }

    fn put(&mut self, id: K, value: Option<V>, note: &Note<'_>) {
        let there = self.0.get(&id).filter(|before| before.value.is_some());
        let since = there.map_or(note.time, |before| before.since);
        let author = note.author.to_owned();
        self.0.insert(id, Recorded { revision: note.sequence, time: note.time, author, since, value });
    }
}

/// What surrounds a fact.
struct Note<'a> {
    sequence: u64,
    time: UnixMs,
    author: &'a str,
}

/// One team and everything that belongs to it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TeamFacts {
    /// The team's own fact, under its own id.
    itself: Facts<TeamId, Team>,
    /// Who belongs to it.
    pub members: Facts<UserId, Member>,
    /// Who may come.
    pub invitations: Facts<InvitationId, Invitation>,
    /// What it watches.
    pub hosts: Facts<HostId, Host>,
    /// Who listens.
    pub readers: Facts<ReaderName, Reader>,
    /// Every key that was ever signed for it.
    pub credentials: Facts<PublicKey, Credential>,
    /// Hosts that are held off.
    pub flags: Facts<HostId, Flag>,
    /// What is alerted.
    pub rules: Facts<RuleId, Rule>,
    /// What is held back.
    pub silences: Facts<SilenceId, Silence>,
    /// What is held back every week.
    pub maintenance: Facts<MaintenanceId, WeeklyMaintenance>,
    /// Episodes that somebody looks after.
    pub acknowledgements: Facts<EpisodeId, Remark>,
    /// Episodes that somebody ended by hand.
    pub resolutions: Facts<EpisodeId, Remark>,
    /// Who hears where a rule names nobody, under the team's own id.
    pub alert_defaults: Facts<TeamId, Defaults>,
    /// Who is told of alerts.
    pub receivers: Facts<ReceiverId, Receiver>,
    /// Open and taken offers to link a chat to a receiver.
    pub link_offers: Facts<ReceiverId, LinkOffer>,
    /// Chats that are linked to receivers.
    pub chats: Facts<ReceiverId, Chat>,
    /// Receivers whose channel refuses what is sent.
    pub receiver_failures: Facts<ReceiverId, ReceiverFailure>,
    /// The team's own bot, under the team's own id.
    pub bots: Facts<TeamId, Bot>,
    /// What Telegram says of the bot that serves the team, under the team's own id.
    pub bot_states: Facts<TeamId, BotState>,
    /// When processors were far behind the log, for the last time.
    pub behind: Facts<ProcessorName, Behind>,
}

impl TeamFacts {
    /// Whether the team is there.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.itself.iter().next().is_some()
    }

    /// The team's own newest fact.
    #[must_use]
    pub fn recorded(&self) -> Option<&Recorded<Team>> {
        self.itself.all().next().map(|(_, recorded)| recorded)
    }

    /// What it is called; empty once removed.
    #[must_use]
    pub fn name(&self) -> &str {
        self.itself.iter().next().map_or("", |(_, team)| team.name.as_str())
    }

    /// What an edit of the team itself must name as the last revision.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.recorded().map_or(0, |recorded| recorded.revision)
    }

    /// How many owners it has.
    #[must_use]
    pub fn owners(&self) -> usize {
        self.members.iter().filter(|(_, member)| member.role == Role::Owner).count()
    }

    /// Whether nobody else owns it.
    #[must_use]
    pub fn is_last_owner(&self, user: &UserId) -> bool {
        let is_owner = self.members.get(user).is_some_and(|member| member.role == Role::Owner);
        is_owner && self.owners() == 1
    }

    /// Two owners may demote each other at once: the fact that comes second would leave nobody, and changes nothing.
    fn put_member(&mut self, id: UserId, value: Option<Member>, note: &Note<'_>) {
        let stays_owner = value.as_ref().is_some_and(|member| member.role == Role::Owner);
        let leaves_nobody = self.is_last_owner(&id) && !stays_owner;
        let value = if leaves_nobody { self.members.get(&id).cloned() } else { value };
        self.members.put(id, value, note);
    }

    /// Whether the holder of a key still names it: the team is there, and so are host or reader.
    #[must_use]
    pub fn is_current(&self, key: &PublicKey) -> bool {
        let current = match self.credentials.get(key) {
            Some(Credential::Agent { host, .. }) => {
                self.hosts.get(host).and_then(|host| host.enrolment.key())
            }
            Some(Credential::Reader { reader }) => self.readers.get(reader).map(|reader| &reader.key),
            None => None,
        };
        self.exists() && current == Some(key)
    }
}

/// A fact that cannot be folded.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It stands on a subject of another form.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// Its body is no fact.
    #[error("the fact does not read")]
    Form(#[from] serde_json::Error),
    /// Subject and body speak of different things.
    #[error("the fact on {subject} is about {about}")]
    Mismatch {
        /// Where it stands.
        subject: String,
        /// Where it belongs.
        about: String,
    },
}

/// Everything that JOURNAL says up to a place in it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Registry {
    sequence: u64,
    /// Who may log in.
    pub users: Facts<UserId, User>,
    /// Tokens of people for programs.
    pub tokens: Facts<TokenId, Token>,
    teams: BTreeMap<TeamId, TeamFacts>,
}

impl Registry {
    /// The last place in JOURNAL that is folded in; 0 before the first.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// A team that is there.
    #[must_use]
    pub fn team(&self, id: &TeamId) -> Option<&TeamFacts> {
        self.teams.get(id).filter(|team| team.exists())
    }

    /// What is left of any team, removed ones included: their keys must stay revoked, their names used.
    #[must_use]
    pub fn any_team(&self, id: &TeamId) -> Option<&TeamFacts> {
        self.teams.get(id)
    }

    /// Every team that is there.
    pub fn teams(&self) -> impl Iterator<Item = (&TeamId, &TeamFacts)> {
        self.teams.iter().filter(|(_, team)| team.exists())
    }

    /// Every team that ever was.
    pub fn all_teams(&self) -> impl Iterator<Item = (&TeamId, &TeamFacts)> {
        self.teams.iter()
    }

    /// What a user may do in a team: nothing where either is missing, or the user is disabled.
    #[must_use]
    pub fn role(&self, user: &UserId, team: &TeamId) -> Option<Role> {
        self.users.get(user).filter(|user| !user.disabled)?;
        Some(self.team(team)?.members.get(user)?.role)
    }

    /// The teams of a user, with what they may do there.
    pub fn teams_of<'a>(&'a self, user: &'a UserId) -> impl Iterator<Item = (&'a TeamId, Role)> {
        self.teams().filter_map(move |(id, _)| Some((id, self.role(user, id)?)))
    }

    /// Folds the event at `sequence`; one that was folded before changes nothing.
    ///
    /// # Errors
    /// When it is no fact, or stands on the subject of another; it counts as folded and changes nothing else.
    pub fn apply(&mut self, sequence: u64, subject: &str, payload: &[u8]) -> Result<(), RegistryError> {
        if sequence <= self.sequence {
            return Ok(());
        }
        self.sequence = sequence;
        let subject: JournalSubject = subject.parse()?;
        let event: JournalEvent = serde_json::from_slice(payload)?;
        let about = JournalSubject::of(subject.scope.clone(), &event.fact);
        if about.as_ref() != Some(&subject) {
            let about = about.map_or("another scope".to_owned(), |about| about.to_string());
            return Err(RegistryError::Mismatch { subject: subject.to_string(), about });
        }
        self.put(subject.scope, event, sequence);
        Ok(())
    }

    /// Subject and fact agree here, so that only facts of a team come with one.
    fn put(&mut self, scope: JournalScope, event: JournalEvent, sequence: u64) {
        let note = Note { sequence, time: event.time, author: &event.author };
        let id = match scope {
            JournalScope::Team(id) => id,
            JournalScope::Everyone => {
                match event.fact {
                    Fact::User { id, value } => self.users.put(id, value, &note),
                    Fact::Token { id, value } => self.tokens.put(id, value, &note),
                    Fact::Team { .. }
                    | Fact::Member { .. }
                    | Fact::Invitation { .. }
                    | Fact::Host { .. }
                    | Fact::Reader { .. }
                    | Fact::Credential { .. }
                    | Fact::Flag { .. }
                    | Fact::Rule { .. }
                    | Fact::Silence { .. }
                    | Fact::Acknowledgement { .. }
                    | Fact::Resolution { .. }
                    | Fact::AlertDefaults { .. }
                    | Fact::Maintenance { .. }
                    | Fact::Receiver { .. }
                    | Fact::LinkOffer { .. }
                    | Fact::Chat { .. }
                    | Fact::ReceiverFailure { .. }
                    | Fact::Bot { .. }
                    | Fact::BotState { .. }
                    | Fact::Behind { .. } => {}
                }
                return;
            }
        };
        let team = self.teams.entry(id).or_default();
        match event.fact {
            Fact::User { .. } | Fact::Token { .. } => {}
            Fact::Team { id, value } => team.itself.put(id, value, &note),
            Fact::Member { id, value } => team.put_member(id, value, &note),
            Fact::Invitation { id, value } => team.invitations.put(id, value, &note),
            Fact::Host { id, value } => team.hosts.put(id, value, &note),
            Fact::Reader { id, value } => team.readers.put(id, value, &note),
            Fact::Credential { id, value } => team.credentials.put(id, value, &note),
            Fact::Flag { id, value } => team.flags.put(id, value, &note),
            Fact::Rule { id, value } => team.rules.put(id, value, &note),
            Fact::Silence { id, value } => team.silences.put(id, value, &note),
            Fact::Acknowledgement { episode, value } => {
                episode.id().into_iter().for_each(|id| team.acknowledgements.put(id, value.clone(), &note));
            }
            Fact::Resolution { episode, value } => {
                episode.id().into_iter().for_each(|id| team.resolutions.put(id, value.clone(), &note));
            }
            Fact::AlertDefaults { id, value } => team.alert_defaults.put(id, value, &note),
            Fact::Maintenance { id, value } => team.maintenance.put(id, value, &note),
            Fact::Receiver { id, value } => team.receivers.put(id, value, &note),
            Fact::LinkOffer { id, value } => team.link_offers.put(id, value, &note),
            Fact::Chat { id, value } => team.chats.put(id, value, &note),
            Fact::ReceiverFailure { id, value } => team.receiver_failures.put(id, value, &note),
            Fact::Bot { id, value } => team.bots.put(id, value, &note),
            Fact::BotState { id, value } => team.bot_states.put(id, value, &note),
            Fact::Behind { id, value } => team.behind.put(id, value, &note),
        }
    }
}
