//! Load balancing: which of a model's replicas a request goes to.
//!
//! A strategy is one file here, a type that implements [`Strategy`], and a variant of
//! [`LoadBalancing`], which a Server's `loadBalancing` names. Each worker has a [`Balancer`] of its
//! own for each model, so that what a strategy remembers needs no synchronisation.

mod affinity;
mod bounded_load;
mod least_request;
mod load;
mod mix;
mod power_of_two;
mod prefix;
mod round_robin;
mod session;

use std::{borrow::Borrow, sync::Arc};

use tailback_config::LoadBalancing;
use tailback_scaler::{
    clock::Nanos,
    replica::{Replica, ReplicaId},
};

use crate::telemetry::metrics::Preference;

pub use self::{
    affinity::Affinity,
    bounded_load::LoadBound,
    mix::mix,
    prefix::{BlockCounts, Prefix, PrefixTable, chain},
    session::Session,
};
use self::{
    least_request::LeastRequest, load::load_of, power_of_two::PowerOfTwo, round_robin::RoundRobin,
};

/// A rule that chooses replicas.
trait Strategy {
    /// Takes a permit of one of `replicas`; `None` if none has room. Because of its `affinity`,
    /// the request may prefer some replicas. Replicas that are ejected at `now` get a request only
    /// if no other has room.
    fn take<R: Borrow<Replica>>(
        &self,
        replicas: &[R],
        affinity: Affinity<'_>,
        now: Nanos,
    ) -> Option<Taken>;
}

/// A replica of which a permit was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its position among the replicas.
    pub position: usize,
    /// Whether it is the replica that the request prefers.
    pub preference: Preference,
    /// How many blocks of the prompt it is known to have.
    pub known: usize,
}

impl Taken {
    fn any(position: usize) -> Self {
        Self {
            position,
            preference: Preference::None,
            known: 0,
        }
    }

    fn preferred(position: usize, known: usize) -> Self {
        Self {
            position,
            preference: Preference::Met,
            known,
        }
    }
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
    /// See [`Prefix`].
    Prefix(Prefix),
    /// See [`Session`].
    Session(Session),
}

impl Balancer {
    /// A balancer that has seen no request yet. `table` is the model's table of prompts, shared by
    /// its workers; `None`: the balancer makes its own if its strategy needs one.
    #[must_use]
    pub fn new(strategy: &LoadBalancing, table: Option<Arc<PrefixTable>>) -> Self {
        match strategy {
            LoadBalancing::PowerOfTwo => Self::PowerOfTwo(PowerOfTwo),
            LoadBalancing::LeastRequest => Self::LeastRequest(LeastRequest),
            LoadBalancing::RoundRobin => Self::RoundRobin(RoundRobin::default()),
            LoadBalancing::Prefix(prefix) => {
                let table = table.unwrap_or_else(|| Arc::new(PrefixTable::new(prefix.table_size)));
                Self::Prefix(Prefix::new(table, prefix.load_factor))
            }
            LoadBalancing::Session(session) => Self::Session(Session::new(session.load_factor)),
        }
    }

    /// Takes a permit of one of `replicas`; `None` if none has room. Because of its `affinity`,
    /// the request may prefer some replicas.
    pub fn take<R: Borrow<Replica>>(
        &self,
        replicas: &[R],
        affinity: Affinity<'_>,
        now: Nanos,
    ) -> Option<Taken> {
        let taken = match replicas {
            [] => None,
            [only] => only.borrow().try_take().then_some(Taken::any(0)),
            _ => match self {
                Self::PowerOfTwo(strategy) => strategy.take(replicas, affinity, now),
                Self::LeastRequest(strategy) => strategy.take(replicas, affinity, now),
                Self::RoundRobin(strategy) => strategy.take(replicas, affinity, now),
                Self::Prefix(strategy) => strategy.take(replicas, affinity, now),
                Self::Session(strategy) => strategy.take(replicas, affinity, now),
            },
        }?;
        self.granted(replicas[taken.position].borrow(), affinity, now);
        Some(taken)
    }

    /// Remembers that a request with this affinity was sent to `replica`, for similar requests.
    pub fn granted(&self, replica: &Replica, affinity: Affinity<'_>, now: Nanos) {
        if let (Self::Prefix(strategy), Affinity::Prefix(blocks)) = (self, affinity) {
            strategy.remember(blocks, replica, now);
        }
    }
}

/// For a request that failed at one replica: takes a permit of the least busy other one, and
/// returns its position; `None` if no other has room. It is the same for all strategies, because
/// it is rare.
pub fn take_other<R: Borrow<Replica>>(
    replicas: &[R],
    failed: &Replica,
    now: Nanos,
) -> Option<usize> {
    let of = |i: usize| replicas[i].borrow();
    let other = (0..replicas.len())
        .filter(|&i| !std::ptr::eq(of(i), failed) && of(i).has_room())
        .min_by_key(|&i| (of(i).is_ejected(now), load_of(of(i))))?;
    of(other).try_take().then_some(other)
}

