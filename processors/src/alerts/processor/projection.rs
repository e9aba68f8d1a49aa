//! Every team's machine at one place of the log, and what follows from the next input. Pure.

use super::facts::{self, Known, Placed};
use super::told;
use crate::alerts::machine::{Effect, Input, Key, Kind, Machine, Report};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use watchkeeper_schemas::alerting::AlertFact;
use watchkeeper_schemas::codec;
use watchkeeper_schemas::episode::AlertEvent;
use watchkeeper_schemas::ids::TeamId;
use watchkeeper_schemas::notice::Intent;
use watchkeeper_schemas::quantity::UnixMs;
use watchkeeper_schemas::subjects::{Lane, SampleSubject, TICK};
use watchkeeper_schemas::tick::Tick;

/// The form of snapshots.
const FORM: u8 = 1;

/// Something to be published.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    /// To ALERTS; the number counts those of one input.
    Transition(Box<AlertEvent>),
    /// To NOTICES.
    Intent(Box<Intent>),
}

/// One message of SAMPLES, as far as alerts are concerned.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Read {
    /// Of one team.
    Host(TeamId, Kind),
    /// For every team: everything up to this place in JOURNAL holds.
    Tick(u64),
    /// Of nobody, or unreadable on the back-fill lane.
    Nothing,
}

/// Where the log is read to: what the machines know.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The last input of SAMPLES that is folded in.
    pub(super) sequence: u64,
    /// The last place of JOURNAL that is folded in.
    pub(super) journal: u64,
    teams: BTreeMap<TeamId, Team>,
}

#[derive(Debug, Default)]
struct Team {
    known: Known,
    machine: Machine,
}

/// A snapshot begins with one line of this; the machines follow, one after the other.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    form: u8,
    sequence: u64,
    journal: u64,
    teams: Vec<TeamHead>,
}

#[derive(Debug, Serialize, Deserialize)]
struct TeamHead {
    team: TeamId,
    known: Known,
    machine_bytes: usize,
}

/// What a message of SAMPLES means to alerts. What cannot be read is an input, too: the host lives. It is parked by those
/// who keep views.
pub(super) fn read(subject: &str, payload: &[u8]) -> Read {
    if subject == TICK {
        let tick = serde_json::from_slice::<Tick>(payload);
        // A tick of a later form is still the clock.
        return Read::Tick(tick.map_or(0, |tick| tick.journal_seq));
    }
    let Ok(subject) = subject.parse::<SampleSubject>() else { return Read::Nothing };
    match (codec::decode(&subject, payload), subject.lane) {
        (Ok(sample), lane) => {
            let report = Box::new(Report::of(&sample));
            let kind = if lane == Lane::Live { Kind::Live(report) } else { Kind::Backfill(report) };
            Read::Host(subject.team, kind)
        }
        (Err(_), Lane::Live) => Read::Host(subject.team, Kind::Unreadable(subject.host.to_string())),
        (Err(_), Lane::Backfill) => Read::Nothing,
    }
}

impl State {
    /// The next input, with the facts that a tick speaks for; what is to be published of it, in order. `again` reads a
    /// back-filled sample once more where something was found in it: hardly ever.
    pub(super) fn step(
        &mut self,
        (sequence, time): (u64, UnixMs),
        input: Read,
        again: impl Fn() -> Read,
        facts: &mut VecDeque<Placed>,
    ) -> Vec<Told> {
        self.sequence = sequence;
        let mut told = Vec::new();
        match input {
            Read::Nothing => {}
            Read::Host(team_id, kind) => {
                if let Some(team) = self.teams.get_mut(&team_id) {
                    team.step(&team_id, (sequence, time), kind, again, &mut told);
                }
            }
            Read::Tick(journal) => {
                self.journal = self.journal.max(journal);
                let mut news = self.news(facts);
                for (id, team) in &mut self.teams {
                    let facts = news.remove(id).unwrap_or_default();
                    team.step(id, (sequence, time), Kind::Tick(facts), || Read::Nothing, &mut told);
                }
            }
        }
        told
    }

