//! Records what people decide about alerts: rules, silences, acknowledgements, who hears.

use crate::app::App;
use crate::fleet::watch::now;
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use crate::identity::{Change, Identity};
use axum::http::StatusCode;
use std::sync::Arc;
use watchkeeper_schemas::alerting::{
    Defaults, EpisodeRef, RuleState, SavedRule, Scope, Silence, WeeklyMaintenance,
};
use watchkeeper_schemas::built_in::{BUILT_IN, BuiltIn, built_in};
use watchkeeper_schemas::ids::{MaintenanceId, RuleId, SilenceId, TeamId};
use watchkeeper_schemas::journal::{Fact, Remark, Rule};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::registry::{Registry, TeamFacts};
use watchkeeper_schemas::subjects::JournalScope;

/// Rules of a team at most, beside the built-in ones.
pub const RULES_MAX: usize = 1000;
/// Silences of a team at most that are not over.
pub const SILENCES_MAX: usize = 10_000;
/// Weekly maintenance of a team at most.
pub const MAINTENANCE_MAX: usize = 100;
/// Words of paths, which no rule can be called by.
const RESERVED: [&str; 2] = ["check", "backtest"];

/// A rule with its place in the journal.
#[derive(Debug, Clone)]
pub struct PlacedRule {
    /// Which.
    pub id: RuleId,
    /// As saved; a built-in one that nobody touched is as it comes.
    pub rule: Rule,
    /// What an edit must name; 0 where nobody touched a built-in one.
    pub revision: u64,
    /// Who changed it last, and when.
    pub changed: Option<(String, UnixMs)>,
    /// What it is where it is built in.
    pub built_in: Option<&'static BuiltIn>,
}

/// A silence with its place in the journal.
#[derive(Debug, Clone)]
pub struct PlacedSilence {
    /// Which.
    pub id: SilenceId,
    /// As saved.
    pub silence: Silence,
    /// What an edit must name.
    pub revision: u64,
}

/// Weekly maintenance with its place in the journal.
#[derive(Debug, Clone)]
pub struct PlacedMaintenance {
    /// Which.
    pub id: MaintenanceId,
    /// As saved.
    pub weekly: WeeklyMaintenance,
    /// What an edit must name.
    pub revision: u64,
}

/// The refusal for a rule that is not there, or not yours: both read the same.
#[must_use]
pub fn no_such_rule() -> Problem {
    Problem::not_found("no such rule: /api/v1/rules lists those there are")
}

/// The refusal for a silence that is not there, or not yours.
#[must_use]
pub fn no_such_silence() -> Problem {
    Problem::not_found("no such silence: /api/v1/silences lists those there are")
}

/// The refusal for weekly maintenance that is not there, or not yours.
#[must_use]
pub fn no_such_maintenance() -> Problem {
    Problem::not_found("no such maintenance: /api/v1/maintenance lists what there is")
}

fn untouched(it: &BuiltIn) -> Rule {
    let rule = SavedRule {
        text: String::new(),
        scope: Scope::All,
        receivers: Default::default(),
        state: RuleState::Live,
        policy: Vec::new(),
    };
    Rule { name: it.name.to_owned(), rule }
}

/// Every rule of a team, the built-in ones first.
#[must_use]
pub fn rules(team: &TeamFacts) -> Vec<PlacedRule> {
    let own = team.rules.iter().map(|(id, _)| id.clone()).filter(|id| built_in(id.as_str()).is_none());
    let ids = BUILT_IN.iter().filter_map(|it| it.id.parse().ok()).chain(own);
    ids.filter_map(|id: RuleId| rule(team, &id)).collect()
}

/// A rule of a team.
#[must_use]
pub fn rule(team: &TeamFacts, id: &RuleId) -> Option<PlacedRule> {
    let (recorded, is_built_in) = (team.rules.recorded(id), built_in(id.as_str()));
    let there = recorded.and_then(|it| it.value.clone());
    let rule = there.or_else(|| is_built_in.map(untouched))?;
    let changed = recorded.map(|it| (it.author.clone(), it.time));
    Some(PlacedRule {
        id: id.clone(),
        rule,
        revision: team.rules.revision(id),
        changed,
        built_in: is_built_in,
    })
}

/// The team and who changes it.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    /// Facts.
    pub identity: &'a Identity,
    /// Whose alerts.
    pub team: &'a TeamId,
    /// Who changes them.
    pub author: &'a str,
}

impl<'a> Desk<'a> {
    /// That of whoever asks.
    #[must_use]
    pub fn of(app: &'a App, principal: &'a Principal) -> Self {
        Self { identity: &app.identity, team: &principal.team, author: principal.user.as_str() }
    }

    /// Everything that JOURNAL says.
    ///
    /// # Errors
    /// 503 before it was read.
    pub fn registry(&self) -> Result<Arc<Registry>, Problem> {
        self.identity.registry()
    }