/// Takes a permit for a held request, whose place in the queue has been announced
/// ([`Replica::try_take_announced`]): of the replica that it waits for, if that still exists, or
/// else of the least busy one. It is the same for all strategies, because mostly only one replica
/// has room. A replica in slow start is taken, too, if no other has room.
pub(super) fn take_announced(
    replicas: &[Arc<Replica>],
    awaited: Option<ReplicaId>,
) -> Option<Arc<Replica>> {
    let awaited = awaited.and_then(|id| replicas.iter().find(|replica| replica.id() == id));
    if let Some(awaited) = awaited {
        return awaited.try_take_announced().then(|| awaited.clone());
    }
    let now = Nanos::now();
    let load = |replica: &&Arc<Replica>| (replica.is_ejected(now), load_of(replica));
    let least = replicas
        .iter()
        .filter(|replica| replica.has_room())
        .min_by_key(load);
    // Replicas that look full are tried as well: `has_room` may miss a permit that was just
    // released, but this attempt does not.
    least
        .into_iter()
        .chain(replicas)
        .find(|replica| replica.try_take_announced())
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailback_scaler::replica::weight::Weight;

    /// All strategies, with all affinities that their requests may have.
    fn all() -> [(LoadBalancing, Affinity<'static>); 8] {
        let [two, least, robin, prefix, session] = LoadBalancing::all();
        [
            (two, Affinity::None),
            (least, Affinity::None),
            (robin, Affinity::None),
            (prefix.clone(), Affinity::None),
            (prefix.clone(), Affinity::Prefix(&[])),
            (prefix, Affinity::Prefix(&[7, 8, 9])),
            (session.clone(), Affinity::None),
            (session, Affinity::Session(7)),
        ]
    }

    fn position(
        balancer: &Balancer,
        replicas: &[Arc<Replica>],
        affinity: Affinity<'_>,
    ) -> Option<usize> {
        let taken = balancer.take(replicas, affinity, Nanos(50))?;
        Some(taken.position)
    }

    fn replicas(n: usize, concurrency: u32) -> Vec<Arc<Replica>> {
        (0..n)
            .map(|i| Arc::new(Replica::new(format!("m-{i}"), "h:1", Some(concurrency))))
            .collect()
    }

    #[test]
    fn every_permit_is_taken_and_no_more() {
        for (strategy, affinity) in all() {
            for n in 1..=4 {
                let (replicas, balancer) = (replicas(n, 4), Balancer::new(&strategy, None));
                for _ in 0..4 * n {
                    assert!(
                        position(&balancer, &replicas, affinity).is_some(),
                        "{strategy:?}"
                    );
                }
                assert_eq!(
                    position(&balancer, &replicas, affinity),
                    None,
                    "{strategy:?}"
                );
                assert!(replicas.iter().all(|r| r.in_flight() == 4), "{strategy:?}");
            }
            assert_eq!(
                position(&Balancer::new(&strategy, None), &[], affinity),
                None
            );
        }
    }

    #[test]
    fn load_stays_near_even() {
        let [two, least, robin, prefix, session] = LoadBalancing::all();
        for (strategy, affinity, most) in [
            (two, Affinity::None, 110),
            (least, Affinity::None, 100),
            (robin, Affinity::None, 100),
            // 1.25 times the mean, plus two.
            (prefix, Affinity::Prefix(&[7, 8, 9]), 127),
            (session, Affinity::Session(7), 127),
        ] {
            let (replicas, balancer) = (replicas(10, 1000), Balancer::new(&strategy, None));
            for _ in 0..1000 {
                position(&balancer, &replicas, affinity);
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
        for (strategy, affinity) in all() {
            let (replicas, balancer) = (replicas(3, 1), Balancer::new(&strategy, None));
            replicas[0].eject(Nanos(100));
            replicas[1].eject(Nanos(100));
            assert_eq!(
                position(&balancer, &replicas, affinity),
                Some(2),
                "{strategy:?}"
            );
            assert!(position(&balancer, &replicas, affinity).is_some());
            assert!(position(&balancer, &replicas, affinity).is_some());
        }
    }

    #[test]
    fn closed_replicas_get_nothing() {
        for (strategy, affinity) in all() {
            let (replicas, balancer) = (replicas(2, 8), Balancer::new(&strategy, None));
            replicas[0].close();
            for _ in 0..8 {
                assert_eq!(
                    position(&balancer, &replicas, affinity),
                    Some(1),
                    "{strategy:?}"
                );
            }
            assert_eq!(
                position(&balancer, &replicas, affinity),
                None,
                "{strategy:?}"
            );
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
            assert_eq!(take_announced(&replicas, None).unwrap().name(), expected);
        }
        assert!(take_announced(&replicas, None).is_none());
    }

    #[test]
    fn held_requests_and_those_that_failed_elsewhere_go_to_a_replica_in_slow_start_if_no_other_has_room()
     {
        let replicas = replicas(2, 2);
        replicas[0].set_weight(Weight::from_percent(10));
        let mut names: Vec<_> = (0..4)
            .map(|_| take_announced(&replicas, None).unwrap().name().to_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["m-0", "m-0", "m-1", "m-1"]);
        replicas[0].release();
        assert_eq!(take_other(&replicas, &replicas[1], Nanos(0)), Some(0));
    }

    #[test]
    fn a_held_request_that_waits_for_one_replica_gets_no_other_while_that_is_there() {
        let replicas = replicas(2, 1);
        let first = Some(replicas[0].id());
        assert_eq!(take_announced(&replicas, first).unwrap().name(), "m-0");
        assert!(take_announced(&replicas, first).is_none(), "m-1 has room");
        let gone = take_announced(&replicas[1..], first);
        assert_eq!(gone.unwrap().name(), "m-1");
    }
}
