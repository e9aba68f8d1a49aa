//! Makes samples: numbers them, stamps them, has the host fill them, encodes them.

use crate::clock::{Clock, Moment};
use crate::collectors::Observe;
use crate::linux::Host;
use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant, SystemTime};
use watchkeeper_schemas::codec::{self, EncodeError};
use watchkeeper_schemas::ids::BootId;
use watchkeeper_schemas::sample::Sample;
use watchkeeper_schemas::subjects::SampleSubject;

/// The inventory travels with every so many samples, for whoever came later.
const INVENTORY_EVERY_SAMPLES: u64 = 60;

/// Makes the samples of one host.
pub struct Sampler {
    host: Host,
    clock: Clock,
    subject: SampleSubject,
    boot: BootId,
    seq: u64,
    interval_ms: u32,
    inventory_due: bool,
    too_large_told: bool,
    frame: Vec<u8>,
}

impl Sampler {
    /// Takes the first reading, which rates count from.
    ///
    /// Samples count from 1 in a boot id of this process: nothing is kept on disk that could carry the number over a
    /// restart. The inventory tells when the host started.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(
        observe: &Observe,
        subject: SampleSubject,
        interval: Duration,
    ) -> Result<Self, getrandom::Error> {
        let mut boot = BootId::default();
        getrandom::fill(&mut boot.0)?;
        Ok(Self {
            host: Host::open(observe, Instant::now()),
            clock: Clock::new(now()),
            subject,
            boot,
            seq: 0,
            interval_ms: millis(interval),
            inventory_due: true,
            too_large_told: false,
            frame: Vec::new(),
        })
    }

    /// Watches otherwise from now on; rates count from here, numbers go on.
    pub fn watch(&mut self, observe: &Observe, interval: Duration) {
        self.host = Host::open(observe, Instant::now());
        self.interval_ms = millis(interval);
        self.inventory_due = true;
    }

    /// The next sample; `lost` of those before were given up.
    pub fn sample(&mut self, lost: u64) -> Sample {
        let stamp = self.clock.stamp(now());
        self.seq += 1;
        let mut sample = Sample::empty(&self.subject, self.boot, self.seq, stamp.time, self.interval_ms);
        sample.clock_step_ms = stamp.step_ms;
        sample.lost_samples = lost;
        if stamp.step_ms != 0 {
            tracing::warn!(step_ms = stamp.step_ms, "the clock of this host was set");
        }
        self.inventory_due |= self.host.collect(Instant::now(), &mut sample);
        self.inventory_due |= self.seq.is_multiple_of(INVENTORY_EVERY_SAMPLES);
        if std::mem::take(&mut self.inventory_due) {
            sample.inventory = Some(Box::new(self.host.inventory().clone()));
        }
        sample
    }

    /// The next sample has to say what the host is: whoever listens may be new.
    pub fn tell_inventory(&mut self) {
        self.inventory_due = true;
    }

    /// The sample as it travels. One that does not fit into a frame leaves the ends of its longest lists out.
    ///
    /// # Errors
    /// When it cannot be made to fit.
    pub fn encode(&mut self, mut sample: Sample) -> Result<Bytes, EncodeError> {
        loop {
            match codec::encode(&sample, &mut self.frame) {
                Ok(()) => return Ok(Bytes::copy_from_slice(&self.frame)),
                Err(error) if !shorten(&mut sample) => return Err(error),
                Err(error) => {
                    if !std::mem::replace(&mut self.too_large_told, true) {
                        tracing::warn!(%error, "the host has more to tell than a sample holds: rows are left out");
                    }
                }
            }
        }
    }
}

/// An interval as it travels.
pub(crate) fn millis(interval: Duration) -> u32 {
    u32::try_from(interval.as_millis()).unwrap_or(u32::MAX)
}

