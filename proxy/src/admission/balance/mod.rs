//! Load balancing: which of a model's replicas a request goes to.
//!
//! A strategy is one file here, a type that implements [`Strategy`], and a variant of
//! [`LoadBalancing`], which a Server's `loadBalancing` names. Each worker has a [`Balancer`] of its
//! own for each model, so that what a strategy remembers needs no synchronisation.

mod least_request;
mod power_of_two;
mod round_robin;

use std::{borrow::Borrow, sync::Arc};

use tailback_config::LoadBalancing;
use tailback_scaler::{clock::Nanos, replica::Replica};

use self::{least_request::LeastRequest, power_of_two::PowerOfTwo, round_robin::RoundRobin};

/// A rule that chooses replicas.
trait Strategy {
    /// Takes a permit of one of `replicas` and returns its position; `None` if none has room.
    /// Replicas that are ejected at `now` come last: they get a request only if no other has room.
    fn take<R: Borrow<Replica>>(&self, replicas: &[R], now: Nanos) -> Option<usize>;
}

/// The strategy of one model's server, on one worker.
#[derive(Debug)]
pub enum Balancer {
    /// See [`PowerOfTwo`].
    PowerOfTwo(PowerOfTwo),
    /// See [`LeastRequest`].
    LeastRequest(LeastRequest),
    /// See [`RoundRobin`].
    RoundRobin(RoundRobin),
}

impl Balancer {
    /// With nothing remembered yet.
    #[must_use]
    pub fn new(strategy: LoadBalancing) -> Self {
        match strategy {
            LoadBalancing::PowerOfTwo => Self::PowerOfTwo(PowerOfTwo),
            LoadBalancing::LeastRequest => Self::LeastRequest(LeastRequest),
            LoadBalancing::RoundRobin => Self::RoundRobin(RoundRobin::default()),
        }
    }

    /// Takes a permit of one of `replicas` and returns its position; `None` if none has room.
    pub fn take<R: Borrow<Replica>>(&self, replicas: &[R], now: Nanos) -> Option<usize> {
        match replicas {
            [] => None,
            [only] => only.borrow().try_take().then_some(0),
            _ => match self {
                Self::PowerOfTwo(strategy) => strategy.take(replicas, now),
                Self::LeastRequest(strategy) => strategy.take(replicas, now),
                Self::RoundRobin(strategy) => strategy.take(replicas, now),
            },
        }
    }
}

/// Takes a permit of another than `failed` and returns its position; `None` if no other has room.
/// Of several, the least busy, whatever the strategy is: this is rare.
pub fn take_other<R: Borrow<Replica>>(
    replicas: &[R],
    failed: &Replica,
    now: Nanos,
) -> Option<usize> {
    let of = |i: usize| replicas[i].borrow();
    let other = (0..replicas.len())
        .filter(|&i| !std::ptr::eq(of(i), failed) && of(i).has_room())
        .min_by_key(|&i| (of(i).is_ejected(now), of(i).in_flight()))?;
    of(other).try_take().then_some(other)
}

/// Takes a permit for a held request, whose place in the queue has been announced: of the least
/// busy replica, whatever the strategy is, as most often one alone has room.
pub(super) fn take_announced(replicas: &[Arc<Replica>]) -> Option<Arc<Replica>> {
    let now = Nanos::now();
    let load = |replica: &&Arc<Replica>| (replica.is_ejected(now), replica.in_flight());
    let least = replicas
        .iter()
        .filter(|replica| replica.has_room())
        .min_by_key(load);
    // What seems to be full is tried as well: only this attempt is sure to see every release.
    least
        .into_iter()
        .chain(replicas)
        .find(|replica| replica.try_take_announced())
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [LoadBalancing; 3] = LoadBalancing::ALL;

    fn replicas(n: usize, concurrency: u32) -> Vec<Arc<Replica>> {
        (0..n)
            .map(|i| Arc::new(Replica::new(format!("m-{i}"), "h:1", Some(concurrency))))
            .collect()
    }

    #[test]
    fn every_slot_is_filled_and_no_more() {
        for strategy in ALL {
            for n in 1..=4 {
                let (replicas, balancer) = (replicas(n, 4), Balancer::new(strategy));
                for _ in 0..4 * n {
                    assert!(balancer.take(&replicas, Nanos(0)).is_some(), "{strategy:?}");
                }
                assert_eq!(balancer.take(&replicas, Nanos(0)), None, "{strategy:?}");
                assert!(replicas.iter().all(|r| r.in_flight() == 4), "{strategy:?}");
            }
            assert_eq!(
                Balancer::new(strategy).take::<Arc<Replica>>(&[], Nanos(0)),
                None
            );
        }
    }

    #[test]
    fn load_stays_near_even() {
        for (strategy, most) in [
            (LoadBalancing::PowerOfTwo, 110),
            (LoadBalancing::LeastRequest, 100),
            (LoadBalancing::RoundRobin, 100),
        ] {
            let (replicas, balancer) = (replicas(10, 1000), Balancer::new(strategy));
            for _ in 0..1000 {
                balancer.take(&replicas, Nanos(0));
            }
            let busiest = replicas.iter().map(|r| r.in_flight()).max().unwrap();
            assert!(
                busiest <= most,
                "{strategy:?}: the busiest of 10 has {busiest} of 1000"
            );
        }
    }

    #[test]
    fn ejected_replicas_are_avoided_unless_there_is_nothing_else() {
        for strategy in ALL {
            let (replicas, balancer) = (replicas(3, 1), Balancer::new(strategy));
            replicas[0].eject(Nanos(100));
            replicas[1].eject(Nanos(100));
            assert_eq!(balancer.take(&replicas, Nanos(50)), Some(2), "{strategy:?}");
            assert!(balancer.take(&replicas, Nanos(50)).is_some());
            assert!(balancer.take(&replicas, Nanos(50)).is_some());
        }
    }

    #[test]
    fn closed_replicas_get_nothing() {
        for strategy in ALL {
            let (replicas, balancer) = (replicas(2, 8), Balancer::new(strategy));
            replicas[0].close();
            for _ in 0..8 {
                assert_eq!(balancer.take(&replicas, Nanos(0)), Some(1), "{strategy:?}");
            }
            assert_eq!(balancer.take(&replicas, Nanos(0)), None, "{strategy:?}");
        }
    }

    #[test]
    fn what_failed_at_one_replica_goes_to_the_least_busy_of_the_others() {
        let replicas = replicas(3, 1);
        assert!(replicas[1].try_take());
        let other = |failed: usize| take_other(&replicas, &replicas[failed], Nanos(0));
        assert_eq!(other(0), Some(2));
        assert_eq!(other(0), None, "the others are full");
        assert_eq!(other(2), Some(0));
        assert_eq!(take_other(&replicas[..1], &replicas[0], Nanos(0)), None);
    }

    #[test]
    fn held_requests_go_to_the_least_busy_replica_that_has_room() {
        let replicas = replicas(3, 2);
        assert!(replicas[0].try_take() && replicas[0].try_take());
        assert!(replicas[1].try_take());
        for expected in ["m-2", "m-1", "m-2"] {
            assert_eq!(take_announced(&replicas).unwrap().name(), expected);
        }
        assert!(take_announced(&replicas).is_none());
    }
}
