//! Slow start: a replica that is new, or gets requests again after an absence, begins with a small
//! share of the load, which grows. It follows Envoy's slow start mode (envoyproxy.io), with one
//! difference: it applies only beside replicas that have had a full share. If all are new, all
//! have the same share.
//!
//! A state machine over plain data: it is given the time, and returns weights.

use std::time::Duration;

use tailback_config::SlowStart;
use tailback_scaler::{clock::Nanos, replica::weight::Weight};

/// The number of steps of a slow start.
const STEPS: u32 = 100;
/// The shortest step.
const SHORTEST_STEP: Duration = Duration::from_millis(100);

/// The slow starts of a pool's replicas.
#[derive(Debug, Default)]
pub(super) struct SlowStarter {
    /// `None`: each replica has a full share at once.
    settings: Option<SlowStart>,
    /// When each replica's slow start began; `None`: it is over.
    begun: Vec<Option<Nanos>>,
}

impl SlowStarter {
    /// Changes the settings, which also apply to slow starts in progress.
    pub(super) fn configure(&mut self, settings: Option<SlowStart>) {
        self.settings = settings;
    }

    /// Replaces the replicas. `former` holds the previous position of each, if it had one.
    pub(super) fn set_replicas(&mut self, former: &[Option<usize>], now: Nanos) {
        let begin = self.settings.map(|_| now);
        let begun = |former: &Option<usize>| former.map_or(begin, |former| self.begun[former]);
        self.begun = former.iter().map(begun).collect();
    }

    /// Notes that a replica gets requests again.
    pub(super) fn returned(&mut self, which: usize, now: Nanos) {
        self.begun[which] = self.settings.map(|_| now);
    }

    /// The weight of each replica at `now`. `is_healthy` says which ones get requests.
    pub(super) fn weights(
        &mut self,
        is_healthy: impl Fn(usize) -> bool,
        now: Nanos,
    ) -> impl Iterator<Item = Weight> {
        let settings = self.settings;
        for begun in &mut self.begun {
            begun.take_if(|begun| settings.is_none_or(|set| now.since(*begun) >= set.window));
        }
        let has_had_all =
            |(which, begun): (usize, &Option<Nanos>)| begun.is_none() && is_healthy(which);
        let is_beside_others = self.begun.iter().enumerate().any(has_had_all);
        let settings = settings.filter(|_| is_beside_others);
        let weight = move |begun: &Option<Nanos>| match (begun, &settings) {
            (Some(begun), Some(settings)) => weight_after(now.since(*begun), settings),
            _ => Weight::FULL,
        };
        self.begun.iter().map(weight)
    }

    /// When [`weights`](Self::weights) must be called next.
    pub(super) fn review_at(&self, now: Nanos) -> Option<Nanos> {
        let settings = self.settings?;
        let step = (settings.window / STEPS).max(SHORTEST_STEP);
        let is_any = self.begun.iter().any(Option::is_some);
        is_any.then(|| now + step)
    }
}

