//! From an absolute count to the scheduler's relative triggers. Pure: the caller
//! brings what was seen, and the time.
//!
//! What the scheduler does with a trigger (SeldonIO/seldon-core,
//! `scheduler/pkg/agent/server.go`): it moves the count by one, whatever the
//! amount; not for another version than the latest; up only while that one is
//! available, down only if its state has not changed for [`SETTLED`]; never out
//! of the model's bounds, never below 1, and not at all without bounds. It says
//! nothing of all that. So the count it is asked for, read back, decides:
//!
//! - one trigger at a time: the next one only after the count has moved, or
//!   after [`PATIENCE`], in which a trigger takes effect or never does;
//! - none that would be passed over in silence.

use std::time::Duration;

use super::message::Trigger;
use crate::clock::Nanos;

/// The scheduler scales down no sooner after a change of the model's state; a
/// little more, as its clock is another one.
pub(super) const SETTLED: Duration = Duration::from_secs(62);
/// A trigger that has had no effect for so long has none.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A model, as the scheduler tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Observed {
    /// Of its latest version.
    pub version: u32,
    pub server: String,
    /// Asked for.
    pub replicas: u32,
    /// Taking requests.
    pub available: u32,
    /// Whether its state is that all it needs is available.
    pub is_available: bool,
    /// For how long its state has been that.
    pub unchanged: Duration,
    /// Its bounds there; `max` 0: none.
    pub min: u32,
    pub max: u32,
    /// Why it is not available, if it says.
    pub failure: Option<String>,
}

impl Observed {
    /// Whether the scheduler would go to `count`.
    ///
    /// # Errors
    /// Why it would not.
    pub(super) fn allows(&self, count: u32) -> Result<(), String> {
        if self.min == 0 && self.max == 0 {
            return Err(
                "Seldon scales no model that has neither minReplicas nor maxReplicas: set one \
                        on its Model there"
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
                "Seldon allows {least}{most} replicas of it; expected the same minReplicas and maxReplicas \
                 here and there, found {count}"
            ));
        }
        Ok(())
    }
}

/// What is on its way.
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
    /// The trigger to send now, to get from what is `seen` to `goal`. It counts as
    /// sent; whether it arrives is not known.
    pub(super) fn next(&mut self, goal: u32, seen: &Observed, now: Nanos) -> Option<Trigger> {
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
        let heard = match trigger {
            Trigger::ScaleUp => seen.is_available,
            Trigger::ScaleDown => seen.unchanged >= SETTLED,
        };
        if !heard || seen.allows(then).is_err() {
            return None;
        }
        self.sent = Some(Sent {
            version: seen.version,
            from: seen.replicas,
            at: now,
        });
        Some(trigger)
    }

    /// Whether the count may still move by what was sent.
    pub(super) fn waits(&self) -> bool {
        self.sent.is_some()
    }

    /// The scheduler has said that the last trigger did not come in.
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

    fn seen(replicas: u32) -> Observed {
        Observed {
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
        let busy = Observed {
            is_available: false,
            ..seen(2)
        };
        let fresh = Observed {
            unchanged: Duration::from_secs(59),
            ..seen(2)
        };
        let unscaled = Observed {
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
    fn bounds_that_differ_here_and_there_are_said() {
        assert_eq!(seen(1).allows(9), Ok(()));
        assert!(
            seen(1)
                .allows(10)
                .unwrap_err()
                .contains("allows 1 to 9 replicas")
        );
        assert!(seen(1).allows(0).is_err());
        let open = Observed { max: 0, ..seen(1) };
        assert_eq!(open.allows(1000), Ok(()));
        let none = Observed {
            min: 0,
            max: 0,
            ..seen(1)
        };
        assert!(
            none.allows(2)
                .unwrap_err()
                .contains("neither minReplicas nor maxReplicas")
        );
    }

    /// The scheduler, as its source has it, behind a network that loses, delays
    /// and repeats triggers. Time in milliseconds.
    struct Scheduler {
        replicas: u32,
        changed: u64,
        loading_until: u64,
        /// When each comes in.
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

        fn tell(&self, now: u64) -> Observed {
            Observed {
                is_available: now >= self.loading_until,
                unchanged: Duration::from_millis(now.saturating_sub(self.changed)),
                min: MIN,
                max: MAX,
                ..seen(self.replicas)
            }
        }
    }

    /// What becomes of a trigger.
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

    /// Lets relay and scheduler run for an hour; returns the counts it went through.
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
            // In the second half of the hour nothing is lost.
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
