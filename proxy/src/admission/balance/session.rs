//! Session affinity: all requests of a session go to one replica, by rendezvous hashing (Thaler
//! and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous", 1996) with bounded load.
//!
//! The choice needs no memory, and is the same on every proxy that knows the same replicas. If a
//! replica goes, only its sessions move; if a replica comes, some sessions of each other replica
//! move to it.

use std::borrow::Borrow;

use rapidhash::v3::rapidhash_v3;
use tailback_config::LoadFactor;
use tailback_scaler::{clock::Nanos, replica::Replica};

use super::{Affinity, PowerOfTwo, Strategy, Taken, bounded_load::LoadBound, mix::mix};
use crate::telemetry::metrics::Preference;

/// Mixed into a rank to select the sessions that move to a replica in slow start.
const SLOW_START: u64 = 0xa409_3822_299f_31d0;

/// The replica with the highest rank for the session that is within the bound. Requests without a
/// session go to the less busy one of two.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    factor: LoadFactor,
}

impl Session {
    /// With this bound on the load.
    #[must_use]
    pub fn new(factor: LoadFactor) -> Self {
        Self { factor }
    }

    /// The rank of a replica for a session. It depends on the address, which is the same on every
    /// proxy. A replica in slow start ranks last for sessions that it is to get only later; each
    /// of these moves to it once.
    fn rank(session: u64, replica: &Replica) -> u64 {
        let rank = mix(session, rapidhash_v3(replica.authority().as_bytes()));
        let weight = replica.weight();
        if !weight.is_full() && mix(rank, SLOW_START) % 100 >= u64::from(weight.percent()) {
            return 0;
        }
        rank
    }
}

impl Strategy for Session {
    fn take<R: Borrow<Replica>>(
        &self,
        replicas: &[R],
        affinity: Affinity<'_>,
        now: Nanos,
    ) -> Option<Taken> {
        let Affinity::Session(session) = affinity else {
            return PowerOfTwo.take(replicas, affinity, now);
        };
        let of = |i: usize| replicas[i].borrow();
        let bound = LoadBound::of(replicas, self.factor, now);
        let may = |replica: &Replica| {
            bound.admits(replica.in_flight(), replica.weight())
                && !replica.is_ejected(now)
                && replica.has_room()
        };
        let rank = |&i: &usize| Self::rank(session, of(i));
        let first = (0..replicas.len()).max_by_key(rank)?;
        if may(of(first)) && of(first).try_take() {
            return Some(Taken::preferred(first, 0));
        }
        // Another worker may take the last permit of the chosen replica. It is full then, and not
        // chosen again.
        for _ in 0..replicas.len() {
            let next = (0..replicas.len())
                .filter(|&i| i != first && may(of(i)))
                .max_by_key(rank);
            let Some(next) = next else { break };
            if of(next).try_take() {
                return Some(Taken {
                    position: next,
                    preference: Preference::Spilled,
                    known: 0,
                });
            }
        }
        let least = PowerOfTwo.take(replicas, Affinity::None, now)?;
        Some(Taken {
            preference: Preference::Spilled,
            ..least
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    // proptest's prelude has a `Strategy`, too.
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use std::sync::Arc;
    use tailback_scaler::replica::weight::Weight;

    fn replicas(n: usize) -> Vec<Arc<Replica>> {
        (0..n)
            .map(|i| Arc::new(Replica::new("m", format!("10.0.0.{i}:80"), Some(8))))
            .collect()
    }

    /// The address of the replica that a proxy without load chooses.
    fn chosen(replicas: &[Arc<Replica>], session: u64) -> String {
        let strategy = Session::new(LoadFactor::default());
        let taken = strategy.take(replicas, Affinity::Session(session), Nanos(0));
        let replica = &replicas[taken.unwrap().position];
        replica.release();
        replica.authority().to_owned()
    }

    #[test]
    fn the_choice_is_the_same_on_every_proxy() {
        // The choice also holds if the replicas are in another order and have other names.
        let (here, mut there) = (replicas(8), replicas(8));
        there.reverse();
        for session in (0..200).map(|i| mix(i, 7)) {
            assert_eq!(chosen(&here, session), chosen(&there, session));
        }
    }

    #[test]
    fn sessions_are_spread_over_all_replicas() {
        let replicas = replicas(4);
        let mut counts = [0_u32; 4];
        for session in (0..4000).map(|i| mix(i, 7)) {
            let address = chosen(&replicas, session);
            let at = replicas.iter().position(|r| r.authority() == address);
            counts[at.unwrap()] += 1;
        }
        assert!(counts.iter().all(|n| (900..1100).contains(n)), "{counts:?}");
    }

    #[test]
    fn a_session_over_the_bound_goes_to_one_other_replica() {
        let replicas = replicas(3);
        let strategy = Session::new(LoadFactor::default());
        let take = || {
            strategy
                .take(&replicas, Affinity::Session(42), Nanos(0))
                .unwrap()
        };
        let all: Vec<_> = (0..9).map(|_| take()).collect();
        assert_eq!(all[0].preference, Preference::Met);
        assert!(
            all.iter()
                .any(|taken| taken.preference == Preference::Spilled)
        );
        let busiest = replicas.iter().map(|r| r.in_flight()).max();
        // 1.25 × 9 / 3, and two more
        assert!(busiest <= Some(6), "{busiest:?}");
    }

    proptest! {
        #[test]
        fn in_slow_start_each_session_moves_once_and_only_to_the_new_replica(session in 0..u64::MAX) {
            let replicas = replicas(4);
            let at = |percent| {
                replicas[0].set_weight(Weight::from_percent(percent));
                chosen(&replicas, session)
            };
            let path: Vec<_> = (1..=100).map(at).collect();
            let new = replicas[0].authority();
            prop_assert!(path.windows(2).all(|pair| pair[0] == pair[1] || pair[1] == new));
            prop_assert_eq!(path.last(), Some(&chosen(&self::replicas(4), session)));
        }

        #[test]
        fn sessions_move_only_if_their_replica_goes(session in 0..u64::MAX, n in 2usize..12, gone in 0usize..12) {
            let all = replicas(n);
            let gone = all[gone % n].authority().to_owned();
            let left: Vec<_> = all.iter().filter(|r| r.authority() != gone).cloned().collect();
            let before = chosen(&all, session);
            let after = chosen(&left, session);
            prop_assert!(before == after || before == gone);
        }
    }
}
