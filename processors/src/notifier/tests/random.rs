//! Random worlds: what must hold whatever happens. `NOTIFIER_CASES` sets the number of worlds.

use super::super::book::Record;
use super::super::pace::Counted;
use super::super::plan::{Said, Says};
use super::world::{Arrived, Scripted, World, team};
use crate::kill_points::KillPoint;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use watchkeeper_schemas::alerting::EpisodeRef;
use watchkeeper_schemas::episode::TransitionWord;
use watchkeeper_schemas::notice::{AnswerWord, Intent, NoticeWord, ResultWord, TestNotice};
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::rule::Severity;

const RECEIVERS: [(&str, &str); 6] = [
    ("chat", "telegram"),
    ("room", "group"),
    ("mail", "email"),
    ("hook", "webhook"),
    ("push", "ntfy"),
    ("night", "telegram"),
];
const HOSTS: usize = 4;
const DAY_MS: u64 = 24 * 3_600_000;

#[derive(Debug, Clone)]
enum Happening {
    Wait(u64),
    Open(usize, u8),
    Worse(usize),
    Remind(usize),
    Escalate(usize, usize),
    Ack(usize),
    Close(usize),
    Test(usize),
    Answers(usize, Vec<u8>),
    CrashAt(u8),
    CrashNow,
    Remove(usize),
    Restore(usize),
    Save,
    Latency(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    let (host, receiver) = (0..HOSTS, 0..RECEIVERS.len());
    prop_oneof![
        6 => (0..40_000_u64).prop_map(Happening::Wait),
        2 => (0..900_000_u64).prop_map(Happening::Wait),
        4 => (host.clone(), 1..64_u8).prop_map(|(host, to)| Happening::Open(host, to)),
        1 => host.clone().prop_map(Happening::Worse),
        2 => host.clone().prop_map(Happening::Remind),
        2 => (host.clone(), receiver.clone()).prop_map(|(host, to)| Happening::Escalate(host, to)),
        1 => host.clone().prop_map(Happening::Ack),
        4 => host.prop_map(Happening::Close),
        2 => receiver.clone().prop_map(Happening::Test),
        4 => (receiver.clone(), prop::collection::vec(0..6_u8, 1..6)).prop_map(|(to, them)| Happening::Answers(to, them)),
        1 => (0..3_u8).prop_map(Happening::CrashAt),
        1 => Just(Happening::CrashNow),
        1 => receiver.clone().prop_map(Happening::Remove),
        2 => receiver.prop_map(Happening::Restore),
        1 => Just(Happening::Save),
        1 => (0..6_000_u64).prop_map(Happening::Latency),
    ]
}

/// What the machine of alerts knows of a host's one alert.
#[derive(Debug, Default)]
struct Alert {
    open: Option<EpisodeRef>,
    critical: bool,
    told: BTreeSet<&'static str>,
    reminders: u32,
}

#[derive(Debug, Default)]
struct Machine {
    alerts: [Alert; HOSTS],
    episodes: u64,
    unknown: usize,
}

impl Machine {
    fn happen(&mut self, world: &mut World, happening: &Happening) {
        match happening {
            Happening::Wait(ms) => world.until(world.now + ms),
            Happening::Test(to) => {
                let (id, receiver) = (format!("t{}", world.log.len()), RECEIVERS[*to].0.parse().unwrap());
                let (by, time) = ("ann".parse().unwrap(), UnixMs(world.now));
                world.publish(Record::Test(TestNotice { v: 1, id, team: team(), receiver, by, time }));
            }
            Happening::Answers(to, words) => {
                self.unknown += words.iter().filter(|word| matches!(word, 1 | 2)).count();
                let answers = world.answers.entry(RECEIVERS[*to].0.to_owned()).or_default();
                answers.extend(words.iter().map(|word| scripted(*word)));
            }
            Happening::CrashAt(point) => {
                let points = [KillPoint::BeforeAttempt, KillPoint::AfterAttempt, KillPoint::AfterAnswer];
                world.crash_at = Some(points[usize::from(*point)]);
            }
            Happening::CrashNow => world.crash(),
            Happening::Remove(to) => world.receiver(RECEIVERS[*to].0, "none"),
            Happening::Restore(to) => world.receiver(RECEIVERS[*to].0, RECEIVERS[*to].1),
            Happening::Save => world.save_floor(),
            Happening::Latency(ms) => world.latency_ms = *ms,
            Happening::Open(host, _)
            | Happening::Worse(host)
            | Happening::Remind(host)
            | Happening::Escalate(host, _)
            | Happening::Ack(host)
            | Happening::Close(host) => self.alert(world, *host, happening),
        }
    }