    /// A rule as it is now.
    ///
    /// # Errors
    /// 404 where it is not.
    pub fn rule(&self, id: &RuleId) -> Result<PlacedRule, Problem> {
        let registry = self.registry()?;
        registry.team(self.team).and_then(|team| rule(team, id)).ok_or_else(no_such_rule)
    }

    /// A rule as it is now, if that is what the editor saw.
    ///
    /// # Errors
    /// 404 where it is not, 409 where it was changed meanwhile.
    pub fn rule_at(&self, id: &RuleId, revision: u64) -> Result<PlacedRule, Problem> {
        let placed = self.rule(id)?;
        if placed.revision == revision { Ok(placed) } else { Err(Problem::conflict(placed.revision)) }
    }

    /// Makes a rule; without an id it gets one after its name.
    ///
    /// # Errors
    /// 409 where the id is taken or there are too many rules, 503 where NATS does not answer.
    pub async fn make_rule(&self, id: Option<RuleId>, rule: Rule) -> Result<PlacedRule, Problem> {
        let registry = self.registry()?;
        let team = registry.team(self.team).ok_or_else(|| Problem::not_found("no such team"))?;
        if team.rules.iter().count() >= RULES_MAX {
            let detail = format!("a team has at most {RULES_MAX} rules");
            return Err(Problem::new(StatusCode::CONFLICT, detail));
        }
        let is_taken = |id: &str| {
            let used = id.parse().is_ok_and(|id: RuleId| team.rules.get(&id).is_some());
            used || built_in(id).is_some() || RESERVED.contains(&id)
        };
        let named = || {
            let id = crate::hosting::form::id_after(&rule.name, |id| is_taken(id.as_str()))?;
            id.as_str().parse().ok()
        };
        let asked = id.clone();
        let Some(id) = asked.or_else(named) else { return Err(no_such_rule()) };
        if is_taken(id.as_str()) {
            return Err(Problem::conflict(team.rules.revision(&id)));
        }
        let expected = team.rules.revision(&id);
        self.save_rule(PlacedRule { id, rule, revision: expected, changed: None, built_in: None }, "made")
            .await
    }

    /// Saves a rule over the revision that it names.
    ///
    /// # Errors
    /// 409 where it was changed meanwhile, 503 where NATS does not answer.
    pub async fn save_rule(&self, placed: PlacedRule, cause: &str) -> Result<PlacedRule, Problem> {
        let fact = Fact::Rule { id: placed.id.clone(), value: Some(placed.rule.clone()) };
        let revision = self.record(fact, placed.revision, cause).await?;
        Ok(PlacedRule { revision, changed: Some((self.author.to_owned(), now())), ..placed })
    }

    /// Removes a rule; a built-in one is as it comes from now on.
    ///
    /// # Errors
    /// 409 where it was changed meanwhile, 503 where NATS does not answer.
    pub async fn remove_rule(&self, placed: &PlacedRule) -> Result<(), Problem> {
        let fact = Fact::Rule { id: placed.id.clone(), value: None };
        self.record(fact, placed.revision, "removed").await.map(|_| ())
    }

    /// A silence as it is now.
    ///
    /// # Errors
    /// 404 where it is not.
    pub fn silence(&self, id: &SilenceId) -> Result<PlacedSilence, Problem> {
        let registry = self.registry()?;
        let recorded = registry.team(self.team).and_then(|team| team.silences.recorded(id));
        let recorded = recorded.ok_or_else(no_such_silence)?;
        let silence = recorded.value.clone().ok_or_else(no_such_silence)?;
        Ok(PlacedSilence { id: id.clone(), silence, revision: recorded.revision })
    }

    /// A silence as it is now, if that is what the editor saw.
    ///
    /// # Errors
    /// 404 where it is not, 409 where it was changed meanwhile.
    pub fn silence_at(&self, id: &SilenceId, revision: u64) -> Result<PlacedSilence, Problem> {
        let placed = self.silence(id)?;
        if placed.revision == revision { Ok(placed) } else { Err(Problem::conflict(placed.revision)) }
    }

    /// Saves a silence over the revision that it names; 0 makes it.
    ///
    /// # Errors
    /// 409 where it was changed meanwhile or there are too many, 503 where NATS does not answer.
    pub async fn save_silence(&self, placed: PlacedSilence, cause: &str) -> Result<PlacedSilence, Problem> {
        let registry = self.registry()?;
        let team = registry.team(self.team).ok_or_else(|| Problem::not_found("no such team"))?;
        let (is_new, now) = (placed.revision == 0, now());
        if is_new && team.silences.iter().filter(|(_, it)| it.until > now).count() >= SILENCES_MAX {
            let detail = format!("a team has at most {SILENCES_MAX} silences that are not over");
            return Err(Problem::new(StatusCode::CONFLICT, detail));
        }
        let fact = Fact::Silence { id: placed.id.clone(), value: Some(placed.silence.clone()) };
        let revision = self.record(fact, placed.revision, cause).await?;
        Ok(PlacedSilence { revision, ..placed })
    }

