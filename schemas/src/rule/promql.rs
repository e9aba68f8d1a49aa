//! A rule as a Prometheus alerting rule: one way, and refused where Prometheus cannot say it.

use super::print::Duration;
use super::{Cmp, Comparison, Condition, Expr, MetricRef, NoDataPolicy, Operand, Rule, Threshold};
use schemars::JsonSchema;
use serde::Serialize;

/// A Prometheus alerting rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, utoipa::ToSchema)]
pub struct PrometheusRule {
    /// The expression; its metrics are ours with `_` for the dot and `watchkeeper_` in front.
    pub expr: String,
    /// For how long it must be true.
    #[serde(rename = "for")]
    pub for_: String,
    /// For how long it stays.
    pub keep_firing_for: String,
    /// How bad it is.
    pub severity: String,
}

/// Why Prometheus cannot say a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPrometheus {
    /// It watches a host, not a number.
    #[error("Prometheus cannot say \"host silent\": a host that sends nothing has no series there")]
    HostSilent,
    /// It has a clear condition of its own.
    #[error("Prometheus cannot say \"clear\": an alert there is over as soon as its expression is not true")]
    Clear,
    /// It has two levels.
    #[error("Prometheus cannot say \"critical when\": there each level is an alert of its own")]
    Levels,
    /// It has a policy for missing data.
    #[error("Prometheus cannot say \"no-data\": missing numbers always end an alert there")]
    NoData,
    /// It joins what Prometheus cannot join.
    #[error("Prometheus cannot say this expression: {0}")]
    Expr(&'static str),
}

impl Rule {
    /// The rule as Prometheus would have it.
    ///
    /// # Errors
    /// When it says something for which Prometheus has no words.
    pub fn prometheus(&self) -> Result<PrometheusRule, NotPrometheus> {
        let Condition::Threshold(threshold) = &self.condition else { return Err(NotPrometheus::HostSilent) };
        let Threshold { fire, for_ms, clear, keep_ms, critical } = threshold.as_ref();
        if clear.is_some() {
            return Err(NotPrometheus::Clear);
        }
        if critical.is_some() {
            return Err(NotPrometheus::Levels);
        }
        if self.no_data_policy() != NoDataPolicy::Keep {
            return Err(NotPrometheus::NoData);
        }
        Ok(PrometheusRule {
            expr: expr(fire, false)?.text,
            for_: Duration(*for_ms).to_string(),
            keep_firing_for: Duration(*keep_ms).to_string(),
            severity: self.severity().to_string(),
        })
    }
}

/// A part of an expression, and whether it has a series for each row.
struct Said {
    text: String,
    rows: bool,
}

/// `contrary` says the opposite: a comparison with something missing is neither, here and there.
fn expr(expr: &Expr, contrary: bool) -> Result<Said, NotPrometheus> {
    match (expr, contrary) {
        (Expr::Compare(it), _) => comparison(it, contrary),
        (Expr::Not(inner), _) => self::expr(inner, !contrary),
        (Expr::Absent(_), _) => Err(NotPrometheus::Expr("absent() forgets there whose series is missing")),
        (Expr::And(parts), false) | (Expr::Or(parts), true) => joined(parts, contrary, "and"),
        (Expr::Or(parts), false) | (Expr::And(parts), true) => joined(parts, contrary, "or"),
    }
}

fn joined(parts: &[Expr], contrary: bool, word: &str) -> Result<Said, NotPrometheus> {
    let mut said = parts.iter().map(|part| expr(part, contrary)).collect::<Result<Vec<_>, _>>()?;
    let rows = said.iter().any(|part| part.rows);
    let mixed = rows && said.iter().any(|part| !part.rows);
    if mixed && word == "or" {
        return Err(NotPrometheus::Expr(
            "\"or\" of rows and of the whole host gives alerts of two kinds there",
        ));
    }
    // The left side of "and" gives its labels to the alert.
    said.sort_by_key(|part| !part.rows);
    let link = if mixed { format!(" {word} on (host) ") } else { format!(" {word} ") };
    let texts: Vec<_> = said.into_iter().map(|part| format!("({})", part.text)).collect();
    Ok(Said { text: texts.join(&link), rows })
}

fn comparison(it: &Comparison, contrary: bool) -> Result<Said, NotPrometheus> {
    let cmp = match (it.cmp, contrary) {
        (cmp, false) => cmp,
        (Cmp::Above, true) => Cmp::AtMost,
        (Cmp::AtLeast, true) => Cmp::Below,
        (Cmp::Below, true) => Cmp::AtLeast,
        (Cmp::AtMost, true) => Cmp::Above,
        (Cmp::Equal, true) => Cmp::Unequal,
        (Cmp::Unequal, true) => Cmp::Equal,
    };
    let (left, right) = (operand(&it.left, &it.right)?, operand(&it.right, &it.left)?);
    let constant = it.left.metric().is_none() && it.right.metric().is_none();
    if constant {
        return Err(NotPrometheus::Expr("two plain numbers give no series there"));
    }
    let both = it.left.metric().is_some() && it.right.metric().is_some();
    let matching = match (left.rows, right.rows) {
        (true, false) if both => " on (host) group_left ()",
        (false, true) if both => " on (host) group_right ()",
        _ => "",
    };
    let text = format!("{} {cmp}{matching} {}", left.text, right.text);
    Ok(Said { text, rows: left.rows || right.rows })
}

fn operand(operand: &Operand, other: &Operand) -> Result<Said, NotPrometheus> {
    let text = match operand {
        Operand::Number(number) => number.against(other).to_string(),
        Operand::Metric(metric) => name(metric),
        Operand::Window { fold, metric, window_ms } => {
            format!("{}_over_time({}[{}])", fold.word(), name(metric), Duration(*window_ms))
        }
        Operand::Rate { metric, window_ms: Some(ms) } => format!("rate({}[{}])", name(metric), Duration(*ms)),
        Operand::Rate { window_ms: None, .. } => {
            return Err(NotPrometheus::Expr("a rate needs a window there"));
        }
    };
    let rows = operand.metric().and_then(MetricRef::known).is_some_and(|it| it.section().label().is_some());
    Ok(Said { text, rows })
}

/// `disk.used_pct{mount="/"}` as `watchkeeper_disk_used_pct{mount="/"}`.
fn name(metric: &MetricRef) -> String {
    let renamed = format!("watchkeeper_{}", metric.name.replace('.', "_"));
    MetricRef { name: renamed, labels: metric.labels.clone() }.to_string()
}
