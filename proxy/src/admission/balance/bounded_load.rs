//! Bounded load (Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016):
//! a preferred replica gets requests only up to a multiple of the mean load.

use std::borrow::Borrow;

use tailback_config::LoadFactor;
use tailback_scaler::{
    clock::Nanos,
    replica::{Replica, weight::Weight},
};

/// Requests that a replica may have beyond that multiple: with few requests, one more or less says
/// little about how busy it is, and a cold cache costs more.
const SLACK: u64 = 2;

/// The most requests that a preferred replica of full weight may have in flight. A smaller weight
/// reduces this in proportion, rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadBound(u64);

impl LoadBound {
    /// The bound from the loads at `now`, including the new request. Ejected and closed replicas
    /// do not count for the mean; others count by their weight.
    pub fn of<R: Borrow<Replica>>(replicas: &[R], factor: LoadFactor, now: Nanos) -> Self {
        let (mut total, mut weights) = (1_u64, 0_u64);
        for replica in replicas {
            let replica: &Replica = replica.borrow();
            if !replica.is_closed() && !replica.is_ejected(now) {
                total += u64::from(replica.in_flight());
                weights += u64::from(replica.weight().percent());
            }
        }
        if weights == 0 {
            weights = u64::from(Weight::FULL.percent());
        }
        // Factor and weights are both in percent.
        Self((total * u64::from(factor.percent())).div_ceil(weights) + SLACK)
    }

    /// Whether a replica with this weight and this many requests in flight may get one more.
    #[must_use]
    pub fn admits(self, in_flight: u32, weight: Weight) -> bool {
        let full = u64::from(Weight::FULL.percent());
        u64::from(in_flight) * full < self.0.saturating_mul(u64::from(weight.percent()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn replicas(loads: &[u32]) -> Vec<Replica> {
        let with = |&load: &u32| {
            let replica = Replica::new("m", "h:1", None);
            for _ in 0..load {
                assert!(replica.try_take());
            }
            replica
        };
        loads.iter().map(with).collect()
    }

    fn bound(replicas: &[Replica]) -> LoadBound {
        LoadBound::of(replicas, LoadFactor::default(), Nanos(50))
    }

    #[test]
    fn the_bound_is_the_factor_of_the_mean_rounded_up_and_two_more() {
        for (loads, most) in [
            (&[0, 0, 0, 0][..], 3),
            (&[1, 0, 0, 0], 3),
            (&[1, 1, 1, 1], 4),
            // 1.25 × 21 / 4
            (&[5, 5, 5, 5], 9),
            (&[7], 12),
        ] {
            assert_eq!(bound(&replicas(loads)), LoadBound(most), "{loads:?}");
        }
    }

    #[test]
    fn replicas_that_get_nothing_do_not_lower_the_mean() {
        let replicas = replicas(&[7, 7, 0, 0]);
        replicas[2].eject(Nanos(100));
        replicas[3].close();
        // 1.25 × 15 / 2
        assert_eq!(bound(&replicas), LoadBound(12));
        replicas[0].eject(Nanos(100));
        replicas[1].close();
        let admits = bound(&replicas).admits(0, Weight::FULL);
        assert!(admits, "of none there is no mean");
    }

    #[test]
    fn the_bound_of_a_replica_in_slow_start_is_as_much_lower_as_its_weight() {
        let replicas = replicas(&[9, 9, 1, 0]);
        for replica in &replicas[2..] {
            replica.set_weight(Weight::from_percent(10));
        }
        // 1.25 × 20 / 2.2, plus two: 14. For replicas in slow start, 1.4, rounded up.
        let bound = bound(&replicas);
        assert_eq!(bound, LoadBound(14));
        assert!(bound.admits(13, Weight::FULL) && !bound.admits(14, Weight::FULL));
        let tenth = replicas[2].weight();
        assert!(bound.admits(1, tenth) && !bound.admits(2, tenth));
    }

    proptest! {
        #[test]
        fn some_replica_is_always_within_the_bound(
            loads in proptest::collection::vec((0u32..50, 1u32..=100), 1..20),
        ) {
            let (in_flight, weights): (Vec<_>, Vec<_>) = loads.into_iter().unzip();
            let replicas = replicas(&in_flight);
            for (replica, percent) in replicas.iter().zip(weights) {
                replica.set_weight(Weight::from_percent(percent));
            }
            let bound = bound(&replicas);
            let admits = |replica: &Replica| bound.admits(replica.in_flight(), replica.weight());
            prop_assert!(replicas.iter().any(admits));
        }
    }
}
