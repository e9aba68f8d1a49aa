//! The language: what reads, what is refused and where, and that both forms are one tree.

use super::parse::Parser;
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Texts beside the canonical ones.
const CANONICAL: &[(&str, &str)] = &[
    (
        "cpu.usage_pct > 90 for 2m clear < 80 keep 1m severity critical",
        "cpu.usage_pct > 90 for 2m clear < 80 keep 1m severity critical",
    ),
    (
        "disk.used_pct{mount=\"/\"} > 90 and disk.free_bytes<10GiB",
        "disk.used_pct{mount=\"/\"} > 90 and disk.free_bytes < 10GiB",
    ),
    (
        "avg(cpu.usage_pct, 300s) > 80 critical when avg(cpu.usage_pct,5m) > 95 for 60000ms",
        "avg(cpu.usage_pct, 5m) > 80 critical when avg(cpu.usage_pct, 5m) > 95 for 1m",
    ),
    ("host silent for 1m", "host silent for 1m"),
    ("host silent severity warning cooldown 0s", "host silent severity warning cooldown 0s"),
    ("load.avg_1 > 4 keep 90s for 0s", "load.avg_1 > 4 keep 90s"),
    (
        "not(absent(temp.celsius)and swap.used_pct>=50 %)or (memory.used_pct>-0)",
        "not (absent(temp.celsius) and swap.used_pct >= 50%) or memory.used_pct > 0",
    ),
    ("rate(net.rx_errors) > 1 or rate(net.rx_errors, 1h) > 2", "column 48"),
    ("custom.queue.depth != custom.limit", "column 20"),
    (
        "swap.total_bytes == 0 no-data alert after 2m repeat 1h",
        "swap.total_bytes == 0 repeat 1h no-data alert after 2m",
    ),
    ("cpu.usage_pct > 90 for 10s critical when cpu.usage_pct > 95 for 20s for 30s", "column 69"),
];

#[test]
fn a_text_has_one_canonical_form() {
    for (text, expected) in CANONICAL {
        match text.parse::<Rule>() {
            Ok(rule) => assert_eq!(rule.to_string(), *expected, "{text}"),
            Err(error) => assert!(error.to_string().starts_with(expected), "{text}: {error}"),
        }
    }
}

