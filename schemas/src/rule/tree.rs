//! The tree of a rule: what its text says, and its JSON form.

use super::Number;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// A rule: when it fires, when it is over, how it is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Rule {
    /// What is watched.
    pub condition: Condition,
    /// How bad it is; none: warning, a silent host: critical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// How long a receiver hears of no new episode at the same level; none: 5 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown_ms: Option<u32>,
    /// How often an open episode is told again; none or 0: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_ms: Option<u32>,
    /// What missing numbers mean; none: keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_data: Option<NoData>,
}

/// What a rule watches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// That a host reports at all.
    HostSilent {
        /// How long it may be silent, in milliseconds; none: the built-in limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_ms: Option<u32>,
    },
    /// The numbers in samples.
    Threshold(Box<Threshold>),
}

/// A condition over numbers, with its hysteresis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// True: something is wrong.
    pub fire: Expr,
    /// For how long it must be true, in milliseconds.
    #[serde(default)]
    pub for_ms: u32,
    /// True: it is over; none: when `fire` is not true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear: Option<Clear>,
    /// For how long it must be over, in milliseconds.
    #[serde(default)]
    pub keep_ms: u32,
    /// When it is critical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub critical: Option<Critical>,
}

/// When an episode is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Clear {
    /// The operand of `fire`, compared with another number.
    Same {
        /// How.
        cmp: Cmp,
        /// With what.
        number: Number,
    },
    /// A condition of its own.
    When(Expr),
}

/// The upper level of a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Critical {
    /// True: it is critical.
    pub when: Expr,
    /// For how long it must be true, in milliseconds.
    #[serde(default)]
    pub for_ms: u32,
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Expr {
    /// One of at least two.
    Or(Vec<Expr>),
    /// All of at least two.
    And(Vec<Expr>),
    /// The contrary.
    Not(Box<Expr>),
    /// Two operands compared.
    Compare(Comparison),
    /// No number of this metric is in the sample.
    Absent(MetricRef),
}

/// Two operands compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The left operand; its value is the value of the alert.
    pub left: Operand,
    /// How they are compared.
    pub cmp: Cmp,
    /// The right operand.
    pub right: Operand,
}

/// How two operands are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the signs speak for themselves")]
pub enum Cmp {
    #[serde(rename = ">")]
    Above,
    #[serde(rename = ">=")]
    AtLeast,
    #[serde(rename = "<")]
    Below,
    #[serde(rename = "<=")]
    AtMost,
    #[serde(rename = "==")]
    Equal,
    #[serde(rename = "!=")]
    Unequal,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operand {
    /// A number.
    Number(Number),
    /// The value in the sample.
    Metric(MetricRef),
    /// All values of the last while made one.
    Window {
        /// How they are made one.
        fold: Fold,
        /// Of which metric.
        metric: MetricRef,
        /// The last while, in milliseconds.
        window_ms: u32,
    },
    /// How fast a counter grows, a second.
    Rate {
        /// Of which metric.
        metric: MetricRef,
        /// Over the last while, in milliseconds; none: the last two samples.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window_ms: Option<u32>,
    },
}

/// How the values of a window are made one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fold {
    /// Their plain mean.
    Avg,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

/// A metric by name, with the labels that are pinned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricRef {
    /// As the catalogue calls it, or `custom.…`.
    pub name: String,
    /// Pinned labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// How bad an episode is.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a look today.
    Warning,
    /// Worth waking somebody.
    Critical,
}

/// What missing numbers mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoData {
    /// What to do.
    pub policy: NoDataPolicy,
    /// After how long, in milliseconds; none: the limit after which numbers are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u32>,
}

/// What to do when numbers are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoDataPolicy {
    /// What is open stays open.
    #[default]
    Keep,
    /// That they are missing is an alert of its own.
    Alert,
    /// What is open is over.
    Resolve,
}

impl Rule {
    /// How bad an episode is that is not at its upper level.
    #[must_use]
    pub fn severity(&self) -> Severity {
        let by_condition = match self.condition {
            Condition::HostSilent { .. } => Severity::Critical,
            Condition::Threshold(_) => Severity::Warning,
        };
        self.severity.unwrap_or(by_condition)
    }

    /// What missing numbers mean.
    #[must_use]
    pub fn no_data_policy(&self) -> NoDataPolicy {
        self.no_data.as_ref().map_or(NoDataPolicy::Keep, |no_data| no_data.policy)
    }

    /// Every metric that it reads, each once, in the order of its text.
    #[must_use]
    pub fn metrics(&self) -> Vec<&MetricRef> {
        let mut found = Vec::new();
        if let Condition::Threshold(threshold) = &self.condition {
            threshold.fire.metrics(&mut found);
            if let Some(Clear::When(clear)) = &threshold.clear {
                clear.metrics(&mut found);
            }
            if let Some(critical) = &threshold.critical {
                critical.when.metrics(&mut found);
            }
        }
        found
    }

    /// Whether both decide alike: expression, `for`, `clear`, `keep`, `no-data` and upper level.
    #[must_use]
    pub fn means_the_same(&self, other: &Self) -> bool {
        self.condition == other.condition && self.no_data == other.no_data
    }
}

impl Expr {
    fn metrics<'a>(&'a self, found: &mut Vec<&'a MetricRef>) {
        let mut add = |metric: &'a MetricRef| {
            if !found.iter().any(|known| known.name == metric.name) {
                found.push(metric);
            }
        };
        match self {
            Self::Or(all) | Self::And(all) => all.iter().for_each(|expr| expr.metrics(found)),
            Self::Not(expr) => expr.metrics(found),
            Self::Compare(it) => [&it.left, &it.right].into_iter().filter_map(|it| it.metric()).for_each(add),
            Self::Absent(metric) => add(metric),
        }
    }
}

impl MetricRef {
    /// Its line in the catalogue; none for a gauge of the host's owner.
    #[must_use]
    pub fn known(&self) -> Option<&'static crate::catalogue::Metric> {
        crate::catalogue::metric(&self.name)
    }
}

impl Operand {
    /// The metric that it reads.
    #[must_use]
    pub fn metric(&self) -> Option<&MetricRef> {
        match self {
            Self::Number(_) => None,
            Self::Metric(metric) | Self::Window { metric, .. } | Self::Rate { metric, .. } => Some(metric),
        }
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Rule {
    /// Only what could have been written as text reads: one check for both forms.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Self::deserialize(deserializer)?;
        let text = written.to_string();
        let read = text
            .parse::<Self>()
            .map_err(|error| serde::de::Error::custom(format_args!("in the rule {text:?}: {error}")))?;
        if read == written {
            Ok(read)
        } else {
            Err(serde::de::Error::custom(format_args!("not the tree of any text; the nearest is {read}")))
        }
    }
}
