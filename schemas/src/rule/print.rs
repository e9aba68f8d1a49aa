//! The canonical text of a tree.

use super::{
    Clear, Cmp, Comparison, Condition, Expr, Fold, MetricRef, NoDataPolicy, Operand, Rule, Severity,
};
use std::fmt::{self, Display, Formatter};

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.condition {
            Condition::HostSilent { for_ms } => {
                f.write_str("host silent")?;
                option(f, "for", *for_ms)?;
            }
            Condition::Threshold(threshold) => {
                write!(f, "{}", threshold.fire)?;
                option(f, "for", Some(threshold.for_ms).filter(|ms| *ms > 0))?;
                match &threshold.clear {
                    Some(Clear::Same { cmp, number }) => write!(f, " clear {cmp} {number}")?,
                    Some(Clear::When(expr)) => write!(f, " clear {expr}")?,
                    None => {}
                }
                option(f, "keep", Some(threshold.keep_ms).filter(|ms| *ms > 0))?;
                if let Some(critical) = &threshold.critical {
                    write!(f, " critical when {}", critical.when)?;
                    option(f, "for", Some(critical.for_ms).filter(|ms| *ms > 0))?;
                }
            }
        }
        if let Some(severity) = self.severity {
            write!(f, " severity {severity}")?;
        }
        option(f, "cooldown", self.cooldown_ms)?;
        option(f, "repeat", self.repeat_ms)?;
        if let Some(no_data) = &self.no_data {
            write!(f, " no-data {}", no_data.policy)?;
            option(f, "after", no_data.after_ms)?;
        }
        Ok(())
    }
}

fn option(f: &mut Formatter<'_>, word: &str, ms: Option<u32>) -> fmt::Result {
    ms.map_or(Ok(()), |ms| write!(f, " {word} {}", Duration(ms)))
}

/// A duration in milliseconds, printed in the largest unit that holds it whole.
pub(super) struct Duration(pub(super) u32);

impl Display for Duration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
        let whole = units.into_iter().find(|(_, ms)| self.0 > 0 && self.0.is_multiple_of(*ms));
        match whole {
            Some((unit, ms)) => write!(f, "{}{unit}", self.0 / ms),
            None if self.0 == 0 => f.write_str("0s"),
            None => write!(f, "{}ms", self.0),
        }
    }
}

/// How tightly an expression holds together; looser ones stand in parentheses inside tighter ones.
fn tightness(expr: &Expr) -> u8 {
    match expr {
        Expr::Or(_) => 0,
        Expr::And(_) => 1,
        Expr::Not(_) => 2,
        Expr::Compare(_) | Expr::Absent(_) => 3,
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Or(parts) => joined(f, parts, " or ", 1),
            Self::And(parts) => joined(f, parts, " and ", 2),
            Self::Not(inner) => {
                f.write_str("not ")?;
                nested(f, inner, 3)
            }
            Self::Compare(comparison) => comparison.fmt(f),
            Self::Absent(metric) => write!(f, "absent({metric})"),
        }
    }
}

fn joined(f: &mut Formatter<'_>, parts: &[Expr], word: &str, at_least: u8) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { word })?;
        nested(f, part, at_least)?;
    }
    Ok(())
}

fn nested(f: &mut Formatter<'_>, expr: &Expr, at_least: u8) -> fmt::Result {
    if tightness(expr) < at_least { write!(f, "({expr})") } else { expr.fmt(f) }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.left, self.cmp, self.right)
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Metric(metric) => metric.fmt(f),
            Self::Window { fold, metric, window_ms } => {
                write!(f, "{}({metric}, {})", fold.word(), Duration(*window_ms))
            }
            Self::Rate { metric, window_ms: Some(ms) } => write!(f, "rate({metric}, {})", Duration(*ms)),
            Self::Rate { metric, window_ms: None } => write!(f, "rate({metric})"),
        }
    }
}

impl Display for MetricRef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (index, (label, value)) in self.labels.iter().enumerate() {
            let quoted = serde_json::Value::from(value.as_str());
            write!(f, "{}{label}={quoted}", if index == 0 { "{" } else { "," })?;
        }
        f.write_str(if self.labels.is_empty() { "" } else { "}" })
    }
}

impl Fold {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
        }
    }
}

impl Display for Cmp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Equal => "==",
            Self::Unequal => "!=",
        })
    }
}

impl Display for Severity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

impl Display for NoDataPolicy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "keep",
            Self::Alert => "alert",
            Self::Resolve => "resolve",
        })
    }
}
