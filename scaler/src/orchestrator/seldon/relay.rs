//! Turns an absolute count into the scheduler's relative triggers. Pure: the caller passes the
//! model's status and the time.
//!
//! What the scheduler does with a trigger (SeldonIO/seldon-core,
//! `scheduler/pkg/agent/server.go`): it moves the count by one, whatever `amount` says, and only
//! for the latest version. It moves up only while that version is available, and down only if its
//! state has not changed for [`SETTLED`]. It never leaves the model's bounds, never goes below 1,
//! and ignores models without bounds. It reports none of this. So the next trigger depends on the
//! count that is read back:
//!
//! - One trigger at a time. The next one follows after the count has moved, or after
//!   [`PATIENCE`], in which a trigger takes effect or never does.
//! - No trigger that the scheduler would ignore.

use std::time::Duration;

use super::message::Trigger;
use crate::clock::Nanos;

/// The scheduler scales down only a minute after the model's state last changed. Two seconds are
/// added because its clock may differ from ours.
pub(super) const SETTLED: Duration = Duration::from_secs(62);
/// A trigger that has had no effect for this long is taken as lost.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A model's status, as the scheduler reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ObservedModel {
    /// The number of the model's latest version.
    pub version: u32,
    pub server: String,
    /// How many replicas are requested.
    pub replicas: u32,
    /// How many replicas take requests.
    pub available: u32,
    /// Whether its state is `ModelAvailable`: all requested replicas are available.
    pub is_available: bool,
    /// How long its state has not changed.
    pub unchanged: Duration,
    /// The bounds in Seldon's `Model`. `max` 0: no upper bound.
    pub min: u32,
    pub max: u32,
    /// Why the model is not available, if the scheduler says so.
    pub failure: Option<String>,
}

impl ObservedModel {
    /// Checks whether the scheduler would go to `count` replicas.
    ///
    /// # Errors A sentence that says why it would not, and what to change.
    pub(super) fn allows(&self, count: u32) -> Result<(), String> {
        if self.min == 0 && self.max == 0 {
            return Err(
                "Seldon does not scale a model without minReplicas and maxReplicas: set one of them in \
                 Seldon's Model"
                    .into(),
            );
        }
        let least = self.min.max(1);
        if count < least || (self.max > 0 && count > self.max) {
            let most = if self.max > 0 {
                format!(" to {}", self.max)
            } else {
                String::from(" up")
            };
            return Err(format!(
                "Seldon's Model allows {least}{most} replicas, and {count} are needed: set the same \
                 minReplicas and maxReplicas in Seldon's Model and in the manifest"
            ));
        }
        Ok(())
    }
}

/// The trigger that was sent and has not taken effect yet, if there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Relay {
    sent: Option<Sent>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    version: u32,
    from: u32,
    at: Nanos,
}

impl Relay {
    /// The trigger to send now to move from the status `seen` to `goal` replicas; `None`: none.
    /// It is remembered as sent.
    pub(super) fn next(&mut self, goal: u32, seen: &ObservedModel, now: Nanos) -> Option<Trigger> {
        if let Some(sent) = self.sent {
            let moved = (sent.version, sent.from) != (seen.version, seen.replicas);
            if !moved && now.since(sent.at) < PATIENCE {
                return None;
            }
            self.sent = None;
        }
        let (trigger, then) = match seen.replicas.cmp(&goal) {
            std::cmp::Ordering::Less => (Trigger::ScaleUp, seen.replicas + 1),
            std::cmp::Ordering::Equal => return None,
            std::cmp::Ordering::Greater => (Trigger::ScaleDown, seen.replicas - 1),
        };
        let accepted = match trigger {
            Trigger::ScaleUp => seen.is_available,
            Trigger::ScaleDown => seen.unchanged >= SETTLED,
        };
        if !accepted || seen.allows(then).is_err() {
            return None;
        }
        self.sent = Some(Sent {
            version: seen.version,
            from: seen.replicas,
            at: now,
        });
        Some(trigger)
    }