    fn alert(&mut self, world: &mut World, host: usize, happening: &Happening) {
        let alert = &mut self.alerts[host];
        let level = if alert.critical { Severity::Critical } else { Severity::Warning };
        let Some(open) = alert.open.clone() else {
            if let Happening::Open(_, to) = happening {
                self.episodes += 1;
                let (rule, host, series) = ("r".to_owned(), format!("h{host}"), String::new());
                let open = EpisodeRef { rule, host, series, episode: self.episodes };
                world.transition(&open, TransitionWord::Fired, Severity::Warning, None);
                let named = RECEIVERS.iter().enumerate().filter(|(at, _)| to & (1 << at) != 0);
                let told = named.map(|(_, (name, _))| *name).collect();
                *alert = Alert { told, open: Some(open), ..Alert::default() };
                alert.say(world, NoticeWord::Firing, 1, Severity::Warning);
            }
            return;
        };
        match happening {
            Happening::Worse(_) if !alert.critical => {
                alert.critical = true;
                world.transition(&open, TransitionWord::Level, Severity::Critical, None);
                alert.say(world, NoticeWord::LevelUp, 1, Severity::Critical);
            }
            Happening::Remind(_) => {
                alert.reminders += 1;
                alert.say(world, NoticeWord::Reminder, alert.reminders, level);
            }
            Happening::Escalate(_, to) => {
                let name = RECEIVERS[*to].0;
                if alert.told.insert(name) {
                    world.intent(&open, NoticeWord::Escalated, 2, name, level);
                }
            }
            Happening::Ack(_) => world.transition(&open, TransitionWord::Acked, level, Some("ann")),
            Happening::Close(_) => {
                world.transition(&open, TransitionWord::Resolved, level, None);
                alert.say(world, NoticeWord::Resolved, 1, level);
                *alert = Alert::default();
            }
            Happening::Worse(_)
            | Happening::Open(..)
            | Happening::Wait(_)
            | Happening::Test(_)
            | Happening::Answers(..)
            | Happening::CrashAt(_)
            | Happening::CrashNow
            | Happening::Remove(_)
            | Happening::Restore(_)
            | Happening::Save
            | Happening::Latency(_) => {}
        }
    }
}

impl Alert {
    fn say(&self, world: &mut World, notice: NoticeWord, n: u32, level: Severity) {
        let Some(open) = &self.open else { return };
        self.told.iter().for_each(|receiver| world.intent(open, notice, n, receiver, level));
    }
}

fn scripted(word: u8) -> Scripted {
    let (answer, arrives, retry_after_ms) = match word {
        0 => (AnswerWord::NotNow, false, None),
        1 => (AnswerWord::Unknown, true, None),
        2 => (AnswerWord::Unknown, false, None),
        3 => (AnswerWord::Refused, false, None),
        4 => (AnswerWord::NotNow, false, Some(30_000)),
        _ => (AnswerWord::Delivered, true, None),
    };
    Scripted { answer, detail: format!("said {word}"), retry_after_ms, arrives }
}

fn cases() -> u32 {
    std::env::var("NOTIFIER_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(500)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn what_must_hold_holds(happenings in prop::collection::vec(happening(), 1..60)) {
        let (mut world, mut machine) = (World::new(), Machine::default());
        RECEIVERS.iter().for_each(|(name, word)| world.receiver(name, word));
        for happening in &happenings {
            machine.happen(&mut world, happening);
        }
        world.answers.clear();
        world.crash_at = None;
        let end = world.now + DAY_MS + 3_600_000;
        world.until(end);
        everything_ends_once(&world);
        repeats_are_few_and_marked(&world, machine.unknown);
        the_order_is_kept(&world);
        limits_are_kept(&world.arrived);
        nobody_is_woken_late(&world);
    }
}

/// Nothing is lost; what counts as told did arrive. That nothing ends twice is the world's own law.
fn everything_ends_once(world: &World) {
    let results = world.results();
    for intent in world.intents() {
        let result = results.get(intent.id.as_str()).unwrap_or_else(|| panic!("no result: {intent:?}"));
        let lead = match result.outcome {
            ResultWord::Delivered => &result.id,
            ResultWord::Merged => result.into.as_ref().unwrap(),
            ResultWord::Superseded | ResultWord::Failed => continue,
        };
        let told = |it: &&Arrived| it.dispatch.lead == *lead && it.dispatch.members.contains(&intent.id);
        assert!(world.arrived.iter().any(|it| told(&it)), "never arrived: {result:?}");
        assert_eq!(results[lead.as_str()].outcome, ResultWord::Delivered, "{result:?}");
    }
}

fn repeats_are_few_and_marked(world: &World, unknown: usize) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for arrived in &world.arrived {
        let is_repeat = arrived.dispatch.members.iter().any(|id| seen.contains_key(id.as_str()));
        assert!(!is_repeat || arrived.dispatch.possible_repeat, "a repeat without a mark: {arrived:?}");
        for id in &arrived.dispatch.members {
            let times = seen.entry(id).or_default();
            *times += 1;
            assert!(*times <= 1 + world.crashes + unknown, "{times} times: {id}");
        }
        if let Says::Test(_) = arrived.dispatch.says {
            assert!(!is_repeat, "a test came twice");
        }
    }
    if world.crashes + unknown == 0 {
        assert!(world.arrived.iter().all(|it| !it.dispatch.possible_repeat), "marked for nothing");
    }
}

