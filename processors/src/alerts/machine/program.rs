//! A rule made ready to be asked about many samples: metrics found, numbers in base units, windows numbered.

use super::values::{MetricKey, Values};
use super::window::Spec;
use compact_str::CompactString;
use watchkeeper_schemas::rule::{
    Cmp, Comparison, Condition, Expr, MetricRef, NoData, NoDataPolicy, Operand, Rule, Series,
};

/// A rule, ready.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// What it was made from.
    pub(super) rule: Rule,
    /// What it asks of samples; none: it watches that the host reports.
    pub(super) ask: Option<Ask>,
}

/// What a rule asks of samples.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    /// The whole condition where it is no more than this.
    plain: Option<Plain>,
    fire: Node,
    clear: Option<Node>,
    critical: Option<Node>,
    /// How long it must be true, in milliseconds.
    pub(super) for_ms: u64,
    /// How long it must be over, in milliseconds.
    pub(super) keep_ms: u64,
    /// How long the upper level must be true, in milliseconds.
    pub(super) critical_for_ms: u64,
    /// The windows that it reads.
    pub(super) windows: Vec<Spec>,
    /// Whether it has a series of its own for each row of a sample.
    pub(super) series: Series,
    /// Where the rule is one comparison with a number: how, and with which.
    pub(super) limit: Option<(Cmp, f64)>,
    reads: Vec<Read>,
    has_absent: bool,
}

/// The class of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// It fires.
    High,
    /// Neither fires nor is over.
    Mid,
    /// It is over.
    Low,
    /// Not known.
    Unknown,
}

/// What a sample says to a rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    /// Its class.
    pub(super) class: Class,
    /// Whether the upper level is true.
    pub(super) critical: Option<bool>,
    /// The deciding number, and whether a larger one is worse.
    pub(super) value: Option<(f64, bool)>,
    /// The left side of the deciding comparison, or where none is true of the first one.
    pub(super) seen: Option<f64>,
}

/// A scalar compared with a number: so are most rules.
#[derive(Debug, Clone)]
struct Plain {
    metric: MetricKey,
    cmp: Cmp,
    limit: f64,
}

impl Plain {
    fn of(fire: &Node) -> Option<Self> {
        match fire {
            Node::Compare(
                Term::Metric(Read { metric, row: Row::Fixed(label) }),
                cmp,
                Term::Number(limit),
            ) if label.is_empty() => Some(Self { metric: metric.clone(), cmp: *cmp, limit: *limit }),
            Node::Or(_) | Node::And(_) | Node::Not(_) | Node::Compare(..) | Node::Absent(_) => None,
        }
    }
}

#[derive(Debug, Clone)]
enum Node {
    Or(Box<[Node]>),
    And(Box<[Node]>),
    Not(Box<Node>),
    Compare(Term, Cmp, Term),
    Absent(Read),
}

#[derive(Debug, Clone)]
enum Term {
    Number(f64),
    Metric(Read),
    Window(usize),
}

/// A metric, and in which row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Read {
    metric: MetricKey,
    row: Row,
}

#[derive(Debug, Clone, PartialEq)]
enum Row {
    Fixed(CompactString),
    OfSeries,
    Any,
}

impl Read {
    /// `each`: the rule has a series for each row, and a pin on one metric pins all.
    fn of(metric: &MetricRef, absent: bool, each: bool) -> Self {
        let label = metric.known().and_then(|known| known.section().label());
        let row = match label.map(|label| metric.labels.get(label)) {
            None => Row::Fixed(CompactString::default()),
            Some(Some(_)) if each && !absent => Row::OfSeries,
            Some(Some(pin)) => Row::Fixed(pin.into()),
            Some(None) if absent => Row::Any,
            Some(None) => Row::OfSeries,
        };
        // A checked rule names known metrics only.
        Self {
            metric: MetricKey::find(&metric.name).unwrap_or(MetricKey::Custom(CompactString::default())),
            row,
        }
    }

    /// The number for a series.
    #[must_use]
    pub(super) fn get(&self, values: &Values, label: &str) -> Option<f64> {
        match &self.row {
            Row::Fixed(pin) => values.get(&self.metric, pin),
            Row::OfSeries => values.get(&self.metric, label),
            Row::Any => values.rows(&self.metric).next().map(|(_, number)| number),
        }
    }
}