/// Halves the longest list; false where nothing is left to leave out.
fn shorten(sample: &mut Sample) -> bool {
    let Sample { networks, disk_io, disks, temperatures, cores, .. } = sample;
    let lengths = [networks.len(), disk_io.len(), disks.len(), temperatures.len(), cores.len() / 8];
    let longest = lengths.into_iter().max().unwrap_or_default();
    match lengths.iter().position(|length| *length == longest) {
        _ if longest == 0 => return sample.inventory.take().is_some(),
        Some(0) => networks.truncate(longest / 2),
        Some(1) => disk_io.truncate(longest / 2),
        Some(2) => disks.truncate(longest / 2),
        Some(3) => temperatures.truncate(longest / 2),
        Some(_) | None => cores.truncate(cores.len() / 2),
    }
    true
}

/// Both clocks now.
pub(crate) fn now() -> Moment {
    let since_boot = clock_gettime(ClockId::Boottime);
    let seconds = Duration::from_secs(u64::try_from(since_boot.tv_sec).unwrap_or_default());
    let nanos = Duration::from_nanos(u64::try_from(since_boot.tv_nsec).unwrap_or_default());
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Moment { wall_ms: i64::try_from(wall.as_millis()).unwrap_or_default(), since_boot: seconds + nanos }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::Mounts;
    use watchkeeper_schemas::quantity::Num;
    use watchkeeper_schemas::quantity::{Pct, Text};
    use watchkeeper_schemas::sample::{Core, Network, Temperature};

    fn sampler() -> Sampler {
        let observe = Observe { root: "/".into(), mounts: Mounts::Auto, without: Vec::new() };
        let subject = SampleSubject::live("default".parse().unwrap(), "web-1".parse().unwrap());
        Sampler::new(&observe, subject, Duration::from_secs(5)).unwrap()
    }

    #[test]
    fn samples_count_on_and_the_inventory_comes_first_and_when_asked_for() {
        let mut sampler = sampler();
        let samples: Vec<Sample> = (0..4)
            .map(|n| {
                if n == 2 {
                    sampler.tell_inventory();
                }
                sampler.sample(3)
            })
            .collect();
        assert_eq!(samples.iter().map(|sample| sample.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
        let told: Vec<bool> = samples.iter().map(|sample| sample.inventory.is_some()).collect();
        assert_eq!((told[0], told[2], told[3]), (true, true, false));
        assert!(samples.iter().is_sorted_by(|a, b| a.time < b.time && a.boot == b.boot));
        assert!(samples.iter().all(|sample| sample.lost_samples == 3));
    }

    #[test]
    fn who_watches_otherwise_counts_on_and_says_how_often() {
        let mut sampler = sampler();
        let before = sampler.sample(0);
        let without = vec![crate::collectors::Collector::Memory];
        let observe = Observe { root: "/".into(), mounts: Mounts::Auto, without };
        sampler.watch(&observe, Duration::from_secs(60));
        let after = sampler.sample(0);
        assert_eq!((after.seq, after.boot), (before.seq + 1, before.boot));
        assert_eq!((before.interval_ms, after.interval_ms), (5000, 60_000));
        assert!(before.memory.is_some() && after.memory.is_none());
    }

    #[test]
    fn what_this_host_tells_can_be_read_back() {
        let mut sampler = sampler();
        let sample = sampler.sample(0);
        let frame = sampler.encode(sample.clone()).unwrap();
        assert_eq!(codec::decode(&sampler.subject, &frame).unwrap(), sample);
    }

    #[test]
    fn a_host_with_too_much_to_tell_still_tells() {
        let mut sampler = sampler();
        let mut sample = sampler.sample(0);
        let long = |n: u16| Text::fit(&format!("{n}{}", "x".repeat(120)));
        sample.cores = (0..512).map(|core| Core { core, usage_pct: Pct(999) }).collect();
        sample.networks = (0..48).map(|n| Network { interface: long(n), ..Network::default() }).collect();
        sample.temperatures = (0..48).map(|n| Temperature { sensor: long(n), celsius: Num(33.3) }).collect();
        let frame = sampler.encode(sample).unwrap();
        let read = codec::decode(&sampler.subject, &frame).unwrap();
        assert!(frame.len() <= codec::FRAME_BYTES_MAX && !read.networks.is_empty() && !read.cores.is_empty());
        assert!(read.memory.is_some());
    }
}
