//! Notices follow from comparing what is true of an instance with what its receivers were told.

use super::SHADOW_RECEIVER;
use super::effect::{Effect, Key, Notice, NoticeKind};
use super::voice::{About, STEADY_AFTER_MS, Tell, Telling, Told, Voice};
use compact_str::CompactString;
use watchkeeper_schemas::rule::Severity;

impl Voice {
    /// Says what is true and was not said; nothing while `muted`. No `telling`: the rule is gone.
    pub(super) fn speak(
        &mut self,
        key: &Key,
        telling: Option<&Telling>,
        muted: bool,
        now: u64,
        out: &mut Vec<Effect>,
    ) {
        let mut said = Saying { key, now, short_episodes: 0, out };
        self.leave_out_removed(telling);
        if muted {
            return;
        }
        if self.flapping.is_some_and(|last| last + STEADY_AFTER_MS <= now) {
            self.say_steady(&mut said);
        }
        if self.flapping.is_some() {
            if let Some(telling) = telling {
                self.say_flapping(telling, &mut said);
                self.escalate(telling, &mut said);
            } else {
                self.say_resolved(&mut said);
            }
            return;
        }
        self.say_resolved(&mut said);
        if let Some(telling) = telling {
            self.say_firing(telling, &mut said);
            self.say_open(telling, &mut said);
            self.escalate(telling, &mut said);
        }
    }

    /// A receiver that a rule no longer names hears nothing more; what a rule told before it became a shadow is owed.
    fn leave_out_removed(&mut self, telling: Option<&Telling>) {
        let Some(telling) = telling else { return };
        for (_, tell) in self.tells.iter_mut().filter(|(receiver, _)| !telling.names(receiver)) {
            if tell.told.as_ref().is_some_and(|told| told.instead) {
                continue;
            }
            if !telling.shadow {
                tell.told.take_if(|told| told.closed.is_some());
            }
            (tell.short_episodes, tell.flapping) = (0, None);
        }
    }

    fn say_steady(&mut self, said: &mut Saying<'_>) {
        (self.flapping, self.steps) = (None, None);
        let level = self.level();
        let reason = if self.open.is_some() { "open" } else { "over" };
        let about = self.open.as_ref().map_or(self.newest, |open| open.about());
        for (receiver, tell) in &mut self.tells {
            if tell.flapping.take().is_some() {
                said.say(about, NoticeKind::Steady, 1, receiver, level, Some(reason.into()));
            }
        }
    }

    fn say_flapping(&mut self, telling: &Telling, said: &mut Saying<'_>) {
        let level = self.level();
        let Some(open) = &mut self.open else { return };
        for receiver in telling.receivers.iter().filter(|receiver| telling.hears(receiver, level)) {
            let tell = self.tells.entry(receiver.clone()).or_default();
            let told = tell.told.as_ref().filter(|told| told.episode == open.number).map(|told| told.level);
            match tell.flapping {
                None => {
                    said.say(open.about(), NoticeKind::Flapping, 1, receiver, level, open.detail.clone());
                    open.steps.get_or_insert((1, said.now));
                }
                Some(before) if before.max(told.unwrap_or(before)) < level => {
                    said.say(open.about(), NoticeKind::LevelUp, 1, receiver, level, None);
                }
                Some(_) => continue,
            }
            tell.flapping = Some(level);
            tell.highest = Some((open.number, level));
        }
    }

    fn say_resolved(&mut self, said: &mut Saying<'_>) {
        for (receiver, tell) in &mut self.tells {
            let Some(told) = tell.told.take_if(|told| told.closed.is_some()) else { continue };
            if let Some((reason, about)) = told.closed {
                said.say(about, NoticeKind::Resolved, 1, receiver, told.level, Some(reason));
            }
        }
    }

    fn say_firing(&mut self, telling: &Telling, said: &mut Saying<'_>) {
        let level = self.level();
        let Some(open) = &mut self.open else { return };
        for receiver in telling.receivers.iter().filter(|receiver| telling.hears(receiver, level)) {
            let tell = self.tells.entry(receiver.clone()).or_default();
            let cooling = tell.cooldown.is_some_and(|(until, at)| said.now < until && level <= at);
            if tell.told.is_some() || cooling {
                continue;
            }
            said.short_episodes = std::mem::take(&mut tell.short_episodes);
            said.say(open.about(), NoticeKind::Firing, 1, receiver, level, open.detail.clone());
            tell.tell(open.number, level, said.now, telling.cooldown_ms, false);
            open.steps.get_or_insert((1, said.now));
        }
    }

