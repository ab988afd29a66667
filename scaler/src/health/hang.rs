//! Hang detection: a replica that accepts connections and never answers.
//!
//! A replica with requests in flight is suspected when it has sent no byte for [`FACTOR`] times
//! the longest silence that its model has ever had. It is then probed; any answer to a probe is a
//! sign of life. Without any, the replica hangs. A byte or a sign of life ends that. So a false
//! suspicion costs little: a server that is too busy to answer probes gets no further requests
//! until it has sent a byte.
//!
//! All of this is a pure function of observations and the time.

use std::time::Duration;

use crate::clock::Nanos;

/// A replica is suspected after this many times the longest silence so far.
pub const FACTOR: u32 = 2;
/// A suspected replica hangs after this many failed probes in a row.
pub const PROBES: u32 = 2;
/// The pause after a probe that was answered. After a failed one, the next follows at once.
const PAUSE: Duration = Duration::from_secs(1);
/// A silence is remembered for one to two of these spans.
const MEMORY: Duration = Duration::from_secs(3600);

/// What a replica has done since the last observation.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplicaProgress {
    /// Whether any byte of a response came.
    pub responded: bool,
    /// Requests in flight.
    pub in_flight: u32,
    /// How many requests it has been given in total.
    pub taken: u64,
}

/// What to do about a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HangCheck {
    /// Send a probe now, and pass its result to [`HangDetector::probed`].
    pub probe: bool,
    /// The state has changed.
    pub change: Option<Change>,
    /// A silence has ended that lasted this long.
    pub ended: Option<Duration>,
}

/// A change of a replica's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It hangs, and has been silent for this long.
    Hung(Duration),
    /// It has sent a byte, or answered a probe.
    Recovered,
}

/// The hang detector of one replica.
#[derive(Clone, Copy, Debug, Default)]
pub struct HangDetector {
    /// Since when it has had a request without sending a byte.
    silent_since: Option<Nanos>,
    /// The arrival of the oldest request that it was given after its last byte.
    asked_since: Option<Nanos>,
    /// How many requests it had been given in total when its last byte came.
    taken: u64,
    failed_probes: u32,
    is_probed: bool,
    probe_at: Nanos,
    is_hung: bool,
}

/// The longest silence of a model's replicas within the last hours.
#[derive(Clone, Copy, Debug, Default)]
pub struct LongestSilence {
    present: Duration,
    before: Duration,
    until: Nanos,
}

impl HangDetector {
    /// Takes what the replica did since the last call. It is suspected after a silence of
    /// `patience`.
    pub fn observe(&mut self, seen: ReplicaProgress, patience: Duration, now: Nanos) -> HangCheck {
        if seen.responded {
            let ended = self.silent_since.map(|since| now.since(since));
            let change = self.recover();
            self.taken = seen.taken;
            self.asked_since = None;
            self.silent_since = (seen.in_flight > 0).then_some(now);
            return HangCheck {
                probe: false,
                change,
                ended,
            };
        }
        if seen.taken != self.taken {
            self.asked_since.get_or_insert(now);
        }
        if seen.in_flight > 0 || self.asked_since.is_some() {
            self.silent_since.get_or_insert(now);
        } else {
            self.silent_since = None;
        }
        let suspected = self.is_hung || self.silence(now) >= patience;
        let probe = suspected && !self.is_probed && now >= self.probe_at;
        self.is_probed |= probe;
        HangCheck {
            probe,
            ..HangCheck::default()
        }
    }

    /// Takes the result of a probe: whether there was a sign of life.
    pub fn probed(&mut self, is_alive: bool, seen: ReplicaProgress, now: Nanos) -> Option<Change> {
        self.is_probed = false;
        if is_alive {
            self.probe_at = now + PAUSE;
            if seen.in_flight == 0 {
                // Its callers have left, so no answer is due any more.
                (self.taken, self.asked_since, self.silent_since) = (seen.taken, None, None);
            }
            return self.recover();
        }
        self.failed_probes = self.failed_probes.saturating_add(1);
        self.probe_at = match self.is_hung {
            true => now + PAUSE,
            false => now,
        };
        let owes = self.silent_since.is_some();
        if self.is_hung || !owes || self.failed_probes < PROBES {
            return None;
        }
        self.is_hung = true;
        Some(Change::Hung(self.silence(now)))
    }

    /// Whether it hangs.
    #[must_use]
    pub fn is_hung(&self) -> bool {
        self.is_hung
    }

    /// How long an answer has been due without a byte; zero if none is due.
    #[must_use]
    pub fn silence(&self, now: Nanos) -> Duration {
        self.silent_since
            .map_or(Duration::ZERO, |since| now.since(since))
    }

    /// How long the oldest request that it was given after its last byte has waited; zero if there
    /// is none.
    #[must_use]
    pub fn asked_in_vain(&self, now: Nanos) -> Duration {
        self.asked_since
            .map_or(Duration::ZERO, |since| now.since(since))
    }

    fn recover(&mut self) -> Option<Change> {
        self.failed_probes = 0;
        std::mem::take(&mut self.is_hung).then_some(Change::Recovered)
    }
}

impl LongestSilence {
    /// Takes a silence that has ended.
    pub fn ended(&mut self, silence: Duration, now: Nanos) {
        if now >= self.until {
            self.before = match self.until + MEMORY > now {
                true => self.present,
                false => Duration::ZERO,
            };
            (self.present, self.until) = (Duration::ZERO, now + MEMORY);
        }
        self.present = self.present.max(silence);
    }

    /// The longest remembered silence.
    #[must_use]
    pub fn get(&self) -> Duration {
        self.present.max(self.before)
    }

