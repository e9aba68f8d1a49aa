//! Samples on their way to the broker: bounded, pure; the moment is always an argument.
//!
//! The newest sample goes live. What an outage left behind goes on the back-fill lane, oldest first and at a bounded
//! rate, once a live sample of this connection was acknowledged. A sample leaves only with its acknowledgement.

use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};
use watchkeeper_schemas::subjects::Lane;

/// An hour at 5 s.
pub const SAMPLES_QUEUED_MAX: usize = 720;
/// What they may weigh together.
pub const BYTES_QUEUED_MAX: usize = 1024 * 1024;
/// Samples that wait for their acknowledgement while another is back-filled.
const IN_FLIGHT_MAX: usize = 32;
/// An acknowledgement that takes longer was lost on its way.
pub const ACK_WAIT_MAX: Duration = Duration::from_secs(5);
/// Time between two back-filled samples: 50 a second.
const BACKFILL_EVERY: Duration = Duration::from_millis(20);

/// One sample to publish now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// Names this sending in its acknowledgement; never used again.
    pub token: u64,
    /// Which way it goes.
    pub lane: Lane,
    /// The encoded sample.
    pub frame: Bytes,
}

#[derive(Debug)]
struct Flight {
    seq: u64,
    lane: Lane,
    frame: Bytes,
    deadline: Instant,
}

/// The samples that are not acknowledged yet.
#[derive(Debug, Default)]
pub struct Queue {
    /// By `seq`, so oldest first.
    waiting: VecDeque<(u64, Bytes)>,
    in_flight: BTreeMap<u64, Flight>,
    bytes: usize,
    next_token: u64,
    newest: u64,
    /// Newest sample that went live and is under way or acknowledged.
    live: u64,
    /// The broker acknowledged a live sample and nothing went wrong since.
    proven: bool,
    backfill_at: Option<Instant>,
    lost: u64,
}

impl Queue {
    /// Adds the newest sample; what no longer fits is given up, oldest first.
    pub fn push(&mut self, seq: u64, frame: Bytes) {
        self.bytes += frame.len();
        self.newest = seq;
        self.waiting.push_back((seq, frame));
        while self.len() > SAMPLES_QUEUED_MAX || self.bytes > BYTES_QUEUED_MAX {
            let Some((_, oldest)) = self.waiting.pop_front() else { break };
            self.bytes -= oldest.len();
            self.lost += 1;
        }
    }

    /// What may be published at `now`; call until `None`.
    pub fn next(&mut self, now: Instant) -> Option<Sending> {
        let newest_waits =
            self.waiting.back().is_some_and(|(seq, _)| *seq == self.newest && *seq > self.live);
        let (lane, (seq, frame)) = if newest_waits {
            self.live = self.newest;
            (Lane::Live, self.waiting.pop_back()?)
        } else {
            if !self.may_fill() || self.backfill_at.is_some_and(|at| now < at) {
                return None;
            }
            self.backfill_at = Some(now + BACKFILL_EVERY);
            (Lane::Backfill, self.waiting.pop_front()?)
        };
        let token = self.next_token;
        self.next_token += 1;
        let flight = Flight { seq, lane, frame: frame.clone(), deadline: now + ACK_WAIT_MAX };
        self.in_flight.insert(token, flight);
        Some(Sending { token, lane, frame })
    }

    /// The broker stored the sample of this sending. A late answer to one that was given up on changes nothing: the
    /// sample goes again, and readers know it by its boot and seq.
    pub fn acknowledged(&mut self, token: u64) {
        if let Some(flight) = self.in_flight.remove(&token) {
            self.bytes -= flight.frame.len();
            self.proven |= flight.lane == Lane::Live;
        }
    }

    /// The broker refused the sample of this sending: it waits again.
    pub fn refused(&mut self, token: u64) {
        if let Some(flight) = self.in_flight.remove(&token) {
            self.put_back(flight);
        }
    }

    /// Sendings that were not answered in time wait again; returns how many.
    pub fn expire(&mut self, now: Instant) -> usize {
        self.put_back_where(|flight| flight.deadline <= now)
    }

    /// The connection is another one: all that was under way waits again.
    pub fn reconnected(&mut self) {
        self.proven = false;
        self.put_back_where(|_| true);
    }

    fn put_back_where(&mut self, back: impl Fn(&Flight) -> bool) -> usize {
        let flights: Vec<Flight> =
            self.in_flight.extract_if(.., |_, flight| back(flight)).map(|(_, flight)| flight).collect();
        let count = flights.len();
        flights.into_iter().for_each(|flight| self.put_back(flight));
        count
    }

    fn put_back(&mut self, flight: Flight) {
        self.proven = false;
        if flight.seq == self.live {
            self.live = 0;
        }
        let at = self.waiting.partition_point(|(seq, _)| *seq < flight.seq);
        self.waiting.insert(at, (flight.seq, flight.frame));
    }