impl Program {
    /// Makes a rule ready.
    #[must_use]
    pub(super) fn new(rule: Rule) -> Self {
        let ask = match &rule.condition {
            Condition::HostSilent { .. } => None,
            Condition::Threshold(it) => {
                let series = it.series();
                let each = series != Series::One;
                let mut making = Making { windows: Vec::new(), reads: Vec::new(), has_absent: false, each };
                let fire = making.node(&it.fire);
                let limit = match &fire {
                    Node::Compare(Term::Metric(_) | Term::Window(_), cmp, Term::Number(number)) => {
                        Some((*cmp, *number))
                    }
                    Node::Compare(..) | Node::Or(_) | Node::And(_) | Node::Not(_) | Node::Absent(_) => None,
                };
                let clear = it.clear.as_ref().and_then(|clear| clear.expr(&it.fire));
                let clear = clear.map(|clear| making.node(&clear));
                let critical = it.critical.as_ref().map(|critical| making.node(&critical.when));
                let plain = Plain::of(&fire).filter(|_| critical.is_none());
                Some(Ask {
                    plain,
                    fire,
                    clear,
                    critical,
                    for_ms: u64::from(it.for_ms),
                    keep_ms: u64::from(it.keep_ms),
                    critical_for_ms: it.critical.as_ref().map_or(0, |critical| u64::from(critical.for_ms)),
                    windows: making.windows,
                    series,
                    limit,
                    reads: making.reads,
                    has_absent: making.has_absent,
                })
            }
        };
        Self { rule, ask }
    }

    /// What missing numbers mean.
    #[must_use]
    pub(super) fn no_data(&self) -> NoData {
        self.rule.no_data.clone().unwrap_or(NoData { policy: NoDataPolicy::Keep, after_ms: None })
    }
}

struct Making {
    windows: Vec<Spec>,
    reads: Vec<Read>,
    has_absent: bool,
    each: bool,
}

impl Making {
    fn node(&mut self, expr: &Expr) -> Node {
        match expr {
            Expr::Or(parts) => Node::Or(parts.iter().map(|part| self.node(part)).collect()),
            Expr::And(parts) => Node::And(parts.iter().map(|part| self.node(part)).collect()),
            Expr::Not(inner) => Node::Not(Box::new(self.node(inner))),
            Expr::Absent(metric) => {
                self.has_absent = true;
                Node::Absent(Read::of(metric, true, self.each))
            }
            Expr::Compare(Comparison { left, cmp, right }) => {
                Node::Compare(self.term(left, right), *cmp, self.term(right, left))
            }
        }
    }

    fn term(&mut self, operand: &Operand, other: &Operand) -> Term {
        let read = operand.metric().map(|metric| Read::of(metric, false, self.each));
        if let Some(read) = read.clone().filter(|read| !self.reads.contains(read)) {
            self.reads.push(read);
        }
        match (operand, read) {
            (Operand::Number(number), _) => Term::Number(number.against(other)),
            (Operand::Metric(_), Some(read)) => Term::Metric(read),
            (Operand::Window { fold, window_ms, .. }, Some(read)) => {
                self.window(Spec { read, fold: Some(*fold), window_ms: Some(u64::from(*window_ms)) })
            }
            (Operand::Rate { window_ms, .. }, Some(read)) => {
                self.window(Spec { read, fold: None, window_ms: window_ms.map(u64::from) })
            }
            // An operand that is no number reads a metric.
            (_, None) => Term::Number(f64::NAN),
        }
    }

    fn window(&mut self, spec: Spec) -> Term {
        let place = self.windows.iter().position(|known| *known == spec).unwrap_or_else(|| {
            self.windows.push(spec);
            self.windows.len() - 1
        });
        Term::Window(place)
    }
}

/// Left sides that were met.
#[derive(Debug, Default)]
struct Met {
    /// Of the first comparison that is true, and whether a larger number is worse.
    deciding: Option<(f64, bool)>,
    /// Of the first comparison.
    first: Option<f64>,
}

/// What a series is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    /// The numbers of the sample.
    pub(super) values: &'a Values,
    /// The row of the series; empty where there is one series.
    pub(super) label: &'a str,
    /// What each window gives.
    pub(super) windows: &'a [Option<f64>],
}

