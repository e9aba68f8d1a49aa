//! What a rule that reads may still not say: units, ranges, labels, fire and clear at once.

use super::number::Wire;
use super::operand::Placed;
use super::{Clear, Cmp, Comparison, Expr, Fold, Number, Operand, RuleError, Threshold, UnitWord};
use crate::catalogue::Unit;

impl Cmp {
    /// The comparison of two numbers that are known.
    #[must_use]
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Above => left > right,
            Self::AtLeast => left >= right,
            Self::Below => left < right,
            Self::AtMost => left <= right,
            Self::Equal => left == right,
            Self::Unequal => left != right,
        }
    }
}

impl Operand {
    /// What its numbers count in; none for gauges of the host's owner and for plain numbers.
    #[must_use]
    pub fn unit(&self) -> Option<Unit> {
        let known = self.metric()?.known()?;
        match (self, known.unit) {
            (Self::Rate { .. }, Unit::Bytes) => Some(Unit::BytesPerSecond),
            (Self::Rate { .. }, _) => Some(Unit::PerSecond),
            (_, unit) => Some(unit),
        }
    }

    /// How its numbers travel; none where they are calculated.
    fn wire(&self) -> Option<Wire> {
        match self {
            Self::Metric(metric) | Self::Window { fold: Fold::Min | Fold::Max, metric, .. } => {
                metric.known().map(Wire::of)
            }
            Self::Number(_) | Self::Window { fold: Fold::Avg, .. } | Self::Rate { .. } => None,
        }
    }
}

impl Number {
    /// The number that is compared: in the unit of the other operand, rounded as that one's numbers travel.
    #[must_use]
    pub fn against(self, other: &Operand) -> f64 {
        let value = self.in_unit(other.unit());
        other.wire().map_or(value, |wire| wire.round(value))
    }
}

/// Refuses units that do not meet, numbers that cannot be reached, and equality of what is never quite equal.
pub(super) fn comparison(left: &Placed, cmp: Cmp, right: &Placed, column: usize) -> Result<(), RuleError> {
    match (&left.operand, &right.operand) {
        (Operand::Number(a), Operand::Number(b)) => match (a.unit, b.unit) {
            (Some(a), Some(b)) if !a.meets(b) => Err(RuleError::new(
                right.unit_column,
                b.as_str(),
                format!("a unit that meets {}", a.as_str()),
            )),
            _ => Ok(()),
        },
        (Operand::Number(number), other) => against(left, *number, other),
        (other, Operand::Number(number)) => against(right, *number, other),
        (a, b) => {
            let differ = a.unit().zip(b.unit()).is_some_and(|(a, b)| a != b);
            if differ {
                let unit = |operand: &Operand| operand.unit().map_or("no unit".to_owned(), UnitWord::of);
                let found = format!("{b} in {}", unit(b));
                return Err(RuleError::new(right.column, &found, format!("a number in {}", unit(a))));
            }
            Ok(())
        }
    }?;
    equality(&left.operand, cmp, &right.operand, column)
}

fn against(placed: &Placed, number: Number, other: &Operand) -> Result<(), RuleError> {
    let unit = other.unit();
    if let Some(word) = number.unit
        && unit.and_then(|unit| word.factor(unit)).is_none()
    {
        let expected = unit.map_or("no unit".to_owned(), UnitWord::of);
        return Err(RuleError::new(placed.unit_column, word.as_str(), expected));
    }
    let Some(metric) = other.metric().and_then(super::MetricRef::known) else { return Ok(()) };
    let reachable =
        matches!(other, Operand::Rate { .. }) || (metric.min..=metric.max).contains(&number.in_unit(unit));
    if reachable {
        return Ok(());
    }
    let expected = format!("a number from {} to {}, as {} can be", metric.min, metric.max, metric.name);
    Err(RuleError::new(placed.column, &number.to_string(), expected))
}