    /// For how long a replica may be silent before it is suspected: at least `floor`.
    #[must_use]
    pub fn patience(&self, floor: Duration) -> Duration {
        floor.max(self.get().saturating_mul(FACTOR))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, proptest};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(1500);

    fn at(milliseconds: u64) -> Nanos {
        Nanos(milliseconds * 1_000_000)
    }

    fn busy(taken: u64) -> ReplicaProgress {
        ReplicaProgress {
            responded: false,
            in_flight: 1,
            taken,
        }
    }

    fn responded(taken: u64) -> ReplicaProgress {
        ReplicaProgress {
            responded: true,
            ..busy(taken)
        }
    }

    /// Observes, every 250 ms, a replica that is silent from 1 s on and whose probes take 1 s to
    /// fail. Returns the time at which it was found to hang.
    fn found(patience: Duration, is_alive: bool) -> Option<u64> {
        let mut detector = HangDetector::default();
        let mut probe_until = None;
        for now in (0..20_000).step_by(250) {
            if probe_until.is_some_and(|until| now >= until) {
                probe_until = None;
                if let Some(Change::Hung(_)) = detector.probed(is_alive, busy(5), at(now)) {
                    return Some(now);
                }
            }
            let seen = if now <= 1000 { responded(5) } else { busy(5) };
            if detector.observe(seen, patience, at(now)).probe {
                assert!(probe_until.is_none(), "two probes at once");
                probe_until = Some(now + if is_alive { 10 } else { 1000 });
            }
        }
        None
    }

    #[test]
    fn a_hung_replica_is_found_within_five_seconds_and_one_that_answers_probes_never() {
        let after = found(PATIENCE, false).unwrap() - 1000;
        assert!(after <= 4000, "{after} ms");
        let after = found(Duration::from_secs(6), false).unwrap() - 1000;
        assert!((8000..9000).contains(&after), "{after} ms");
        assert_eq!(found(PATIENCE, true), None);
    }

    #[test]
    fn a_byte_or_an_answered_probe_ends_it() {
        for by_byte in [true, false] {
            let mut detector = HangDetector::default();
            detector.observe(busy(1), PATIENCE, at(0));
            assert!(detector.observe(busy(1), PATIENCE, at(1500)).probe);
            assert_eq!(detector.probed(false, busy(1), at(2500)), None);
            assert!(detector.observe(busy(1), PATIENCE, at(2500)).probe);
            let hung = detector.probed(false, busy(1), at(3500));
            assert_eq!(hung, Some(Change::Hung(Duration::from_millis(3500))));
            let change = match by_byte {
                true => detector.observe(responded(1), PATIENCE, at(4000)).change,
                false => detector.probed(true, busy(1), at(4000)),
            };
            assert_eq!(
                (change, detector.is_hung()),
                (Some(Change::Recovered), false)
            );
        }
    }

    #[test]
    fn an_idle_replica_owes_nothing_and_one_whose_callers_left_is_asked_once() {
        let mut detector = HangDetector::default();
        let idle = ReplicaProgress::default();
        for now in [0, 60_000, 120_000] {
            assert_eq!(
                detector.observe(idle, PATIENCE, at(now)),
                HangCheck::default()
            );
        }
        // The caller of its only request has left.
        let left = ReplicaProgress { taken: 1, ..idle };
        detector.observe(left, PATIENCE, at(120_000));
        assert!(detector.observe(left, PATIENCE, at(121_500)).probe);
        assert_eq!(detector.probed(true, left, at(121_600)), None);
        for now in [130_000, 180_000] {
            assert_eq!(
                detector.observe(left, PATIENCE, at(now)),
                HangCheck::default()
            );
        }
    }

    #[test]
    fn a_model_that_was_silent_for_long_is_waited_for_twice_as_long() {
        let mut longest = LongestSilence::default();
        let floor = Duration::from_secs(2);
        assert_eq!(longest.patience(floor), floor);
        longest.ended(Duration::from_secs(30), at(1000));
        longest.ended(Duration::from_secs(10), at(2000));
        assert_eq!(longest.patience(floor), Duration::from_secs(60));
        // The silence is forgotten one to two hours later.
        let hours = |hours: f64| Nanos(1_000_000_000) + Duration::from_secs_f64(hours * 3600.0);
        longest.ended(Duration::from_secs(1), hours(1.1));
        assert_eq!(longest.get(), Duration::from_secs(30));
        longest.ended(Duration::from_secs(1), hours(2.2));
        assert_eq!(longest.get(), Duration::from_secs(1));
    }

    proptest! {
        /// Whatever happens, a replica that answers its probes never counts as hung, and no
        /// silence is longer than the time that has passed.
        #[test]
        fn whoever_answers_probes_does_not_hang(
            steps in prop::collection::vec((any::<bool>(), 0..3_u32, 0..3_u64, 0..5000_u64), 1..200),
        ) {
            let mut detector = HangDetector::default();
            let (mut now, mut taken) = (0, 0);
            for (responded, in_flight, more, milliseconds) in steps {
                now += milliseconds;
                taken += more;
                let seen = ReplicaProgress { responded, in_flight, taken };
                let step = detector.observe(seen, PATIENCE, at(now));
                if step.probe {
                    prop_assert!(detector.silence(at(now)) >= PATIENCE);
                    prop_assert!(detector.probed(true, seen, at(now)).is_none());
                }
                prop_assert!(!detector.is_hung());
                prop_assert!(detector.silence(at(now)).as_millis() <= u128::from(now));
            }
        }
    }
}
