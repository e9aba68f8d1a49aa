//! The words of scenario lines.

use crate::alerts::line;
use std::collections::BTreeSet;
use watchkeeper_schemas::alerting::{AlertFact, RuleState, SavedRule, Scope, Step};
use watchkeeper_schemas::rule::Severity;

pub(super) fn rule(rest: &str) -> Result<AlertFact, String> {
    let (head, text) = rest.split_once(" : ").ok_or("expected \" : \" and the text of the rule")?;
    let mut words = head.split_whitespace();
    let id = words.next().unwrap_or_default().parse().map_err(word)?;
    let mut saved = SavedRule {
        text: text.trim().to_owned(),
        scope: Scope::All,
        receivers: list("rx1"),
        state: RuleState::Live,
        policy: Vec::new(),
    };
    for option in words {
        match option.split_once('=') {
            None if option == "shadow" => saved.state = RuleState::Shadow,
            None if option == "disabled" => saved.state = RuleState::Disabled,
            Some(("to", names)) => saved.receivers = list(names),
            Some(("tags", tags)) => saved.scope = Scope::Tags(list(tags)),
            Some(("hosts", hosts)) => {
                let hosts =
                    list(hosts).iter().map(|host| host.parse().map_err(word)).collect::<Result<_, _>>();
                saved.scope = Scope::Hosts(hosts?);
            }
            Some(("steps", steps)) => saved.policy = policy(steps)?,
            _ => return Err(format!("{option}: expected shadow, disabled, to, tags, hosts or steps")),
        }
    }
    Ok(AlertFact::Rule { id, value: Some(saved) })
}

/// `rx1:60,rx2:60`.
pub(super) fn policy(steps: &str) -> Result<Vec<Step>, String> {
    let step = |step: &str| {
        let (receiver, wait) = step.split_once(':').ok_or("expected receiver:seconds")?;
        Ok(Step { receivers: list(receiver), wait_ms: time(wait)? })
    };
    steps.split(',').map(step).collect()
}

pub(super) fn word(error: impl std::fmt::Display) -> String {
    error.to_string()
}

pub(super) fn severity(text: &str) -> Result<Severity, String> {
    let levels = [Severity::Info, Severity::Warning, Severity::Critical];
    levels.into_iter().find(|level| level.to_string() == text).ok_or_else(|| format!("{text} is no severity"))
}

pub(super) fn list(text: &str) -> BTreeSet<String> {
    text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// `name=value` words; a name may hold one `=` inside braces.
pub(super) fn pairs(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let pair = |word: &'_ str| word.rfind('=').map(|at| (at, word.len()));
    text.split_whitespace()
        .map(|word| {
            let (at, _) = pair(word).ok_or_else(|| format!("{word}: expected name=value"))?;
            Ok((&word[..at], &word[at + 1..]))
        })
        .collect()
}

/// Milliseconds of seconds.
pub(super) fn time(text: &str) -> Result<u64, String> {
    text.trim().parse::<f64>().map(line::ms).map_err(|_| format!("{text}: expected seconds"))
}

/// `10` or `10..60/5`.
pub(super) fn times(text: &str) -> Result<(u64, u64, u64), String> {
    let Some((from, rest)) = text.split_once("..") else {
        let at = time(text)?;
        return Ok((at, at, 1));
    };
    let (until, step) = rest.split_once('/').ok_or_else(|| format!("{text}: expected from..until/step"))?;
    let step = time(step)?;
    if step == 0 { Err(format!("{text}: a step of 0")) } else { Ok((time(from)?, time(until)?, step)) }
}