fn equality(left: &Operand, cmp: Cmp, right: &Operand, column: usize) -> Result<(), RuleError> {
    let instead = match cmp {
        Cmp::Equal => ">=",
        Cmp::Unequal => "<=",
        Cmp::Above | Cmp::AtLeast | Cmp::Below | Cmp::AtMost => return Ok(()),
    };
    let whole = |operand: &Operand| match operand {
        Operand::Number(_) => true,
        Operand::Metric(_) | Operand::Window { .. } | Operand::Rate { .. } => {
            operand.wire().is_some_and(Wire::is_integer)
        }
    };
    if whole(left) && whole(right) {
        return Ok(());
    }
    let expected = ">= or <=, because == and != are for whole numbers";
    Err(RuleError::new(column, &cmp.to_string(), expected).nearest(Some(instead.to_owned())))
}

/// The operand of a condition that is one comparison with a number.
pub(super) fn compared_with_a_number(fire: &Expr) -> Option<&Operand> {
    let Expr::Compare(Comparison { left, right, .. }) = fire else { return None };
    match (left, right) {
        (Operand::Number(_), Operand::Number(_)) => None,
        (Operand::Number(_), operand) | (operand, Operand::Number(_)) => Some(operand),
        _ => None,
    }
}

/// The short `clear` where it has no meaning, with the long one to write instead.
pub(super) fn long_form(column: usize, fire: &Expr, cmp: Cmp, number: Number) -> RuleError {
    let mut operand = None;
    fire.each_operand(&mut |it| {
        if operand.is_none() && it.metric().is_some() {
            operand = Some(it.to_string());
        }
    });
    let found = format!("{cmp} {number}");
    let expected = "a whole condition, because what fires is not one comparison with a number";
    let long = operand.map(|operand| format!("clear {operand} {cmp} {number}"));
    RuleError::new(column, &found, expected).nearest(long)
}

impl Clear {
    /// The condition in full.
    #[must_use]
    pub fn expr(&self, fire: &Expr) -> Option<Expr> {
        match self {
            Self::When(expr) => Some(expr.clone()),
            Self::Same { cmp, number } => compared_with_a_number(fire).map(|operand| {
                Expr::Compare(Comparison {
                    left: operand.clone(),
                    cmp: *cmp,
                    right: Operand::Number(*number),
                })
            }),
        }
    }
}

/// Refuses fire and clear of one operand that are true of one number.
pub(super) fn not_both(column: usize, fire: &Expr, clear: &Clear) -> Result<(), RuleError> {
    let Some(clear) = clear.expr(fire) else { return Ok(()) };
    let (mut operand, mut one, mut numbers) = (None, true, Vec::new());
    for expr in [fire, &clear] {
        one &= !expr.has_absent();
        expr.each_comparison(&mut |it| match (&it.left, &it.right) {
            (Operand::Number(_), Operand::Number(_)) => {}
            (Operand::Number(number), other) | (other, Operand::Number(number)) => {
                one &= operand.is_none_or(|known| known == other);
                operand = Some(other);
                numbers.push(number.against(other));
            }
            _ => one = false,
        });
    }
    let Some(operand) = operand.filter(|_| one) else { return Ok(()) };
    match candidates(operand, numbers).into_iter().find(|x| fire.holds(*x) && clear.holds(*x)) {
        None => Ok(()),
        Some(x) => {
            let expected = "a condition that is never true together with what fires";
            Err(RuleError::new(column, &format!("both true at {x}"), expected))
        }
    }
}

/// Numbers among which is one of every stretch on which nothing changes.
fn candidates(operand: &Operand, mut numbers: Vec<f64>) -> Vec<f64> {
    numbers.sort_by(f64::total_cmp);
    let step = operand.wire().map(Wire::step);
    let mut found = numbers.clone();
    found.extend(numbers.first().map(|first| first - step.unwrap_or(1.0)));
    found.extend(numbers.last().map(|last| last + step.unwrap_or(1.0)));
    for pair in numbers.windows(2) {
        let between = step.map_or(f64::midpoint(pair[0], pair[1]), |step| pair[0] + step);
        found.extend(Some(between).filter(|x| *x < pair[1] - step.unwrap_or(0.0) / 2.0));
    }
    found.sort_by(f64::total_cmp);
    found
}

impl Expr {
    /// Every comparison, in text order.
    pub fn each_comparison<'a>(&'a self, visit: &mut impl FnMut(&'a Comparison)) {
        match self {
            Self::Or(parts) | Self::And(parts) => parts.iter().for_each(|part| part.each_comparison(visit)),
            Self::Not(inner) => inner.each_comparison(visit),
            Self::Compare(comparison) => visit(comparison),
            Self::Absent(_) => {}
        }
    }