    /// Higher levels and reminders.
    fn say_open(&mut self, telling: &Telling, said: &mut Saying<'_>) {
        let level = self.level();
        let Some(open) = &self.open else { return };
        let is_acked = open.acked.is_some_and(|acked| level <= acked);
        for (receiver, tell) in &mut self.tells {
            let hears = |told: &&mut Told| told.episode == open.number && told.may_hear(telling, receiver);
            let Some(told) = tell.told.as_mut().filter(hears) else { continue };
            if told.level < level {
                told.level = level;
                told.level_ups += 1;
                told.last = said.now;
                said.say(open.about(), NoticeKind::LevelUp, told.level_ups, receiver, level, None);
            } else if telling.repeat_ms > 0 && !is_acked && told.last + telling.repeat_ms <= said.now {
                told.reminders += 1;
                told.last = said.now;
                said.say(open.about(), NoticeKind::Reminder, told.reminders, receiver, level, None);
            }
        }
    }

    /// The next step, once the last one had its time; at once where the channel of somebody whom it told refuses. Behind
    /// the last step those hear then who hear where a rule names nobody.
    fn escalate(&mut self, telling: &Telling, said: &mut Saying<'_>) {
        let level = self.level();
        let Some(open) = &mut self.open else { return };
        while let Some((steps, at)) = open.steps.filter(|_| open.acked.is_none_or(|acked| acked < level)) {
            let last = steps.checked_sub(1).and_then(|last| telling.policy.get(last));
            let has_had_time = last.is_some_and(|step| at.saturating_add(step.wait_ms) <= said.now);
            let refuses = telling.at_step(steps).is_some_and(|told| !told.is_disjoint(&telling.failing));
            let next = telling.policy.get(steps).map(|step| &step.receivers);
            let (next, instead) = match next {
                Some(next) if has_had_time || refuses => (next, false),
                None if refuses => (&telling.instead, true),
                Some(_) | None => return,
            };
            for receiver in next.iter().filter(|receiver| telling.hears(receiver, level)) {
                let tell = self.tells.entry(receiver.clone()).or_default();
                let knows = tell.flapping.is_some()
                    || tell.told.as_ref().is_some_and(|told| told.episode == open.number);
                if instead && (knows || telling.failing.contains(receiver)) {
                    continue;
                }
                let n = steps as u32 + 1;
                said.say(open.about(), NoticeKind::Escalated, n, receiver, level, open.detail.clone());
                tell.tell(open.number, level, said.now, telling.cooldown_ms, instead);
            }
            if instead {
                return;
            }
            open.steps = Some((steps + 1, said.now));
        }
    }
}

impl Tell {
    fn tell(&mut self, episode: u64, level: Severity, now: u64, cooldown_ms: u64, instead: bool) {
        let known = self.told.take().filter(|told| told.episode == episode);
        let (reminders, level_ups) = known.map_or((0, 0), |told| (told.reminders, told.level_ups));
        let highest = self.highest.filter(|(number, _)| *number == episode).map(|(_, level)| level);
        let level_told = highest.map_or(level, |highest| highest.max(level));
        let closed = None;
        self.told =
            Some(Told { episode, level: level_told, last: now, reminders, level_ups, instead, closed });
        self.cooldown = Some((now + cooldown_ms, level));
    }
}

/// One look at an instance: where its notices go.
struct Saying<'a> {
    key: &'a Key,
    now: u64,
    /// Episodes that nobody heard of, for the next notice.
    short_episodes: u32,
    out: &'a mut Vec<Effect>,
}

impl Saying<'_> {
    fn say(
        &mut self,
        about: About,
        kind: NoticeKind,
        n: u32,
        receiver: &str,
        level: Severity,
        reason: Option<CompactString>,
    ) {
        let About { number, since, value, peak, duration_ms } = about;
        self.out.push(Effect::Notice(Notice {
            key: self.key.clone(),
            episode: number,
            kind,
            n,
            receiver: receiver.to_owned(),
            level,
            reason,
            short_episodes: std::mem::take(&mut self.short_episodes),
            shadow: receiver == SHADOW_RECEIVER,
            since,
            value,
            peak,
            duration_ms,
        }));
    }
}