/// The weight of a replica at this time after the beginning of its slow start. Envoy's formula
/// (Slow start mode, Architecture overview, 1.31): `max(minWeightPercent, timeFactor ^ (1 /
/// aggression))`, where `timeFactor` is `max(seconds since the start, 1) / windowSeconds`.
fn weight_after(since: Duration, settings: &SlowStart) -> Weight {
    let time_factor = since.as_secs_f64().max(1.0) / settings.window.as_secs_f64();
    let aggression = f64::from(settings.aggression_percent) / 100.0;
    let grown = time_factor.powf(1.0 / aggression).min(1.0);
    Weight::from_percent(settings.min_weight_percent.max((grown * 100.0) as u32))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: f64) -> Nanos {
        Nanos((seconds * 1e9) as u64)
    }

    /// A window of 60 s, beginning with 10 %.
    fn settings(aggression_percent: u32) -> SlowStart {
        SlowStart {
            window: Duration::from_secs(60),
            aggression_percent,
            min_weight_percent: 10,
        }
    }

    /// The weights in percent, if all replicas get requests.
    fn weights(starter: &mut SlowStarter, now: f64) -> Vec<u32> {
        let weights = starter.weights(|_| true, at(now));
        weights.map(Weight::percent).collect()
    }

    /// Two replicas that have had a full share, and one that joins at 100 s.
    fn two_and_a_new_one() -> SlowStarter {
        let mut starter = SlowStarter::default();
        starter.set_replicas(&[None, None], at(0.0));
        starter.configure(Some(settings(100)));
        starter.set_replicas(&[Some(0), Some(1), None], at(100.0));
        starter
    }

    #[test]
    fn the_weight_grows_as_in_envoy() {
        for (aggression, seconds, expected) in [
            (100, 0.0, 10),
            (100, 3.0, 10),
            (100, 30.0, 50),
            (100, 59.9, 99),
            (100, 60.0, 100),
            (200, 15.0, 50),
            (50, 30.0, 25),
            // The first second counts as a whole one.
            (200, 0.1, 12),
        ] {
            let since = Duration::from_secs_f64(seconds);
            let weight = weight_after(since, &settings(aggression)).percent();
            assert_eq!(weight, expected, "aggression {aggression}, {seconds} s");
        }
    }

    proptest! {
        #[test]
        fn the_weight_never_falls_and_is_full_in_the_end(
            window in 1u64..100_000,
            aggression_percent in 1u32..=10_000,
            min_weight_percent in 1u32..=100,
            a in 0u64..100_000,
            b in 0u64..100_000,
        ) {
            let window = Duration::from_millis(window);
            let settings = SlowStart { window, aggression_percent, min_weight_percent };
            let weight = |millis| weight_after(Duration::from_millis(millis), &settings).percent();
            prop_assert!(weight(a.min(b)) <= weight(a.max(b)));
            prop_assert!((min_weight_percent..=100).contains(&weight(a)));
            prop_assert_eq!(weight_after(window, &settings), Weight::FULL);
        }
    }

    #[test]
    fn a_replica_beside_others_begins_with_little_and_gets_all() {
        let mut starter = two_and_a_new_one();
        for (now, expected) in [(100.0, 10), (130.0, 50), (160.0, 100), (161.0, 100)] {
            assert_eq!(weights(&mut starter, now), [100, 100, expected], "{now} s");
        }
        assert_eq!(starter.review_at(at(161.0)), None, "it is over");
    }

    #[test]
    fn a_replica_that_is_back_begins_again() {
        let mut starter = two_and_a_new_one();
        starter.returned(0, at(200.0));
        assert_eq!(weights(&mut starter, 230.0), [50, 100, 100]);
        assert_eq!(starter.review_at(at(230.0)), Some(at(230.6)));
        starter.configure(None);
        assert_eq!(weights(&mut starter, 231.0), [100; 3]);
        starter.returned(1, at(232.0));
        assert_eq!(weights(&mut starter, 232.0), [100; 3], "it is off");
    }

    #[test]
    fn where_all_are_new_none_has_less_than_another() {
        let mut starter = SlowStarter::default();
        starter.configure(Some(settings(100)));
        starter.set_replicas(&[None], at(0.0));
        starter.set_replicas(&[Some(0), None], at(6.0));
        assert_eq!(weights(&mut starter, 6.0), [100; 2]);
        // The first replica has had a full share for the whole window; the other one is near it.
        assert_eq!(weights(&mut starter, 60.0), [100, 90]);
        assert_eq!(weights(&mut starter, 66.0), [100; 2]);
    }

    #[test]
    fn where_the_others_are_out_a_new_one_has_a_full_share() {
        let mut starter = two_and_a_new_one();
        let weights = starter.weights(|which| which == 2, at(101.0));
        assert!(weights.into_iter().all(Weight::is_full));
    }
}
