//! Reads the text of a rule: recursive descent, one word ahead, every word looked at once.

use super::check::{self, Labels};
use super::nearest::nearest;
use super::operand::Placed;
use super::word::{Kind, Word, words};
use super::{
    Clear, Cmp, Condition, Critical, DEPTH_MAX, Expr, HOLD_MS_MAX, LONG_MS_MAX, NODES_MAX, NoData,
    NoDataPolicy, Operand, REPEAT_MS_MIN, Rule, RuleError, Severity, Threshold,
};
use std::str::FromStr;

/// What can follow the condition.
const FOLLOWING: [&str; 8] =
    ["for", "clear", "keep", "critical", "severity", "cooldown", "repeat", "no-data"];

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        Parser::new(text)?.rule()
    }
}

pub(super) struct Parser<'a> {
    words: Vec<Word<'a>>,
    pub(super) at: usize,
    nodes: usize,
    pub(super) windows: usize,
    depth: usize,
    pub(super) metrics: usize,
    labels: Labels,
    /// Words looked at: the bound on the work.
    pub(super) looks: usize,
}

pub(super) type Parsed<T> = Result<T, RuleError>;

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Parsed<Self> {
        let words = words(text)?;
        let labels = Labels::default();
        Ok(Self { words, at: 0, nodes: 0, windows: 0, depth: 0, metrics: 0, labels, looks: 0 })
    }

    pub(super) fn peek(&mut self) -> Word<'a> {
        self.looks += 1;
        self.words[self.at.min(self.words.len() - 1)]
    }

    pub(super) fn next(&mut self) -> Word<'a> {
        let word = self.peek();
        self.at += 1;
        word
    }

    /// Takes the word if it is this one.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let word = self.peek();
        let same = word.kind != Kind::String && word.text == text && word.kind != Kind::End;
        self.at += usize::from(same);
        same
    }

    pub(super) fn require(&mut self, text: &str) -> Parsed<()> {
        if self.take(text) { Ok(()) } else { Err(self.refuse(format!("{text:?}"))) }
    }

    pub(super) fn refuse(&mut self, expected: impl Into<String>) -> RuleError {
        let word = self.peek();
        RuleError::new(word.column, word.text, expected)
    }

    pub(super) fn rule(&mut self) -> Parsed<Rule> {
        let is_silence = self.take("host");
        let mut rule = Rule {
            condition: Condition::HostSilent { for_ms: None },
            severity: None,
            cooldown_ms: None,
            repeat_ms: None,
            no_data: None,
        };
        if is_silence {
            self.require("silent")?;
            let for_ms = if self.take("for") { Some(self.duration(0, HOLD_MS_MAX)?) } else { None };
            rule.condition = Condition::HostSilent { for_ms };
            self.following(&mut rule, None)?;
        } else {
            let fire = self.expr()?;
            let mut threshold = Threshold { fire, for_ms: 0, clear: None, keep_ms: 0, critical: None };
            self.following(&mut rule, Some(&mut threshold))?;
            if self.metrics == 0 {
                return Err(RuleError::new(1, self.words[0].text, "at least one metric"));
            }
            rule.condition = Condition::Threshold(Box::new(threshold));
        }
        Ok(rule)
    }

    /// Clauses, then options, each once.
    fn following(&mut self, rule: &mut Rule, mut threshold: Option<&mut Threshold>) -> Parsed<()> {
        let mut seen: Vec<&str> = Vec::new();
        loop {
            let word = self.peek();
            if word.kind == Kind::End {
                return Ok(());
            }
            if seen.contains(&word.text) {
                return Err(self.refuse(format!("{:?} only once", word.text)));
            }
            let is_clause = matches!(word.text, "for" | "clear" | "keep" | "critical");
            let too_late = is_clause && seen.iter().any(|seen| !FOLLOWING[..4].contains(seen));
            if too_late {
                return Err(self.refuse(format!("{:?} before the options", word.text)));
            }
            let known = match threshold.as_deref_mut() {
                Some(threshold) if is_clause => self.clause(threshold)?,
                _ => self.option(rule)?,
            };
            if !known {
                let allowed = if threshold.is_some() { &FOLLOWING[..] } else { &FOLLOWING[4..] };
                let expected = format!("\"and\", \"or\", {} or the end", allowed.join(", "));
                let nearest = nearest(word.text, allowed.iter().copied().chain(["and", "or"]));
                return Err(self.refuse(expected).nearest(nearest));
            }
            seen.push(word.text);
        }
    }

    fn clause(&mut self, threshold: &mut Threshold) -> Parsed<bool> {
        match self.next().text {
            "for" => threshold.for_ms = self.duration(0, HOLD_MS_MAX)?,
            "keep" => threshold.keep_ms = self.duration(0, HOLD_MS_MAX)?,
            "clear" => threshold.clear = Some(self.clear(&threshold.fire)?),
            _ => {
                self.require("when")?;
                let when = self.expr()?;
                let for_ms = if self.take("for") { self.duration(0, HOLD_MS_MAX)? } else { 0 };
                threshold.critical = Some(Critical { when, for_ms });
            }
        }
        Ok(true)
    }

    fn clear(&mut self, fire: &Expr) -> Parsed<Clear> {
        let column = self.peek().column;
        let clear = match self.cmp() {
            None => Clear::When(self.expr()?),
            Some(cmp) => {
                let number = self.operand()?;
                self.count(column)?;
                let Operand::Number(value) = number.operand else {
                    return Err(RuleError::new(number.column, &number.operand.to_string(), "a number"));
                };
                let operand = check::compared_with_a_number(fire);
                let Some(operand) = operand else {
                    return Err(check::long_form(column, fire, cmp, value));
                };
                let left = Placed { column, unit_column: column, operand: operand.clone() };
                check::comparison(&left, cmp, &number, column)?;
                Clear::Same { cmp, number: value }
            }
        };
        check::not_both(column, fire, &clear)?;
        Ok(clear)
    }

    fn option(&mut self, rule: &mut Rule) -> Parsed<bool> {
        match self.peek().text {
            "severity" => {
                self.next();
                let levels = [
                    ("info", Severity::Info),
                    ("warning", Severity::Warning),
                    ("critical", Severity::Critical),
                ];
                rule.severity = Some(self.one_of(&levels)?);
            }
            "cooldown" => {
                self.next();
                rule.cooldown_ms = Some(self.duration(0, HOLD_MS_MAX)?);
            }
            "repeat" => {
                self.next();
                let column = self.peek().column;
                let ms = self.duration(0, LONG_MS_MAX)?;
                if ms > 0 && ms < REPEAT_MS_MIN {
                    return Err(RuleError::new(column, &format!("{ms}ms"), "0s, or at least 1m"));
                }
                rule.repeat_ms = Some(ms);
            }
            "no-data" => {
                self.next();
                let policies = [
                    ("keep", NoDataPolicy::Keep),
                    ("alert", NoDataPolicy::Alert),
                    ("resolve", NoDataPolicy::Resolve),
                ];
                let policy = self.one_of(&policies)?;
                let after_ms = if self.take("after") { Some(self.duration(0, LONG_MS_MAX)?) } else { None };
                rule.no_data = Some(NoData { policy, after_ms });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn one_of<T: Copy>(&mut self, choices: &[(&'static str, T)]) -> Parsed<T> {
        let word = self.peek();
        if let Some((_, choice)) = choices.iter().find(|(text, _)| *text == word.text) {
            self.next();
            return Ok(*choice);
        }
        let names: Vec<_> = choices.iter().map(|(text, _)| *text).collect();
        let nearest = nearest(word.text, names.iter().copied());
        Err(self.refuse(names.join(", ")).nearest(nearest))
    }

    fn expr(&mut self) -> Parsed<Expr> {
        self.joined("or", Expr::Or, |parser| parser.joined("and", Expr::And, Self::negated))
    }

    fn joined(
        &mut self,
        word: &str,
        join: fn(Vec<Expr>) -> Expr,
        part: impl Fn(&mut Self) -> Parsed<Expr>,
    ) -> Parsed<Expr> {
        let first = part(self)?;
        let mut parts = vec![first];
        loop {
            let column = self.peek().column;
            if !self.take(word) {
                break;
            }
            self.count(column)?;
            parts.push(part(self)?);
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0) } else { join(parts) })
    }

    fn negated(&mut self) -> Parsed<Expr> {
        let column = self.peek().column;
        if self.take("not") {
            self.count(column)?;
            return Ok(Expr::Not(Box::new(self.atom()?)));
        }
        self.atom()
    }

    fn atom(&mut self) -> Parsed<Expr> {
        let column = self.peek().column;
        if self.take("(") {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(RuleError::new(
                    column,
                    "(",
                    format!("at most {DEPTH_MAX} parentheses inside one another"),
                ));
            }
            let inner = self.expr()?;
            self.require(")")?;
            self.depth -= 1;
            return Ok(inner);
        }
        self.count(column)?;
        if self.take("absent") {
            self.require("(")?;
            let (_, metric) = self.metric()?;
            self.require(")")?;
            return Ok(Expr::Absent(metric));
        }
        let left = self.operand()?;
        let cmp_column = self.peek().column;
        let Some(cmp) = self.cmp() else { return Err(self.refuse("a comparison: > >= < <= == !=")) };
        let right = self.operand()?;
        check::comparison(&left, cmp, &right, cmp_column)?;
        for placed in [&left, &right] {
            self.labels.add(placed)?;
        }
        Ok(Expr::Compare(super::Comparison { left: left.operand, cmp, right: right.operand }))
    }

    fn cmp(&mut self) -> Option<Cmp> {
        let cmp = match self.peek().text {
            ">" => Cmp::Above,
            ">=" => Cmp::AtLeast,
            "<" => Cmp::Below,
            "<=" => Cmp::AtMost,
            "==" => Cmp::Equal,
            "!=" => Cmp::Unequal,
            _ => return None,
        };
        self.next();
        Some(cmp)
    }

    pub(super) fn count(&mut self, column: usize) -> Parsed<()> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let expected = format!("at most {NODES_MAX} operators, comparisons and operands");
            return Err(RuleError::new(column, "one more", expected));
        }
        Ok(())
    }
}
