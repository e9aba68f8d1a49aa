//! Who names a receiver: rules, their policies, the team's defaults. Pure.

use crate::alerting::desk::rules;
use crate::http::body::Mistakes;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;
use watchkeeper_schemas::alerting::{Defaults, SavedRule, Step};
use watchkeeper_schemas::ids::{ReceiverId, RuleId};
use watchkeeper_schemas::registry::TeamFacts;

/// Rules that are told by name; of more only their number.
const RULES_SHOWN_MAX: usize = 20;

/// A rule that names a receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NamedRule {
    /// Which.
    pub id: RuleId,
    /// What it is called.
    pub name: String,
}

/// Who names one receiver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct NamedBy {
    /// The team's defaults do: it hears where a rule names nobody.
    pub defaults: bool,
    /// How many rules do.
    pub rule_count: usize,
    /// The first 20 of them.
    pub rules: Vec<NamedRule>,
}

/// Every receiver that a list of receivers or a policy names.
fn names<'a>(receivers: &'a BTreeSet<String>, policy: &'a [Step]) -> impl Iterator<Item = &'a String> {
    receivers.iter().chain(policy.iter().flat_map(|step| &step.receivers))
}

/// What the team says of who hears by default.
#[must_use]
pub fn defaults(team: &TeamFacts) -> Option<&Defaults> {
    team.alert_defaults.iter().next().map(|(_, defaults)| defaults)
}

/// Who names each receiver of a team.
#[must_use]
pub fn named(team: &TeamFacts) -> BTreeMap<String, NamedBy> {
    let mut all: BTreeMap<String, NamedBy> = BTreeMap::new();
    for name in defaults(team).into_iter().flat_map(|it| names(&it.receivers, &it.policy)) {
        all.entry(name.clone()).or_default().defaults = true;
    }
    for placed in rules(team) {
        let rule = &placed.rule.rule;
        let once: BTreeSet<&String> = names(&rule.receivers, &rule.policy).collect();
        for name in once {
            let by = all.entry(name.clone()).or_default();
            by.rule_count += 1;
            if by.rules.len() < RULES_SHOWN_MAX {
                by.rules.push(NamedRule { id: placed.id.clone(), name: placed.rule.name.clone() });
            }
        }
    }
    all
}

fn is_there(team: &TeamFacts, name: &str) -> bool {
    name.parse().is_ok_and(|id: ReceiverId| team.receivers.get(&id).is_some())
}

/// Notes receivers that are not there, but for those that were named before: what was saved goes on.
pub fn check_named(
    mistakes: &mut Mistakes,
    team: Option<&TeamFacts>,
    (receivers, policy): (&BTreeSet<String>, &[Step]),
    before: Option<(&BTreeSet<String>, &[Step])>,
) {
    let known: BTreeSet<&String> =
        before.into_iter().flat_map(|(list, policy)| names(list, policy)).collect();
    let is_new = |name: &&String| !known.contains(*name) && !team.is_some_and(|team| is_there(team, name));
    let steps = policy.iter().flat_map(|step| &step.receivers);
    for (field, missing) in receivers
        .iter()
        .filter(is_new)
        .map(|name| ("receivers", name))
        .chain(steps.filter(is_new).map(|name| ("policy.receivers", name)))
    {
        mistakes.note(field, "a receiver of the team: /api/v1/receivers lists those there are", missing);
    }
}

/// Whether nobody who is there would hear of a rule.
#[must_use]
pub fn tells_nobody(rule: &SavedRule, team: Option<&TeamFacts>) -> bool {
    let Some(team) = team else { return true };
    let default = defaults(team);
    let receivers = Some(&rule.receivers).filter(|own| !own.is_empty()).or(default.map(|it| &it.receivers));
    let policy = Some(&rule.policy).filter(|own| !own.is_empty()).or(default.map(|it| &it.policy));
    let steps = policy.into_iter().flatten().flat_map(|step| &step.receivers);
    !receivers.into_iter().flatten().chain(steps).any(|name| is_there(team, name))
}