    /// When something is to be done without being asked: an answer becomes too late, or the next one may be back-filled.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let answer = self.in_flight.values().map(|flight| flight.deadline).min();
        let fill = self.backfill_at.filter(|_| self.may_fill() && !self.waiting.is_empty());
        answer.into_iter().chain(fill).min()
    }

    /// Live samples need no such room: there is one an interval.
    fn may_fill(&self) -> bool {
        self.proven && self.in_flight.len() < IN_FLIGHT_MAX
    }

    /// Samples that are not acknowledged.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }

    /// Whether every sample was acknowledged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Samples that were given up.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(seqs: std::ops::RangeInclusive<u64>) -> Queue {
        let mut queue = Queue::default();
        seqs.for_each(|seq| queue.push(seq, Bytes::from(seq.to_string())));
        queue
    }

    fn send(queue: &mut Queue, now: Instant) -> Option<(Lane, String, u64)> {
        let sending = queue.next(now)?;
        Some((sending.lane, String::from_utf8(sending.frame.to_vec()).unwrap(), sending.token))
    }

    #[test]
    fn after_an_outage_the_newest_goes_first_and_the_rest_in_order_and_slowly() {
        let (mut queue, start) = (filled(1..=4), Instant::now());
        let (lane, frame, token) = send(&mut queue, start).unwrap();
        assert_eq!((lane, frame.as_str()), (Lane::Live, "4"));
        assert_eq!(
            send(&mut queue, start),
            None,
            "nothing is back-filled before the broker has shown that it stores"
        );
        queue.acknowledged(token);
        let mut sent = Vec::new();
        for ms in 0..60 {
            let now = start + Duration::from_millis(ms);
            while let Some((lane, frame, token)) = send(&mut queue, now) {
                assert_eq!(lane, Lane::Backfill);
                sent.push((ms, frame));
                queue.acknowledged(token);
            }
        }
        assert_eq!(sent, [(0, "1".into()), (20, "2".into()), (40, "3".into())]);
        assert!(queue.is_empty() && queue.lost() == 0 && queue.next_deadline().is_none());
    }

    #[test]
    fn a_sample_leaves_only_with_its_acknowledgement() {
        let (mut queue, start) = (filled(1..=1), Instant::now());
        let (_, _, first) = send(&mut queue, start).unwrap();
        assert_eq!(
            (queue.expire(start + Duration::from_secs(4)), queue.next_deadline()),
            (0, Some(start + ACK_WAIT_MAX))
        );
        assert_eq!(queue.expire(start + ACK_WAIT_MAX), 1);
        let (lane, frame, again) = send(&mut queue, start + ACK_WAIT_MAX).unwrap();
        assert_eq!((lane, frame.as_str()), (Lane::Live, "1"), "still the newest: still live");
        queue.acknowledged(first);
        assert_eq!(queue.len(), 1, "a late answer names a sending that was given up on");
        queue.acknowledged(again);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_was_refused_or_cut_off_goes_again_behind_the_newest() {
        let (mut queue, start) = (filled(1..=1), Instant::now());
        let (_, _, token) = send(&mut queue, start).unwrap();
        queue.refused(token);
        queue.push(2, Bytes::from("2"));
        let (_, frame, _) = send(&mut queue, start).unwrap();
        assert_eq!((frame.as_str(), send(&mut queue, start)), ("2", None));
        queue.reconnected();
        let (lane, frame, token) = send(&mut queue, start).unwrap();
        assert_eq!((lane, frame.as_str()), (Lane::Live, "2"));
        queue.acknowledged(token);
        assert_eq!(
            send(&mut queue, start).map(|(lane, frame, _)| (lane, frame)),
            Some((Lane::Backfill, "1".into()))
        );
    }

    #[test]
    fn what_does_not_fit_is_given_up_oldest_first_and_counted() {
        let mut queue = filled(1..=SAMPLES_QUEUED_MAX as u64 + 3);
        assert_eq!((queue.len(), queue.lost()), (SAMPLES_QUEUED_MAX, 3));
        assert_eq!(queue.waiting.front().unwrap().0, 4);
        for seq in 1000..1300 {
            queue.push(seq, Bytes::from(vec![0; 8192]));
        }
        assert!(queue.bytes <= BYTES_QUEUED_MAX && queue.len() >= 127, "{} in {}", queue.len(), queue.bytes);
    }

    proptest! {
        /// Whatever happens on the way: nothing is forgotten, nothing is counted twice, nothing grows.
        #[test]
        fn every_sample_is_acknowledged_lost_or_still_there(steps in prop::collection::vec((0_u8..6, 0_u64..50), 1..400)) {
            let (mut queue, start) = (Queue::default(), Instant::now());
            let (mut seq, mut ms, mut done) = (0_u64, 0, 0_u64);
            let mut under_way = Vec::new();
            for (step, choice) in steps {
                ms += choice * 40;
                let now = start + Duration::from_millis(ms);
                match step {
                    0 | 1 => {
                        seq += 1;
                        queue.push(seq, Bytes::from(vec![0; 64]));
                    }
                    2 => under_way.extend(std::iter::from_fn(|| queue.next(now)).map(|sending| sending.token)),
                    3 if !under_way.is_empty() => {
                        let (before, token) = (queue.len(), under_way.swap_remove(choice as usize % under_way.len()));
                        queue.acknowledged(token);
                        done += (before - queue.len()) as u64;
                    }
                    4 => { queue.expire(now); }
                    _ => queue.reconnected(),
                }
                prop_assert!(queue.waiting.iter().is_sorted_by_key(|(seq, _)| *seq));
                prop_assert!(queue.in_flight.values().filter(|flight| flight.lane == Lane::Backfill).count() <= IN_FLIGHT_MAX);
                prop_assert_eq!(done + queue.lost() + queue.len() as u64, seq);
                let bytes = queue.waiting.iter().map(|(_, frame)| frame.len()).sum::<usize>()
                    + queue.in_flight.values().map(|flight| flight.frame.len()).sum::<usize>();
                prop_assert_eq!(queue.bytes, bytes);
            }
        }
    }
}
