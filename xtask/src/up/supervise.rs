//! Programs that die under `up` are reported and started again, but not for ever.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::console;
use crate::process::log_tail;
use crate::stack::{Death, Program, Stack};

/// So many deaths of one program within `DEATHS_WINDOW` end the system.
const DEATHS_MAX: usize = 5;
const DEATHS_WINDOW: Duration = Duration::from_secs(60);
/// Pause before the first new start; each further death within the window doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Exit code of an agent whose host was deleted or enrolled elsewhere: it is not to come back.
const AGENT_CUT_OFF: i32 = 4;

/// What is known about deaths, and who is to be started again when.
#[derive(Debug, Default)]
pub(super) struct Supervisor {
    history: BTreeMap<Program, DeathHistory>,
    due: BTreeMap<Program, Instant>,
}

impl Supervisor {
    /// Notices deaths and starts what is due; true if a program has a new pid.
    pub(super) fn look(&mut self, stack: &mut Stack) -> Result<bool> {
        for death in stack.deaths()? {
            self.report(death, stack)?;
        }
        let now = Instant::now();
        let due: Vec<Program> =
            self.due.iter().filter(|(_, at)| **at <= now).map(|(program, _)| *program).collect();
        for program in &due {
            self.due.remove(program);
            // Not waited for: a gateway is not ready while QuestDB is away, and QuestDB is the next to be looked at.
            stack.launch(*program)?;
            let pid = stack.pid(*program).unwrap_or_default();
            console::line(format!("{} runs again, as pid {pid}", program.name()));
        }
        Ok(!due.is_empty())
    }

    fn report(&mut self, Death { program, status }: Death, stack: &Stack) -> Result<()> {
        let name = program.name();
        let tail = log_tail(&stack.log(program));
        if program == Program::Agent && status.code() == Some(AGENT_CUT_OFF) {
            console::warn(format!(
                "this machine was cut off and is watched no longer; to enroll it anew, remove {} and start again; {tail}",
                stack.data().join("agent").display()
            ));
            return Ok(());
        }
        let now = Instant::now();
        match self.history.entry(program).or_default().died(now) {
            Some(pause) => {
                console::warn(format!(
                    "{name} ended ({status}), starting it again in {:.2} s; {tail}",
                    pause.as_secs_f64()
                ));
                self.due.insert(program, now + pause);
                Ok(())
            }
            None => bail!(
                "{name} ended {DEATHS_MAX} times within {} s, the last time with {status}; {tail}",
                DEATHS_WINDOW.as_secs()
            ),
        }
    }
}

/// The recent deaths of one program.
#[derive(Debug, Default)]
struct DeathHistory(Vec<Instant>);

impl DeathHistory {
    /// How long to wait before the next start; none if there were too many deaths.
    fn died(&mut self, now: Instant) -> Option<Duration> {
        self.0.retain(|earlier| now.duration_since(*earlier) < DEATHS_WINDOW);
        self.0.push(now);
        if self.0.len() >= DEATHS_MAX {
            return None;
        }
        let doublings = u32::try_from(self.0.len()).unwrap_or(u32::MAX) - 1;
        Some(FIRST_PAUSE * 2_u32.pow(doublings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_the_fifth_death_in_a_minute_is_the_last() {
        let mut history = DeathHistory::default();
        let start = Instant::now();
        let pauses: Vec<_> = (0..5).map(|second| history.died(start + Duration::from_secs(second))).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(pauses, [ms(250), ms(500), ms(1000), ms(2000), None]);
    }

    #[test]
    fn a_death_a_minute_goes_on_for_ever() {
        let mut history = DeathHistory::default();
        let start = Instant::now();
        for minute in 0..100 {
            let pause = history.died(start + minute * DEATHS_WINDOW);
            assert_eq!(pause, Some(FIRST_PAUSE), "minute {minute}");
        }
    }
}
