//! What must change so that a team's rules are those of a file. Pure.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use watchkeeper_schemas::alerting::{RuleState, SavedRule, Scope, Step};
use watchkeeper_schemas::built_in::built_in;
use watchkeeper_schemas::ids::RuleId;
use watchkeeper_schemas::rule::Rule;

/// The last step of a policy waits for nothing; the API wants a minute.
const WAIT_MS_MIN: u64 = 60_000;

/// A rule of the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    pub(super) id: RuleId,
    /// The name that it has already, else its id.
    pub(super) name: Option<String>,
    pub(super) rule: SavedRule,
}

/// A rule as the API takes and gives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) name: String,
    text: String,
    scope: Scope,
    receivers: BTreeSet<String>,
    policy: Vec<Step>,
    state: RuleState,
}

/// A rule of the team.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Present {
    pub(super) id: RuleId,
    #[serde(flatten)]
    pub(super) content: Content,
    pub(super) built_in: bool,
    pub(super) revision: u64,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Create { id: RuleId, after: Content },
    Edit { id: RuleId, before: Content, after: Content, revision: u64 },
    Delete { id: RuleId, before: Content, revision: u64 },
}

/// Everything that is different, in the order in which it is to be done: what goes, goes last.
///
/// # Errors
/// What cannot be in such a file, for people.
pub(super) fn plan(wanted: Vec<Wanted>, present: Vec<Present>) -> Result<Vec<Change>, String> {
    let own = present.into_iter().filter(|rule| !rule.built_in).map(|rule| (rule.id.clone(), rule));
    let mut own: BTreeMap<RuleId, Present> = own.collect();
    let (mut changes, mut named) = (Vec::new(), BTreeSet::new());
    for Wanted { id, name, rule } in wanted {
        if built_in(id.as_str()).is_some() {
            return Err(format!("rule {id} is built in: it has no text, and is changed on the page"));
        }
        if !named.insert(id.clone()) {
            return Err(format!("rule {id} is there twice"));
        }
        let before = own.remove(&id);
        let known = before.as_ref().map_or(id.as_str(), |before| before.content.name.as_str());
        let after = content(name.unwrap_or_else(|| known.to_owned()), rule);
        match before {
            None => changes.push(Change::Create { id, after }),
            Some(before) if before.content == after => {}
            Some(Present { content: before, revision, .. }) => {
                changes.push(Change::Edit { id, before, after, revision });
            }
        }
    }
    let gone =
        own.into_values().map(|it| Change::Delete { id: it.id, before: it.content, revision: it.revision });
    changes.extend(gone);
    Ok(changes)
}

/// A rule of the file as the API would give it.
fn content(name: String, rule: SavedRule) -> Content {
    let SavedRule { text, scope, receivers, state, mut policy } = rule;
    let text = text.parse::<Rule>().map_or(text, |rule| rule.to_string());
    if let Some(last) = policy.last_mut() {
        last.wait_ms = last.wait_ms.max(WAIT_MS_MIN);
    }
    Content { name, text, scope, receivers, policy, state }
}

impl Change {
    /// Which rule.
    pub(super) fn id(&self) -> &RuleId {
        match self {
            Self::Create { id, .. } | Self::Edit { id, .. } | Self::Delete { id, .. } => id,
        }
    }

    /// For people: `+` what is made, `~` what is changed with each difference, `-` what is removed; a line each.
    pub(super) fn told(&self) -> Vec<String> {
        match self {
            Self::Create { id, after } => {
                let plain = Content {
                    name: id.to_string(),
                    text: after.text.clone(),
                    scope: Scope::All,
                    receivers: BTreeSet::new(),
                    policy: Vec::new(),
                    state: RuleState::Live,
                };
                let more =
                    plain.differences(after).into_iter().map(|(field, _, is)| format!("    {field}: {is}"));
                std::iter::once(format!("+ {id}: {}", after.text)).chain(more).collect()
            }
            Self::Edit { id, before, after, .. } => {
                let sides = before.differences(after).into_iter().flat_map(|(field, was, is)| {
                    [format!("    - {field}: {was}"), format!("    + {field}: {is}")]
                });
                std::iter::once(format!("~ {id}")).chain(sides).collect()
            }
            Self::Delete { id, before, .. } => vec![format!("- {id}: {}", before.text)],
        }
    }
}