    /// What decides for a team.
    pub(super) fn machine(&mut self, team: &TeamId) -> Option<&mut Machine> {
        self.teams.get_mut(team).map(|team| &mut team.machine)
    }

    /// The teams that are watched.
    pub(super) fn teams(&self) -> impl Iterator<Item = &TeamId> {
        self.teams.keys()
    }

    /// Inputs before the next one left the log unread: every team is told.
    pub(super) fn lose(&mut self, inputs: u64) {
        self.teams.values_mut().for_each(|team| team.machine.lose(inputs));
    }

    /// The facts up to where JOURNAL holds now, by team.
    fn news(&mut self, facts: &mut VecDeque<Placed>) -> BTreeMap<TeamId, Vec<AlertFact>> {
        let mut news: BTreeMap<TeamId, Vec<AlertFact>> = BTreeMap::new();
        while facts.front().is_some_and(|fact| fact.sequence <= self.journal) {
            let Some(fact) = facts.pop_front() else { break };
            let team = fact.team.clone();
            let known = &mut self.teams.entry(team.clone()).or_default().known;
            news.entry(team).or_default().extend(known.take(fact));
        }
        news
    }

    /// The state as bytes; none where a machine cannot be written.
    pub(super) fn encode(&self) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let (mut teams, mut machines) = (Vec::with_capacity(self.teams.len()), Vec::new());
        for (team, Team { known, machine }) in &self.teams {
            let machine = machine.snapshot()?;
            teams.push(TeamHead { team: team.clone(), known: known.clone(), machine_bytes: machine.len() });
            machines.extend(machine);
        }
        let head = Head { form: FORM, sequence: self.sequence, journal: self.journal, teams };
        let mut bytes = serde_json::to_vec(&head)?;
        bytes.push(b'\n');
        bytes.append(&mut machines);
        Ok(bytes)
    }

    /// The state as it was; none where the bytes are of another form.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let head: Head = serde_json::from_slice(&bytes[..end]).ok()?;
        if head.form != FORM {
            return None;
        }
        let (mut teams, mut rest) = (BTreeMap::new(), &bytes[end + 1..]);
        for TeamHead { team, known, machine_bytes } in head.teams {
            let (machine, behind) = rest.split_at_checked(machine_bytes)?;
            teams.insert(team, Team { known, machine: Machine::restore(machine).ok()? });
            rest = behind;
        }
        Some(Self { sequence: head.sequence, journal: head.journal, teams })
    }
}

impl Team {
    fn step(
        &mut self,
        team: &TeamId,
        (sequence, time): (u64, UnixMs),
        kind: Kind,
        again: impl Fn() -> Read,
        told: &mut Vec<Told>,
    ) {
        let effects = self.machine.step(Input { sequence, time: time.0, kind });
        if effects.is_empty() {
            return;
        }
        let is_retro = |effect: &Effect| matches!(effect, Effect::Transition(it) if it.retro);
        let backfilled = match effects.iter().any(is_retro).then(again) {
            Some(Read::Host(_, Kind::Backfill(report))) => Some(report),
            Some(_) | None => None,
        };
        let machine = &self.machine;
        let input = told::Place { team, sequence, time, machine, backfilled: backfilled.as_deref() };
        for (ordinal, effect) in (0..).zip(effects) {
            let rule = |key: &Key| self.known.rule(&key.rule).cloned();
            let one = match effect {
                Effect::Transition(it) => {
                    let rule = rule(&it.key);
                    input.transition(it, ordinal, rule).map(|it| Told::Transition(Box::new(it)))
                }
                Effect::Notice(it) => {
                    let rule = rule(&it.key);
                    input.intent(it, rule).map(|it| Told::Intent(Box::new(it)))
                }
            };
            told.extend(one);
        }
    }
}