/// Text, column, a part of the message.
const REFUSED: &[(&str, usize, &str)] = &[
    ("", 1, "found the end"),
    ("cpu.usag_pct > 90", 1, "did you mean cpu.usage_pct?"),
    ("CPU.usage_pct > 90", 1, "did you mean cpu.usage_pct?"),
    ("cpu.usage_pct >", 16, "found the end"),
    ("cpu.usage_pct 90", 15, "a comparison"),
    ("cpu.usage_pct = 90", 15, "a comparison"),
    ("cpu.usage_pct > 90 fro 2m", 20, "did you mean for?"),
    ("cpu.usage_pct > 90 for 2", 25, "ms, s, m, h or d"),
    ("cpu.usage_pct > 90 for 25h", 24, "from 0s to 1d"),
    ("cpu.usage_pct > 90 for 1.5m", 24, "a duration"),
    ("cpu.usage_pct > 90 repeat 30s", 27, "at least 1m"),
    ("cpu.usage_pct > 90 for 1m for 2m", 27, "only once"),
    ("cpu.usage_pct > 90 severity info for 1m", 34, "before the options"),
    ("cpu.usage_pct > 90 severity bad", 29, "info, warning, critical"),
    ("cpu.usage_pct > 90GiB", 19, "no unit or %"),
    ("cpu.usage_pct > 90Gib", 19, "did you mean GiB?"),
    ("cpu.usage_pct > 900", 17, "from 0 to 100"),
    ("cpu.usage_pct == 90", 15, "did you mean >=?"),
    ("avg(memory.used_bytes, 5m) != 3", 28, "did you mean <=?"),
    ("cpu.usage_pct > load.avg_1", 17, "a number in"),
    ("cpu.usage_pct > 90 clear < 95", 26, "both true at 90.1"),
    ("cpu.usage_pct > 90 clear cpu.usage_pct != 3", 40, "whole numbers"),
    ("processes.total > 3 clear processes.total < 5 or processes.total > 10", 27, "both true at 4"),
    ("cpu.usage_pct > 90 or load.avg_1 > 3 clear < 5", 44, "did you mean clear cpu.usage_pct < 5?"),
    ("disk.used_pct{mont=\"/\"} > 9", 15, "did you mean mount?"),
    ("cpu.usage_pct{core=\"1\"} > 9", 15, "has none"),
    ("disk.used_pct{mount=\"/} > 9", 21, "closing quote"),
    ("disk.used_pct{mount=\"\\x\"} > 9", 21, "a quoted text"),
    ("disk.used_pct > 9 and net.rx_drops > 1", 23, "told apart by mount"),
    (
        "disk.used_pct{mount=\"/\"} > 9 and disk.free_bytes{mount=\"/a\"} > 1 and disk.used_pct > 1",
        70,
        "same pin",
    ),
    ("rate(cpu.usage_pct, 5m) > 1", 6, "a counter"),
    ("avg(cpu.usage_pct, 16m) > 1", 20, "from 1ms to 15m"),
    ("avg(cpu.usage_pct) > 1", 18, "\",\""),
    ("1 > 2", 1, "at least one metric"),
    ("host silent clear < 3", 13, "severity"),
    ("host silent and cpu.usage_pct > 1", 13, "severity"),
    ("custom.Queue > 1", 1, "a-z"),
    ("cpu.usage_pct > 1.", 17, "behind the point"),
    ("cpu.usage_pct > 1.1234567", 17, "6 digits"),
    ("cpu.usage_pct > 90 ; x", 20, "a word of the language"),
    ("µµ.usage > 1", 1, "a metric"),
];

#[test]
fn a_mistake_is_shown_where_it_stands() {
    for (text, column, part) in REFUSED {
        let error = text.parse::<Rule>().expect_err(text);
        assert_eq!(error.column, *column, "{text}: {error}");
        assert!(error.to_string().contains(part), "{text}: {error} lacks {part:?}");
    }
}

#[test]
fn limits_hold() {
    let many = |n: usize| vec!["cpu.usage_pct > 1"; n].join(" or ");
    assert!(many(16).parse::<Rule>().is_ok(), "63 nodes");
    assert!(many(17).parse::<Rule>().unwrap_err().to_string().contains("at most 64"));
    let windows = |n: usize| vec!["avg(cpu.usage_pct, 5m) > 1"; n].join(" or ");
    assert!(windows(4).parse::<Rule>().is_ok());
    assert!(windows(5).parse::<Rule>().unwrap_err().to_string().contains("at most 4 windows"));
    let deep = |n: usize| format!("{}cpu.usage_pct > 1{}", "(".repeat(n), ")".repeat(n));
    assert!(deep(32).parse::<Rule>().is_ok());
    assert!(deep(33).parse::<Rule>().is_err());
    let long = format!("cpu.usage_pct > 1{}", " ".repeat(1024));
    assert!(long.parse::<Rule>().unwrap_err().to_string().contains("1024 bytes"));
    assert!("x".repeat(10 << 20).parse::<Rule>().is_err());
}

#[test]
fn a_tree_that_no_text_has_does_not_read() {
    let rule: Rule = "cpu.usage_pct > 1 or load.avg_1 > 1".parse().unwrap();
    let json = serde_json::to_string(&rule).unwrap();
    assert_eq!(serde_json::from_str::<Rule>(&json).unwrap(), rule);
    for (from, to) in [("usage_pct", "usag_pct"), ("\"value\":1.0", "\"value\":1e300"), ("load.avg_1", "x y")]
    {
        assert!(serde_json::from_str::<Rule>(&json.replace(from, to)).is_err(), "{to}");
    }
    let one_part = r#"{"condition":{"threshold":{"fire":{"or":[{"compare":{"left":{"metric":{"name":"load.avg_1"}},"cmp":">","right":{"number":{"value":1}}}}]}}}}"#;
    assert!(serde_json::from_str::<Rule>(one_part).unwrap_err().to_string().contains("not the tree"));
}

