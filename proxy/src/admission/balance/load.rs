//! The load of a replica, by which strategies compare replicas.
//!
//! A replica in slow start has a weight below 100 %. It should have that share of the requests in
//! flight of others and, when there are few in flight, that share of the new requests.

use tailback_scaler::replica::{Replica, weight::Weight};

/// The load of a replica; smaller means less busy.
pub fn load_of(replica: &Replica) -> u64 {
    let weight = replica.weight();
    match weight.is_full() {
        true => weighted(replica.in_flight(), weight, true),
        false => weighted(replica.in_flight(), weight, has_turn(weight)),
    }
}

/// Whether the replica may get the next request: always with full weight; with a weight of n
/// percent, in n of 100 cases, at random.
pub fn has_turn(weight: Weight) -> bool {
    weight.is_full() || fastrand::u32(0..100) < weight.percent()
}

/// Requests in flight divided by the weight. If it is not the replica's turn, the next request is
/// included: otherwise an idle replica of small weight would be the least busy one for every
/// request that finds all replicas idle.
fn weighted(in_flight: u32, weight: Weight, in_turn: bool) -> u64 {
    const SCALE: u64 = 100 * 100;
    let in_flight = u64::from(in_flight) + u64::from(!in_turn);
    match weight.is_full() {
        true => in_flight * (SCALE / 100),
        false => in_flight * SCALE / u64::from(weight.percent()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tailback_config::LoadBalancing;
    use tailback_scaler::clock::Nanos;

    use super::*;
    use crate::admission::balance::{Affinity, Balancer};

    fn percent(percent: u32) -> Weight {
        Weight::from_percent(percent)
    }

    #[test]
    fn a_replica_of_a_tenth_is_as_busy_with_one_request_as_others_with_ten() {
        let full = |in_flight| weighted(in_flight, Weight::FULL, true);
        assert_eq!(weighted(1, percent(10), true), full(10));
        assert_eq!(weighted(0, percent(10), false), full(10));
        assert_eq!(weighted(0, percent(10), true), full(0));
        assert_eq!(weighted(3, percent(50), false), full(8));
    }

    proptest! {
        #[test]
        fn less_weight_or_more_in_flight_is_never_less_busy(
            in_flight in 0u32..1000,
            weight in 1u32..100,
            in_turn: bool,
        ) {
            let load = |in_flight, weight| weighted(in_flight, percent(weight), in_turn);
            prop_assert!(load(in_flight, weight) < load(in_flight + 1, weight));
            prop_assert!(load(in_flight, weight) >= load(in_flight, weight + 1));
        }
    }

    /// Four replicas, the first of which has this weight.
    fn four(first: Weight) -> Vec<Arc<Replica>> {
        let replica = |i| Arc::new(Replica::new("m", format!("10.0.0.{i}:80"), None));
        let replicas: Vec<_> = (0..4).map(replica).collect();
        replicas[0].set_weight(first);
        replicas
    }

    /// The affinity of the request with this hash.
    type AffinityOf = fn(&u64) -> Affinity<'_>;

    /// All strategies. Each request has its own session and prompt.
    fn all() -> [(LoadBalancing, AffinityOf); 5] {
        let [two, least, robin, prefix, session] = LoadBalancing::all();
        [
            (two, |_| Affinity::None),
            (least, |_| Affinity::None),
            (robin, |_| Affinity::None),
            (prefix, |hash| Affinity::Prefix(std::slice::from_ref(hash))),
            (session, |hash| Affinity::Session(*hash)),
        ]
    }

    #[test]
    fn with_little_in_flight_the_share_of_requests_grows_with_the_weight() {
        for (strategy, affinity) in all() {
            let share = |weight: u32| {
                let (replicas, balancer) = (four(percent(weight)), Balancer::new(&strategy, None));
                let requests = 8000;
                let hash = |i| rapidhash::v3::rapidhash_v3(&u64::to_le_bytes(i));
                let first = (0..requests).map(hash).filter(|hash| {
                    let taken = balancer.take(&replicas, affinity(hash), Nanos(0)).unwrap();
                    replicas[taken.position].release();
                    taken.position == 0
                });
                first.count() as f64 / requests as f64
            };
            for (weight, expected) in [(10, 0.1 / 3.1), (50, 0.5 / 3.5), (100, 0.25)] {
                let share = share(weight);
                assert!(
                    share > 0.5 * expected && share < 1.3 * expected,
                    "{strategy:?}: with a weight of {weight} %, {share} of the requests"
                );
            }
        }
    }

    #[test]
    fn with_much_in_flight_a_replica_has_its_share_of_it() {
        for (strategy, affinity) in all() {
            // Round robin does not balance by load.
            if strategy == LoadBalancing::RoundRobin {
                continue;
            }
            let (replicas, balancer) = (four(percent(20)), Balancer::new(&strategy, None));
            for i in 0..320_u64 {
                let hash = rapidhash::v3::rapidhash_v3(&i.to_le_bytes());
                assert!(
                    balancer
                        .take(&replicas, affinity(&hash), Nanos(0))
                        .is_some()
                );
            }
            // 20 and 100 each would be in proportion.
            let in_flight = replicas[0].in_flight();
            assert!((10..=30).contains(&in_flight), "{strategy:?}: {in_flight}");
        }
    }

    #[test]
    fn where_all_have_little_weight_all_slots_are_used_as_ever() {
        for (strategy, affinity) in all() {
            let replica = |i| Arc::new(Replica::new("m", format!("10.0.0.{i}:80"), Some(4)));
            let replicas: Vec<_> = (0..3).map(replica).collect();
            for (replica, weight) in replicas.iter().zip([1, 10, 99]) {
                replica.set_weight(percent(weight));
            }
            let balancer = Balancer::new(&strategy, None);
            for i in 0..12_u64 {
                assert!(balancer.take(&replicas, affinity(&i), Nanos(0)).is_some());
            }
            assert!(replicas.iter().all(|r| r.in_flight() == 4), "{strategy:?}");
        }
    }
}