/// Reads an event of JOURNAL.
pub(super) fn fact(sequence: u64, subject: &str, payload: &[u8]) -> Option<Placed> {
    facts::read(sequence, subject, payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchkeeper_schemas::alerting::{Defaults, RuleState, SavedRule, Scope};
    use watchkeeper_schemas::episode::TransitionWord;
    use watchkeeper_schemas::journal::{Enrolment, Fact, Host, JournalEvent, Rule, Team as TeamFact};
    use watchkeeper_schemas::notice::NoticeWord;
    use watchkeeper_schemas::quantity::Pct;
    use watchkeeper_schemas::subjects::{JournalScope, JournalSubject};
    use watchkeeper_schemas::usual_host::usual_host;

    fn team() -> TeamId {
        "default".parse().unwrap()
    }

    fn saved(text: &str) -> Fact {
        let (scope, receivers, state, policy) = (Scope::All, Default::default(), RuleState::Live, Vec::new());
        let rule = SavedRule { text: text.to_owned(), scope, receivers, state, policy };
        Fact::Rule { id: "busy".parse().unwrap(), value: Some(Rule { name: "Busy".to_owned(), rule }) }
    }

    /// JOURNAL with these facts, from 1 on.
    fn journal(facts: impl IntoIterator<Item = Fact>) -> VecDeque<Placed> {
        let events = (1..).zip(facts).filter_map(|(sequence, fact)| {
            let subject = JournalSubject::of(JournalScope::Team(team()), &fact).unwrap().to_string();
            let (author, cause) = ("ann".to_owned(), "made".to_owned());
            let event = JournalEvent { v: 1, author, cause, time: UnixMs(0), fact };
            super::fact(sequence, &subject, &serde_json::to_vec(&event).unwrap())
        });
        events.collect()
    }

    fn known() -> [Fact; 4] {
        let host = Host {
            name: "Web 1".to_owned(),
            tags: Default::default(),
            interval_ms: 5000,
            mounts: Default::default(),
            without: Default::default(),
            paused: false,
            enrolment: Enrolment::Waiting { until: None },
        };
        let defaults = Defaults { receivers: ["ops".to_owned()].into(), policy: Vec::new() };
        [
            Fact::Team { id: team(), value: Some(TeamFact { name: "Default".to_owned() }) },
            Fact::Host { id: "web-1".parse().unwrap(), value: Some(host) },
            Fact::AlertDefaults { id: team(), value: Some(defaults) },
            saved("cpu.usage_pct > 90 for 10s"),
        ]
    }

    /// Ticks each second, a sample each five: half a minute well, a minute busy, a minute well.
    fn log() -> Vec<(u64, UnixMs, String, Vec<u8>)> {
        let mut log = Vec::new();
        for second in 0..150_u64 {
            let time = UnixMs(1_790_000_000_000 + second * 1000);
            let mut add = |subject: String, payload| log.push((log.len() as u64 + 1, time, subject, payload));
            add(TICK.to_owned(), serde_json::to_vec(&Tick::at(second)).unwrap());
            if second % 5 == 0 {
                let mut sample = usual_host("web-1").unwrap();
                (sample.seq, sample.time, sample.interval_ms) = (second / 5 + 1, time, 5000);
                let usage = if (30..90).contains(&second) { 950 } else { 50 };
                sample.cpu.as_mut().unwrap().usage_pct = Pct(usage);
                let mut frame = Vec::new();
                codec::encode(&sample, &mut frame).unwrap();
                add(SampleSubject::live(sample.team, sample.host).to_string(), frame);
            }
        }
        log
    }

    /// What is told of the log, where the state is written and read again before every input for which `cut` says so.
    fn told(mut facts: VecDeque<Placed>, cut: impl Fn(u64) -> bool) -> Vec<Told> {
        let (mut state, mut told) = (State::default(), Vec::new());
        for (sequence, time, subject, payload) in log() {
            if cut(sequence) {
                state = State::decode(&state.encode().unwrap()).unwrap();
            }
            let again = || read(&subject, &payload);
            told.extend(state.step((sequence, time), again(), again, &mut facts));
        }
        told
    }

    fn words(told: &[Told]) -> Vec<String> {
        let word = |told: &Told| match told {
            Told::Transition(it) => format!("{:?} {}", it.transition, it.reason.as_deref().unwrap_or("-")),
            Told::Intent(it) => format!("{:?} to {}", it.notice, it.receiver),
        };
        told.iter().map(word).collect()
    }

    #[test]
    fn what_follows_from_the_log_is_told_with_its_evidence() {
        let told = told(journal(known()), |_| false);
        assert_eq!(words(&told), ["Fired -", "Firing to ops", "Resolved ok", "Resolved to ops"]);
        let (Told::Transition(fired), Told::Intent(intent)) = (&told[0], &told[1]) else { unreachable!() };
        assert_eq!((fired.transition, intent.notice), (TransitionWord::Fired, NoticeWord::Firing));
        assert_eq!(
            (fired.episode_id.clone(), fired.episode.episode),
            (intent.episode_id.clone(), fired.sequence)
        );
        let rule = fired.rule_then.as_ref().unwrap();
        assert_eq!((rule.revision, rule.name.as_str()), (4, "Busy"));
        let evidence = fired.evidence.as_ref().unwrap();
        assert_eq!((evidence.values[0].metric.as_str(), evidence.values[0].value), ("cpu.usage_pct", 95.0));
        assert_eq!(evidence.time.0 - fired.since.0, 10_000);
    }

    #[test]
    fn a_rule_that_is_true_when_it_is_saved_shows_the_sample_of_before() {
        let mut facts: Vec<Fact> = known().into_iter().take(3).collect();
        facts.extend(std::iter::repeat_with(|| known()[0].clone()).take(43));
        // Spoken for by the tick of second 47, between two samples.
        facts.push(saved("cpu.usage_pct > 90"));
        let told = told(journal(facts), |_| false);
        let Told::Transition(fired) = &told[0] else { unreachable!() };
        let evidence = fired.evidence.as_ref().unwrap();
        assert_eq!((evidence.values[0].metric.as_str(), evidence.values[0].value), ("cpu.usage_pct", 95.0));
        assert_eq!((fired.time.0 - evidence.time.0, evidence.time), (2000, fired.samples[0].time));
    }

    #[test]
    fn a_restart_before_any_input_changes_nothing() {
        let whole = told(journal(known()), |_| false);
        assert_eq!(told(journal(known()), |_| true), whole);
        for at in 1..log().len() as u64 {
            if at % 7 == 0 {
                assert_eq!(told(journal(known()), |sequence| sequence == at), whole, "cut before input {at}");
            }
        }
    }

    #[test]
    fn a_fact_enters_where_a_tick_first_speaks_for_it() {
        // The fifth fact is spoken for by the tick of second 5, long before the host is busy.
        let gone = Fact::Rule { id: "busy".parse().unwrap(), value: None };
        assert_eq!(told(journal(known().into_iter().chain([gone.clone()])), |_| false), []);
        // Spoken for amid the episode.
        let filler = std::iter::repeat_with(|| known()[0].clone()).take(45);
        let late = told(journal(known().into_iter().chain(filler).chain([gone])), |_| false);
        assert_eq!(words(&late), ["Fired -", "Firing to ops", "Resolved deleted", "Resolved to ops"]);
    }

    #[test]
    fn with_the_team_goes_all_that_it_watched() {
        let gone = Fact::Team { id: team(), value: None };
        let filler = std::iter::repeat_with(|| known()[0].clone()).take(45);
        let told = told(journal(known().into_iter().chain(filler).chain([gone])), |_| false);
        assert_eq!(words(&told), ["Fired -", "Firing to ops", "Resolved deleted", "Resolved to ops"]);
    }

    #[test]
    fn bytes_of_another_form_are_no_state() {
        for bad in [&b""[..], b"{}\n", b"\n", b"{\"form\":2,\"sequence\":1,\"journal\":1,\"teams\":[]}\n"] {
            assert!(State::decode(bad).is_none(), "{bad:?}");
        }
        let (mut state, mut facts) = (State::default(), journal(known()));
        state.step((1, UnixMs(1)), Read::Tick(9), || Read::Nothing, &mut facts);
        let mut bytes = state.encode().unwrap();
        assert_eq!(State::decode(&bytes).unwrap().teams.len(), 1);
        // A machine as an earlier release wrote it.
        let machine = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        bytes[machine] = b'{';
        assert!(State::decode(&bytes).is_none());
    }
}
