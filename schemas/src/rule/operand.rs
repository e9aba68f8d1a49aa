//! Reads operands: metrics with their pins, windows, rates, numbers with units, durations.

use super::nearest::nearest;
use super::number::{DECIMALS_MAX, NUMBER_MAX};
use super::parse::{Parsed, Parser};
use super::word::Kind;
use super::{
    CUSTOM_PREFIX, Fold, MetricRef, Number, Operand, RuleError, UnitWord, WINDOW_MS_MAX, WINDOWS_MAX,
};
use crate::catalogue::{CATALOGUE, Kind as MetricKind};
use crate::ids::is_custom_name;
use crate::quantity::Text;
use std::collections::BTreeMap;

/// Words of the language; no metric and no label is called so.
const RESERVED: [&str; 28] = [
    "host", "silent", "for", "clear", "keep", "critical", "when", "severity", "info", "warning", "cooldown",
    "repeat", "no-data", "alert", "resolve", "after", "or", "and", "not", "absent", "avg", "min", "max",
    "rate", "ms", "s", "m", "h",
];
/// An operand, and where it stands.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) column: usize,
    /// Where the unit behind a number stands, or the number itself.
    pub(super) unit_column: usize,
    pub(super) operand: Operand,
}

impl Parser<'_> {
    pub(super) fn operand(&mut self) -> Parsed<Placed> {
        let word = self.peek();
        self.count(word.column)?;
        if word.kind == Kind::Number {
            let (number, unit_column) = self.number()?;
            return Ok(Placed { column: word.column, unit_column, operand: Operand::Number(number) });
        }
        let fold = match word.text {
            "avg" => Some(Fold::Avg),
            "min" => Some(Fold::Min),
            "max" => Some(Fold::Max),
            _ => None,
        };
        let operand = if let Some(fold) = fold {
            self.next();
            self.require("(")?;
            let (_, metric) = self.metric()?;
            self.require(",")?;
            let window_ms = self.window()?;
            self.require(")")?;
            Operand::Window { fold, metric, window_ms }
        } else if word.text == "rate" {
            self.next();
            self.require("(")?;
            let (column, metric) = self.metric()?;
            let window_ms = if self.take(",") { Some(self.window()?) } else { None };
            self.require(")")?;
            if metric.known().is_none_or(|known| known.kind != MetricKind::Counter) {
                let counters = CATALOGUE.iter().filter(|metric| metric.kind == MetricKind::Counter);
                let counters = counters.map(|metric| metric.name).collect::<Vec<_>>().join(", ");
                return Err(RuleError::new(column, &metric.name, format!("a counter: {counters}")));
            }
            Operand::Rate { metric, window_ms }
        } else {
            Operand::Metric(self.metric()?.1)
        };
        Ok(Placed { column: word.column, unit_column: word.column, operand })
    }

    fn window(&mut self) -> Parsed<u32> {
        let column = self.peek().column;
        self.windows += 1;
        if self.windows > WINDOWS_MAX {
            return Err(RuleError::new(column, "one more window", format!("at most {WINDOWS_MAX} windows")));
        }
        self.duration(1, WINDOW_MS_MAX)
    }

    fn number(&mut self) -> Parsed<(Number, usize)> {
        let word = self.next();
        let decimals = word.text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let value: f64 = word.text.parse().unwrap_or(f64::INFINITY);
        if decimals > DECIMALS_MAX || value.abs() > NUMBER_MAX {
            let expected =
                format!("at most {DECIMALS_MAX} digits behind the point, and no number beyond 2^53");
            return Err(RuleError::new(word.column, word.text, expected));
        }
        let behind = self.peek();
        let unit = if behind.kind == Kind::Name { UnitWord::find(behind.text) } else { None };
        let glued = behind.column == word.column + word.text.len();
        if unit.is_none() && behind.kind == Kind::Name && glued {
            let nearest = nearest(behind.text, UnitWord::words());
            return Err(self.refuse("a unit").nearest(nearest));
        }
        self.at += usize::from(unit.is_some());
        Ok((Number { value, unit }, if unit.is_some() { behind.column } else { word.column }))
    }

    /// Milliseconds from `min` to `max`.
    pub(super) fn duration(&mut self, min: u32, max: u32) -> Parsed<u32> {
        let word = self.peek();
        let expected = "a duration such as 90s, 5m or 1h";
        let whole: Option<u64> = word.text.parse().ok().filter(|_| word.kind == Kind::Number);
        let Some(whole) = whole else { return Err(self.refuse(expected)) };
        self.next();
        let unit = match self.peek().text {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(self.refuse("ms, s, m, h or d")),
        };
        let behind = self.next();
        let ms = whole.checked_mul(unit).and_then(|ms| u32::try_from(ms).ok());
        ms.filter(|ms| (min..=max).contains(ms)).ok_or_else(|| {
            let (least, most) = (super::print::Duration(min), super::print::Duration(max));
            let found = format!("{}{}", word.text, behind.text);
            RuleError::new(word.column, &found, format!("a duration from {least} to {most}"))
        })
    }

    pub(super) fn metric(&mut self) -> Parsed<(usize, MetricRef)> {
        let word = self.peek();
        let custom = word.text.strip_prefix(CUSTOM_PREFIX);
        let is_known = crate::catalogue::metric(word.text).is_some();
        if word.kind != Kind::Name || !(is_known || custom.is_some_and(is_custom_name)) {
            let is_word = word.kind == Kind::Name && !RESERVED.contains(&word.text);
            let expected = match custom {
                Some(_) => "words of a-z, 0-9 and _ joined by dots behind custom.",
                None if is_word => "a metric of the catalogue, or custom.…",
                None => "a metric, a number, avg, min, max, rate, absent or (",
            };
            let known = CATALOGUE.iter().map(|metric| metric.name);
            let nearest = if is_word { nearest(word.text, known) } else { None };
            return Err(self.refuse(expected).nearest(nearest));
        }
        self.next();
        self.metrics += 1;
        let mut metric = MetricRef { name: word.text.to_owned(), labels: BTreeMap::new() };
        if self.take("{") {
            self.pins(&mut metric)?;
        }
        Ok((word.column, metric))
    }

    /// `label="value"` until the closing brace.
    fn pins(&mut self, metric: &mut MetricRef) -> Parsed<()> {
        let known = metric.known().and_then(|known| known.section().label());
        loop {
            let word = self.peek();
            if word.kind != Kind::Name || known != Some(word.text) {
                let expected = match known {
                    Some(label) => format!("the label {label}"),
                    None => format!("no label: {} has none", metric.name),
                };
                return Err(self.refuse(expected).nearest(known.map(str::to_owned)));
            }
            self.next();
            self.require("=")?;
            let quoted = self.peek();
            let value = serde_json::from_str::<String>(quoted.text).ok();
            let value = value.filter(|value| quoted.kind == Kind::String && Text::parse(value).is_some());
            let Some(value) = value else {
                return Err(self.refuse("a quoted text of at most 128 printable bytes"));
            };
            if metric.labels.insert(word.text.to_owned(), value).is_some() {
                return Err(RuleError::new(word.column, word.text, "each label only once"));
            }
            self.next();
            if self.take("}") {
                return Ok(());
            }
            self.require(",")?;
        }
    }
}