    /// Whether a sent trigger may still take effect.
    pub(super) fn waits(&self) -> bool {
        self.sent.is_some()
    }

    /// Forgets the last trigger: the scheduler has said that it did not accept it.
    pub(super) fn refused(&mut self) {
        self.sent = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Nanos {
        Nanos::from_duration(Duration::from_millis(millis))
    }

    fn seen(replicas: u32) -> ObservedModel {
        ObservedModel {
            version: 1,
            server: "mlserver".into(),
            replicas,
            available: replicas,
            is_available: true,
            unchanged: SETTLED,
            min: 1,
            max: 9,
            failure: None,
        }
    }

    #[test]
    fn one_trigger_at_a_time_until_its_effect_or_its_absence_is_known() {
        let mut relay = Relay::default();
        assert_eq!(relay.next(3, &seen(1), at(0)), Some(Trigger::ScaleUp));
        assert_eq!(relay.next(3, &seen(1), at(19_999)), None);
        assert_eq!(relay.next(3, &seen(2), at(19_999)), Some(Trigger::ScaleUp));
        assert_eq!(relay.next(3, &seen(2), at(39_000)), None);
        assert_eq!(
            relay.next(3, &seen(2), at(40_000)),
            Some(Trigger::ScaleUp),
            "lost"
        );
        assert_eq!(relay.next(3, &seen(3), at(40_001)), None);
        assert!(!relay.waits());
    }

    #[test]
    fn what_the_scheduler_would_pass_over_is_not_sent() {
        let busy = ObservedModel {
            is_available: false,
            ..seen(2)
        };
        let fresh = ObservedModel {
            unchanged: Duration::from_secs(59),
            ..seen(2)
        };
        let unscaled = ObservedModel {
            min: 0,
            max: 0,
            ..seen(2)
        };
        for (goal, seen, expected) in [
            (3, &busy, None),
            (1, &busy, Some(Trigger::ScaleDown)),
            (3, &fresh, Some(Trigger::ScaleUp)),
            (1, &fresh, None),
            (3, &unscaled, None),
            (10, &seen(9), None),
            (0, &seen(1), None),
        ] {
            assert_eq!(
                Relay::default().next(goal, seen, at(0)),
                expected,
                "{goal} {seen:?}"
            );
        }
    }

    #[test]
    fn bounds_that_differ_from_seldons_are_refused_with_both() {
        assert_eq!(seen(1).allows(9), Ok(()));
        assert!(
            seen(1)
                .allows(10)
                .unwrap_err()
                .contains("allows 1 to 9 replicas")
        );
        assert!(seen(1).allows(0).is_err());
        let open = ObservedModel { max: 0, ..seen(1) };
        assert_eq!(open.allows(1000), Ok(()));
        let none = ObservedModel {
            min: 0,
            max: 0,
            ..seen(1)
        };
        assert!(
            none.allows(2)
                .unwrap_err()
                .contains("without minReplicas and maxReplicas")
        );
    }

    /// A model of the scheduler, as its source has it, behind a network that loses, delays and
    /// repeats triggers. Times are in milliseconds.
    struct Scheduler {
        replicas: u32,
        changed: u64,
        loading_until: u64,
        /// Triggers in the network, and when each arrives.
        on_the_way: Vec<(u64, Trigger)>,
        applied: u32,
    }

    const MIN: u32 = 1;
    const MAX: u32 = 6;

    impl Scheduler {
        fn take_in(&mut self, now: u64) {
            let due: Vec<_> = self
                .on_the_way
                .extract_if(.., |(at, _)| *at <= now)
                .collect();
            for (_, trigger) in due {
                let available = now >= self.loading_until;
                let settled = now.saturating_sub(self.changed) > 60_000;
                let then = match trigger {
                    Trigger::ScaleUp if available => self.replicas + 1,
                    Trigger::ScaleDown if settled => self.replicas - 1,
                    _ => continue,
                };
                if (MIN..=MAX).contains(&then) {
                    self.loading_until = if then > self.replicas {
                        now + 1_500
                    } else {
                        now
                    };
                    self.replicas = then;
                    self.changed = self.loading_until;
                    self.applied += 1;
                }
            }
        }

        fn tell(&self, now: u64) -> ObservedModel {
            ObservedModel {
                is_available: now >= self.loading_until,
                unchanged: Duration::from_millis(now.saturating_sub(self.changed)),
                min: MIN,
                max: MAX,
                ..seen(self.replicas)
            }
        }
    }

    /// What the network does with a trigger.
    #[derive(Clone, Copy, Debug)]
    enum Fate {
        Lost,
        Once(u64),
        Twice(u64, u64),
    }

    fn fate() -> impl Strategy<Value = Fate> {
        prop_oneof![
            Just(Fate::Lost),
            (0u64..15_000).prop_map(Fate::Once),
            (0u64..15_000, 0u64..60_000).prop_map(|(a, b)| Fate::Twice(a, b)),
        ]
    }

    /// Runs relay and scheduler for an hour. Returns the scheduler and the counts it went
    /// through.
    fn run(start: u32, goals: &[(u64, u32)], fates: &[Fate]) -> (Scheduler, Vec<u32>) {
        let mut scheduler = Scheduler {
            replicas: start,
            changed: 0,
            loading_until: 0,
            on_the_way: Vec::new(),
            applied: 0,
        };
        let (mut relay, mut sent, mut counts) = (Relay::default(), 0, vec![start]);
        for now in (0..3_600_000u64).step_by(500) {
            scheduler.take_in(now);
            if counts.last() != Some(&scheduler.replicas) {
                counts.push(scheduler.replicas);
            }
            let goal = goals.iter().rev().find(|(from, _)| *from <= now);
            let goal = goal.map_or(start, |(_, goal)| *goal);
            let Some(trigger) = relay.next(goal, &scheduler.tell(now), at(now)) else {
                continue;
            };
            // The network loses nothing after the first 20 minutes.
            let fate = fates.get(sent).copied().filter(|_| now < 1_200_000);
            sent += 1;
            match fate.unwrap_or(Fate::Once(50)) {
                Fate::Lost => {}
                Fate::Once(delay) => scheduler.on_the_way.push((now + delay, trigger)),
                Fate::Twice(one, two) => {
                    let both = [(now + one, trigger), (now + two, trigger)];
                    scheduler.on_the_way.extend(both);
                }
            }
        }
        (scheduler, counts)
    }

    proptest! {
        #[test]
        fn whatever_the_network_does_it_gets_there_and_stays_within_bounds(
            start in MIN..=MAX,
            goals in prop::collection::vec((0u64..1_200_000, MIN..=MAX), 1..5),
            fates in prop::collection::vec(fate(), 0..40),
        ) {
            let mut goals = goals;
            goals.sort_unstable();
            let (scheduler, counts) = run(start, &goals, &fates);
            prop_assert_eq!(scheduler.replicas, goals.last().unwrap().1);
            prop_assert!(counts.iter().all(|count| (MIN..=MAX).contains(count)));
        }

        #[test]
        fn where_nothing_is_repeated_it_goes_straight_and_no_further(
            start in MIN..=MAX,
            goal in MIN..=MAX,
            fates in prop::collection::vec(
                prop_oneof![Just(Fate::Lost), (0u64..15_000).prop_map(Fate::Once)], 0..40),
        ) {
            let (scheduler, counts) = run(start, &[(0, goal)], &fates);
            prop_assert_eq!(scheduler.applied, start.abs_diff(goal));
            prop_assert_eq!(counts.len() as u32, start.abs_diff(goal) + 1);
        }
    }
}