#[test]
fn series_follow_from_labels() {
    let series = |text: &str| match text.parse::<Rule>().unwrap().condition {
        Condition::Threshold(threshold) => threshold.series(),
        Condition::HostSilent { .. } => Series::One,
    };
    assert_eq!(series("cpu.usage_pct > 1"), Series::One);
    assert_eq!(
        series("disk.used_pct{mount=\"/\"} > 1 and net.rx_drops{interface=\"eth0\"} > 1"),
        Series::One
    );
    assert_eq!(series("disk.used_pct > 1 and cpu.usage_pct > 1"), Series::Each { label: "mount", pin: None });
    let pinned = Series::Each { label: "mount", pin: Some("/".to_owned()) };
    assert_eq!(series("disk.used_pct{mount=\"/\"} > 1 and disk.free_bytes < 1"), pinned);
    assert_eq!(series("absent(disk.used_pct) or cpu.usage_pct > 1"), Series::One);
}

#[test]
fn prometheus_gets_what_it_can_say() {
    let said = |text: &str| match text.parse::<Rule>().unwrap().prometheus() {
        Ok(rule) => format!("{} for {} keep {}", rule.expr, rule.for_, rule.keep_firing_for),
        Err(error) => error.to_string(),
    };
    for (text, expected) in [
        ("cpu.usage_pct > 90 for 2m keep 1m", "watchkeeper_cpu_usage_pct > 90 for 2m keep 1m"),
        (
            "cpu.usage_pct > 90 and disk.free_bytes < 1KiB",
            "(watchkeeper_disk_free_bytes < 1024) and on (host) (watchkeeper_cpu_usage_pct > 90) for 0s keep 0s",
        ),
        (
            "not (avg(load.avg_1, 5m) > 1 or load.avg_5 < 2)",
            "(avg_over_time(watchkeeper_load_avg_1[5m]) <= 1) and (watchkeeper_load_avg_5 >= 2) for 0s keep 0s",
        ),
        ("cpu.usage_pct > 90 clear < 80", "Prometheus cannot say \"clear\""),
        ("host silent", "Prometheus cannot say \"host silent\""),
        ("rate(net.rx_errors) > 1", "a rate needs a window there"),
    ] {
        assert!(said(text).contains(expected), "{text}: {}", said(text));
    }
}

fn duration() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0),
        1..1000_u32,
        (1..1000_u32).prop_map(|s| s * 1000),
        (1..1440_u32).prop_map(|m| m * 60_000)
    ]
}

fn number(max: f64) -> impl Strategy<Value = Operand> {
    (0..=1_000_000_u32).prop_map(move |part| {
        let value = (f64::from(part) / 1e6 * max * 1e3).round() / 1e3;
        Operand::Number(Number { value, unit: None })
    })
}

fn metric(name: &'static str, label: Option<&'static str>) -> impl Strategy<Value = MetricRef> {
    let pins = if label.is_some() { 0..3_u8 } else { 0..1_u8 };
    pins.prop_map(move |pin| {
        let value = if pin == 1 { "/" } else { "/srv/\"blå\" \\x" };
        let labels = label.filter(|_| pin == 1).map(|label| (label.to_owned(), value.to_owned()));
        MetricRef { name: name.to_owned(), labels: labels.into_iter().collect::<BTreeMap<_, _>>() }
    })
}