impl Content {
    /// Field, and how each side says it.
    fn differences(&self, other: &Self) -> Vec<(&'static str, String, String)> {
        let all = self.fields().into_iter().zip(other.fields());
        all.filter(|(was, is)| was != is).map(|((field, was), (_, is))| (field, was, is)).collect()
    }

    fn fields(&self) -> [(&'static str, String); 6] {
        let words = |words: &BTreeSet<String>| words.iter().cloned().collect::<Vec<_>>().join(", ");
        let or = |text: String, none: &str| if text.is_empty() { none.to_owned() } else { text };
        let scope = match &self.scope {
            Scope::All => "all hosts".to_owned(),
            Scope::Tags(tags) => format!("tags {}", or(words(tags), "none")),
            Scope::Hosts(hosts) => {
                format!("hosts {}", or(words(&hosts.iter().map(ToString::to_string).collect()), "none"))
            }
        };
        let steps =
            self.policy.iter().map(|it| format!("{} for {} s", words(&it.receivers), it.wait_ms / 1000));
        let policy = or(steps.collect::<Vec<_>>().join(", then "), "the team's policy");
        let state = match self.state {
            RuleState::Live => "live",
            RuleState::Shadow => "shadow",
            RuleState::Disabled => "disabled",
        };
        [
            ("name", self.name.clone()),
            ("text", self.text.clone()),
            ("scope", scope),
            ("receivers", or(words(&self.receivers), "the team's default")),
            ("escalation", policy),
            ("state", state.to_owned()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(text: &str) -> SavedRule {
        SavedRule {
            text: text.to_owned(),
            scope: Scope::All,
            receivers: BTreeSet::new(),
            state: RuleState::Live,
            policy: Vec::new(),
        }
    }

    fn wanted(id: &str, text: &str) -> Wanted {
        Wanted { id: id.parse().unwrap(), name: None, rule: saved(text) }
    }

    fn present(id: &str, text: &str) -> Present {
        let content = content(format!("{id} by name"), saved(text));
        Present { id: id.parse().unwrap(), content, built_in: built_in(id).is_some(), revision: 7 }
    }

    fn told(wanted: Vec<Wanted>, present: Vec<Present>) -> String {
        let lines = plan(wanted, present).unwrap().iter().flat_map(Change::told).collect::<Vec<_>>();
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn what_is_the_same_however_it_is_written_is_no_change() {
        let there = vec![present("busy", "cpu.usage_pct > 90"), present("host_silent", "")];
        assert_eq!(told(vec![wanted("busy", "cpu.usage_pct>90")], there), "");
    }

    #[test]
    fn each_difference_is_said_before_it_is_made() {
        let mut more = wanted("busy", "cpu.usage_pct > 95");
        more.rule.scope = Scope::Tags(["web".to_owned()].into());
        more.rule.receivers = ["ops".to_owned()].into();
        more.rule.policy = vec![Step { receivers: ["boss".to_owned()].into(), wait_ms: 0 }];
        let mut shadow = wanted("new", "load.avg_1 > 8");
        shadow.rule.state = RuleState::Shadow;
        let there = vec![present("busy", "cpu.usage_pct > 90"), present("old", "swap.used_pct > 5")];
        let expected = "\
~ busy
    - text: cpu.usage_pct > 90
    + text: cpu.usage_pct > 95
    - scope: all hosts
    + scope: tags web
    - receivers: the team's default
    + receivers: ops
    - escalation: the team's policy
    + escalation: boss for 60 s
+ new: load.avg_1 > 8
    state: shadow
- old: swap.used_pct > 5
";
        assert_eq!(told(vec![more, shadow], there), expected);
    }

    #[test]
    fn a_name_is_kept_unless_the_file_has_one() {
        let named = Wanted { name: Some("Busy".to_owned()), ..wanted("busy", "cpu.usage_pct > 90") };
        let there = || vec![present("busy", "cpu.usage_pct > 90")];
        assert_eq!(told(vec![named], there()), "~ busy\n    - name: busy by name\n    + name: Busy\n");
    }

    #[test]
    fn a_rule_that_is_built_in_or_there_twice_is_a_mistake() {
        let refused = |wanted| plan(wanted, Vec::new()).unwrap_err();
        assert!(refused(vec![wanted("blind", "load.avg_1 > 8")]).contains("built in"));
        let twice = vec![wanted("a", "load.avg_1 > 8"), wanted("a", "load.avg_1 > 9")];
        assert!(refused(twice).contains("twice"));
    }
}