    /// Every operand of every comparison, in text order.
    pub fn each_operand<'a>(&'a self, visit: &mut impl FnMut(&'a Operand)) {
        self.each_comparison(&mut |comparison| {
            visit(&comparison.left);
            visit(&comparison.right);
        });
    }

    /// Whether it asks for something absent.
    #[must_use]
    pub fn has_absent(&self) -> bool {
        match self {
            Self::Or(parts) | Self::And(parts) => parts.iter().any(Self::has_absent),
            Self::Not(inner) => inner.has_absent(),
            Self::Compare(_) => false,
            Self::Absent(_) => true,
        }
    }

    /// Whether it is true where its one operand is `x`.
    fn holds(&self, x: f64) -> bool {
        match self {
            Self::Or(parts) => parts.iter().any(|part| part.holds(x)),
            Self::And(parts) => parts.iter().all(|part| part.holds(x)),
            Self::Not(inner) => !inner.holds(x),
            Self::Absent(_) => false,
            Self::Compare(Comparison { left, cmp, right }) => match (left, right) {
                (Operand::Number(a), Operand::Number(b)) => cmp.holds(a.in_unit(None), b.in_unit(None)),
                (Operand::Number(number), other) => cmp.holds(number.against(other), x),
                (other, Operand::Number(number)) => cmp.holds(x, number.against(other)),
                _ => false,
            },
        }
    }
}

/// How the series of a rule come to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Series {
    /// One, without labels: every metric is a scalar or has all its labels pinned.
    One,
    /// One for each value of a label that a sample holds.
    Each {
        /// The label.
        label: &'static str,
        /// The only value that counts.
        pin: Option<String>,
    },
}

impl Threshold {
    /// Every condition in it, `clear` in full.
    #[must_use]
    pub fn conditions(&self) -> Vec<Expr> {
        let clear = self.clear.as_ref().and_then(|clear| clear.expr(&self.fire));
        let critical = self.critical.as_ref().map(|critical| critical.when.clone());
        [Some(self.fire.clone()), clear, critical].into_iter().flatten().collect()
    }

    /// How its series come to be.
    #[must_use]
    pub fn series(&self) -> Series {
        let mut labels = Labels::default();
        for expr in self.conditions() {
            expr.each_operand(&mut |operand| labels.note(operand));
        }
        labels.series()
    }
}

/// The labels met so far.
#[derive(Debug, Default)]
pub(super) struct Labels {
    label: Option<&'static str>,
    pin: Option<String>,
    any_open: bool,
    any_pinned_apart: bool,
    any_label_apart: bool,
}

impl Labels {
    fn note(&mut self, operand: &Operand) {
        let Some(metric) = operand.metric() else { return };
        let Some(label) = metric.known().and_then(|known| known.section().label()) else { return };
        self.any_label_apart |= self.label.is_some_and(|known| known != label);
        self.label = Some(label);
        match metric.labels.get(label) {
            None => self.any_open = true,
            Some(pin) => {
                self.any_pinned_apart |= self.pin.as_ref().is_some_and(|known| known != pin);
                self.pin = Some(pin.clone());
            }
        }
    }

    /// Refuses the operand with which rows of different kinds would have to be joined.
    pub(super) fn add(&mut self, placed: &Placed) -> Result<(), RuleError> {
        let (label, pin) = (self.label, self.pin.clone());
        self.note(&placed.operand);
        let Some(metric) = placed.operand.metric().filter(|_| self.any_open) else { return Ok(()) };
        if self.any_label_apart {
            let expected = format!("rows told apart by {}, or every label pinned", label.unwrap_or_default());
            return Err(RuleError::new(placed.column, &metric.to_string(), expected));
        }
        if self.any_pinned_apart {
            let expected = format!("the same pin as before, {:?}", pin.unwrap_or_default());
            return Err(RuleError::new(placed.column, &metric.to_string(), expected));
        }
        Ok(())
    }

    fn series(self) -> Series {
        match self.label.filter(|_| self.any_open) {
            Some(label) => Series::Each { label, pin: self.pin },
            None => Series::One,
        }
    }
}
