//! Bounded load (Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016):
//! no replica that a request prefers gets it beyond a factor of the mean load.

use std::borrow::Borrow;

use tailback_config::LoadFactor;
use tailback_scaler::{clock::Nanos, replica::Replica};

/// Requests that a replica may have beyond the factor: where there are few, one more or less says
/// little of how busy it is, and a cold cache costs more.
const SLACK: u64 = 2;

/// The most requests that a replica may have in flight when it is preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadBound(u32);

impl LoadBound {
    /// As of the loads at `now`, with the new request counted in. Replicas that are ejected or
    /// closed take no part in the mean.
    pub fn of<R: Borrow<Replica>>(replicas: &[R], factor: LoadFactor, now: Nanos) -> Self {
        let (mut total, mut count) = (1_u64, 0_u64);
        for replica in replicas {
            let replica: &Replica = replica.borrow();
            if !replica.is_closed() && !replica.is_ejected(now) {
                total += u64::from(replica.in_flight());
                count += 1;
            }
        }
        let share = (total * u64::from(factor.percent())).div_ceil(100 * count.max(1));
        let most = share + SLACK;
        Self(u32::try_from(most).unwrap_or(u32::MAX))
    }

    /// Whether a replica with so many requests in flight may get one more.
    #[must_use]
    pub fn admits(self, in_flight: u32) -> bool {
        in_flight < self.0
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
        assert!(bound(&replicas).admits(0), "of none there is no mean");
    }

    proptest! {
        #[test]
        fn some_replica_is_always_within_the_bound(
            loads in proptest::collection::vec(0u32..50, 1..20),
        ) {
            let bound = bound(&replicas(&loads));
            prop_assert!(loads.iter().any(|&load| bound.admits(load)));
        }
    }
}