    /// Ends a silence.
    ///
    /// # Errors
    /// 409 where it was changed meanwhile, 503 where NATS does not answer.
    pub async fn remove_silence(&self, placed: &PlacedSilence) -> Result<(), Problem> {
        let fact = Fact::Silence { id: placed.id.clone(), value: None };
        self.record(fact, placed.revision, "ended").await.map(|_| ())
    }

    /// Weekly maintenance as it is now, if that is what the editor saw.
    ///
    /// # Errors
    /// 404 where it is not, 409 where it was changed meanwhile.
    pub fn maintenance_at(&self, id: &MaintenanceId, revision: u64) -> Result<PlacedMaintenance, Problem> {
        let registry = self.registry()?;
        let recorded = registry.team(self.team).and_then(|team| team.maintenance.recorded(id));
        let recorded = recorded.ok_or_else(no_such_maintenance)?;
        let weekly = recorded.value.clone().ok_or_else(no_such_maintenance)?;
        if recorded.revision != revision {
            return Err(Problem::conflict(recorded.revision));
        }
        Ok(PlacedMaintenance { id: id.clone(), weekly, revision })
    }

    /// Saves weekly maintenance over the revision that it names; 0 makes it. A processor writes its windows.
    ///
    /// # Errors
    /// 409 where it was changed meanwhile or there is too much, 503 where NATS does not answer.
    pub async fn save_maintenance(
        &self,
        placed: PlacedMaintenance,
        cause: &str,
    ) -> Result<PlacedMaintenance, Problem> {
        let registry = self.registry()?;
        let team = registry.team(self.team).ok_or_else(|| Problem::not_found("no such team"))?;
        if placed.revision == 0 && team.maintenance.iter().count() >= MAINTENANCE_MAX {
            let detail = format!("a team has weekly maintenance of at most {MAINTENANCE_MAX} kinds");
            return Err(Problem::new(StatusCode::CONFLICT, detail));
        }
        let fact = Fact::Maintenance { id: placed.id.clone(), value: Some(placed.weekly.clone()) };
        let revision = self.record(fact, placed.revision, cause).await?;
        Ok(PlacedMaintenance { revision, ..placed })
    }

    /// Removes weekly maintenance; its windows end.
    ///
    /// # Errors
    /// 409 where it was changed meanwhile, 503 where NATS does not answer.
    pub async fn remove_maintenance(&self, placed: &PlacedMaintenance) -> Result<(), Problem> {
        let fact = Fact::Maintenance { id: placed.id.clone(), value: None };
        self.record(fact, placed.revision, "removed").await.map(|_| ())
    }

    /// Somebody looks after an episode; nothing: not any more.
    ///
    /// # Errors
    /// 409 where somebody was faster, 503 where NATS does not answer.
    pub async fn acknowledge(&self, episode: EpisodeRef, remark: Option<Remark>) -> Result<(), Problem> {
        let registry = self.registry()?;
        let known = registry.team(self.team).zip(episode.id());
        let expected = known.map_or(0, |(team, id)| team.acknowledgements.revision(&id));
        let cause = if remark.is_some() { "acknowledged" } else { "withdrawn" };
        self.record(Fact::Acknowledgement { episode, value: remark }, expected, cause).await.map(|_| ())
    }

    /// Somebody says that an episode is over.
    ///
    /// # Errors
    /// 409 where somebody was faster, 503 where NATS does not answer.
    pub async fn resolve(&self, episode: EpisodeRef, remark: Remark) -> Result<(), Problem> {
        let registry = self.registry()?;
        let known = registry.team(self.team).zip(episode.id());
        let expected = known.map_or(0, |(team, id)| team.resolutions.revision(&id));
        self.record(Fact::Resolution { episode, value: Some(remark) }, expected, "resolved").await.map(|_| ())
    }

    /// Who hears where a rule names nobody.
    ///
    /// # Errors
    /// 409 where it was changed meanwhile, 503 where NATS does not answer.
    pub async fn set_defaults(&self, defaults: Defaults, expected: u64) -> Result<u64, Problem> {
        let fact = Fact::AlertDefaults { id: self.team.clone(), value: Some(defaults) };
        self.record(fact, expected, "changed").await
    }

    async fn record(&self, fact: Fact, expected: u64, cause: &str) -> Result<u64, Problem> {
        let scope = JournalScope::Team(self.team.clone());
        self.identity.record(Change { author: self.author, cause, scope, fact, expected }).await
    }
}