fn comparison() -> impl Strategy<Value = Expr> {
    let operand = prop_oneof![
        metric("cpu.usage_pct", None).prop_map(Operand::Metric),
        metric("disk.used_pct", Some("mount")).prop_map(Operand::Metric),
        metric("memory.used_pct", None).prop_map(Operand::Metric),
    ];
    let cmp = prop_oneof![Just(Cmp::Above), Just(Cmp::AtLeast), Just(Cmp::Below), Just(Cmp::AtMost)];
    (operand, cmp, number(100.0), any::<bool>()).prop_map(|(metric, cmp, number, turned)| {
        let (left, right) = if turned { (number, metric) } else { (metric, number) };
        Expr::Compare(Comparison { left, cmp, right })
    })
}

fn expression() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        4 => comparison(),
        1 => metric("temp.celsius", Some("sensor")).prop_map(Expr::Absent),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::Or),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
            inner.prop_map(|inner| Expr::Not(Box::new(inner))),
        ]
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let severity = prop_oneof![Just(Severity::Info), Just(Severity::Warning), Just(Severity::Critical)];
    let policy =
        prop_oneof![Just(NoDataPolicy::Keep), Just(NoDataPolicy::Alert), Just(NoDataPolicy::Resolve)];
    let no_data =
        (policy, prop::option::of(duration())).prop_map(|(policy, after_ms)| NoData { policy, after_ms });
    let critical = (expression(), duration()).prop_map(|(when, for_ms)| Critical { when, for_ms });
    let threshold = (expression(), duration(), duration(), prop::option::of(critical)).prop_map(
        |(fire, for_ms, keep_ms, critical)| Threshold { fire, for_ms, clear: None, keep_ms, critical },
    );
    let condition = prop_oneof![
        9 => threshold.prop_map(|it| Condition::Threshold(Box::new(it))),
        1 => prop::option::of(duration()).prop_map(|for_ms| Condition::HostSilent { for_ms }),
    ];
    let options = (prop::option::of(severity), prop::option::of(duration()), prop::option::of(no_data));
    (condition, options).prop_map(|(condition, (severity, cooldown_ms, no_data))| Rule {
        condition,
        severity,
        cooldown_ms,
        repeat_ms: cooldown_ms.filter(|ms| *ms == 0 || *ms >= REPEAT_MS_MIN),
        no_data,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn text_tree_and_json_are_one(rule in rule()) {
        let text = rule.to_string();
        match text.parse::<Rule>() {
            Ok(read) => {
                prop_assert_eq!(&read, &rule, "{}", text);
                prop_assert_eq!(read.to_string(), text);
                let json = serde_json::to_string(&rule).unwrap();
                prop_assert_eq!(serde_json::from_str::<Rule>(&json).unwrap(), rule);
            }
            Err(error) => prop_assert!(
                error.expected.contains("at most") || error.expected.contains("same pin") || error.expected.contains("at least one"),
                "{}: {}", text, error
            ),
        }
    }

    #[test]
    fn no_text_is_too_much(words in prop::collection::vec(prop_oneof![
        prop::sample::select(vec![
            "cpu.usage_pct", "disk.used_pct", "{mount=\"/\"}", "and", "or", "not", "(", ")", ">", "<=", "==", "90", "-1.5",
            "for", "2m", "clear", "keep", "critical", "when", "avg(", "rate(", ",", "host", "silent", "no-data", "alert",
            "after", "GiB", "%", "absent", "\"", "\\", "°", "\u{0}", "custom.x", "severity", "info", "repeat", "1h",
        ]).prop_map(str::to_owned),
        any::<String>(),
    ], 0..100), joint in prop::sample::select(vec!["", " "])) {
        let text = words.join(joint);
        if let Ok(mut parser) = Parser::new(&text) {
            let read = parser.rule();
            prop_assert!(parser.looks <= 32 + 16 * text.len(), "{} looks for {} bytes", parser.looks, text.len());
            if let Ok(rule) = read {
                prop_assert_eq!(rule.to_string().parse::<Rule>().unwrap(), rule);
            }
        }
    }
}