impl Seen<'_> {
    fn term(&self, term: &Term) -> Option<f64> {
        match term {
            Term::Number(number) => Some(*number),
            Term::Metric(read) => read.get(self.values, self.label),
            Term::Window(place) => self.windows.get(*place).copied().flatten(),
        }
    }

    /// Kleene's logic: nothing is neither true nor false.
    fn truth(&self, node: &Node, met: &mut Met) -> Option<bool> {
        match node {
            Node::Or(parts) => self.join(parts, true, met),
            Node::And(parts) => self.join(parts, false, met),
            Node::Not(inner) => self.truth(inner, met).map(|truth| !truth),
            Node::Absent(read) => Some(read.get(self.values, self.label).is_none()),
            Node::Compare(left, cmp, right) => {
                let (a, b) = (self.term(left)?, self.term(right)?);
                let truth = cmp.holds(a, b);
                met.first.get_or_insert(a);
                if truth && met.deciding.is_none() {
                    met.deciding = Some((a, !matches!(cmp, Cmp::Below | Cmp::AtMost)));
                }
                Some(truth)
            }
        }
    }

    fn join(&self, parts: &[Node], decisive: bool, met: &mut Met) -> Option<bool> {
        let mut joined = Some(!decisive);
        for part in parts {
            match self.truth(part, met) {
                Some(truth) if truth == decisive => joined = Some(decisive),
                None if joined != Some(decisive) => joined = None,
                _ => {}
            }
        }
        joined
    }
}

impl Ask {
    /// What a sample says.
    #[must_use]
    pub(super) fn verdict(&self, seen: &Seen<'_>) -> Verdict {
        let (mut met, mut unused) = (Met::default(), Met::default());
        let class = match seen.truth(&self.fire, &mut met) {
            Some(true) => Class::High,
            None => Class::Unknown,
            Some(false) => match &self.clear {
                None => Class::Low,
                Some(clear) if seen.truth(clear, &mut unused) == Some(true) => Class::Low,
                Some(_) => Class::Mid,
            },
        };
        let critical = self.critical.as_ref().map_or(Some(false), |node| seen.truth(node, &mut unused));
        let value = met.deciding.filter(|_| class == Class::High);
        Verdict { class, critical, value, seen: value.map(|(value, _)| value).or(met.first) }
    }

    /// Whether a sample has any number of a series.
    #[must_use]
    pub(super) fn is_carried(&self, values: &Values, label: &str) -> bool {
        let of_series = |read: &&Read| self.series == Series::One || read.row == Row::OfSeries;
        let by_absent = self.has_absent && self.series == Series::One;
        by_absent || self.reads.iter().filter(of_series).any(|read| read.get(values, label).is_some())
    }

    /// Whether a sample carries the only series, and nothing becomes wrong with it.
    #[must_use]
    pub(super) fn stays_well(&self, values: &Values) -> bool {
        match &self.plain {
            Some(Plain { metric, cmp, limit }) => {
                values.get(metric, "").is_some_and(|number| !cmp.holds(number, *limit))
            }
            None => self.series == Series::One && self.is_carried(values, "") && !self.stirs(values, ""),
        }
    }

    /// Whether something becomes true by a sample, for a series with which nothing is wrong.
    #[must_use]
    pub(super) fn stirs(&self, values: &Values, label: &str) -> bool {
        let seen = Seen { values, label, windows: &[] };
        let holds = |node: &Node| seen.truth(node, &mut Met::default()) == Some(true);
        holds(&self.fire) || self.critical.as_ref().is_some_and(holds)
    }

    /// Whether these are the rows for which a sample has a number, in their order.
    #[must_use]
    pub(super) fn has_labels<'a>(&self, values: &Values, mut known: impl Iterator<Item = &'a str>) -> bool {
        let mut each = self.reads.iter().filter(|read| read.row == Row::OfSeries);
        match (&self.series, each.next(), each.next()) {
            (Series::Each { pin, .. }, Some(read), None) => {
                let labels = values.rows(&read.metric).map(|(label, _)| label);
                labels.filter(|label| pin.as_ref().is_none_or(|pin| pin == label)).eq(known)
            }
            _ => {
                self.labels(values).iter().all(|label| known.next() == Some(label)) && known.next().is_none()
            }
        }
    }

    /// The rows for which a sample has a number of a rule with a series for each.
    #[must_use]
    pub(super) fn labels(&self, values: &Values) -> Vec<CompactString> {
        let Series::Each { pin, .. } = &self.series else { return Vec::new() };
        let mut labels: Vec<CompactString> = Vec::new();
        for read in self.reads.iter().filter(|read| read.row == Row::OfSeries) {
            labels.extend(values.rows(&read.metric).map(|(label, _)| CompactString::from(label)));
        }
        labels.retain(|label| pin.as_ref().is_none_or(|pin| pin == label.as_str()));
        labels.sort_unstable();
        labels.dedup();
        labels
    }

    /// How a series is written: empty for the only one, else `{label="value"}`.
    #[must_use]
    pub(super) fn series_text(&self, label: &str) -> CompactString {
        match &self.series {
            Series::One => CompactString::default(),
            Series::Each { label: name, .. } => {
                compact_str::format_compact!("{{{name}={}}}", serde_json::Value::from(label))
            }
        }
    }
}