fn lines(arrived: &Arrived) -> &[Said] {
    match &arrived.dispatch.says {
        Says::Episodes(said) => said,
        Says::Test(_) => &[],
    }
}

/// FIRING before RESOLVED, nothing after it, and no RESOLVED to who cannot have heard that it began.
fn the_order_is_kept(world: &World) {
    let intents: BTreeMap<&str, &Intent> = world.intents().map(|it| (it.id.as_str(), it)).collect();
    let begins = |id: &String, said: &Said, to: &str| {
        intents.get(id.as_str()).is_some_and(|it| {
            // Whoever heard that it became worse heard that it began.
            it.notice != NoticeWord::Resolved && it.episode == said.newest.episode && it.receiver == to
        })
    };
    let mut over = BTreeSet::new();
    for arrived in &world.arrived {
        let to = arrived.to.receiver.as_str();
        for said in lines(arrived) {
            let key = (to, said.newest.episode_id.clone());
            if said.notice != NoticeWord::Resolved {
                assert!(!over.contains(&key), "told after it was over: {said:?}");
                continue;
            }
            over.insert(key);
            let before = world.attempts().filter(|(time, it)| time.0 <= arrived.time && it.receiver == to);
            let mut began = before.filter(|(_, it)| {
                let answer = world.answer(it).map(|answer| answer.answer);
                let refused = matches!(answer, Some(AnswerWord::NotNow | AnswerWord::Refused));
                !refused && it.members.iter().any(|id| begins(id, said, to))
            });
            assert!(began.next().is_some(), "RESOLVED of what never began: {said:?}");
        }
    }
}

fn limits_are_kept(arrived: &[Arrived]) {
    let mut calls: BTreeMap<(Counted, usize, u64), Vec<u64>> = BTreeMap::new();
    for it in arrived {
        for limit in &it.limits {
            for rate in limit.rates {
                let key = (limit.counted.clone(), rate.calls, rate.within_ms - 50);
                calls.entry(key).or_default().push(it.time);
            }
        }
    }
    for ((counted, most, within_ms), times) in calls {
        for window in times.windows(most + 1) {
            let took = window[most] - window[0];
            assert!(took >= within_ms, "{} calls within {took} ms: {counted:?}", most + 1);
        }
    }
}

/// What is over and told late makes no sound, and nothing else is silent.
fn nobody_is_woken_late(world: &World) {
    for arrived in &world.arrived {
        for said in lines(arrived) {
            let is_late = said.newest.time.0 + 300_000 <= arrived.time;
            if said.is_over {
                assert_eq!(arrived.dispatch.silent, is_late, "{arrived:?}");
            }
            assert!(!arrived.dispatch.silent || is_late, "{arrived:?}");
        }
    }
}
