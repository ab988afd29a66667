//! Least request: of all replicas, the one with the fewest requests in flight. As even as can be,
//! at a cost that grows with the number of replicas.

use std::borrow::Borrow;

use tailback_scaler::{clock::Nanos, replica::Replica};

use super::{Affinity, Strategy, Taken, load::load_of};

/// The replica with the fewest requests; of several, any.
#[derive(Debug, Default)]
pub struct LeastRequest;

impl Strategy for LeastRequest {
    fn take<R: Borrow<Replica>>(
        &self,
        replicas: &[R],
        _: Affinity<'_>,
        now: Nanos,
    ) -> Option<Taken> {
        // Starting at a random one, so that workers that choose at the same time choose different
        // ones.
        let first = fastrand::usize(..replicas.len());
        let of = |i: usize| replicas[i].borrow();
        let by_load = |&i: &usize| (of(i).is_ejected(now), load_of(of(i)));
        // Another worker may take the last permit of the chosen replica. It is full then, and not
        // chosen again.
        for _ in 0..replicas.len() {
            let least = (first..replicas.len())
                .chain(0..first)
                .filter(|&i| of(i).has_room())
                .min_by_key(by_load)?;
            if of(least).try_take() {
                return Some(Taken::any(least));
            }
        }
        None
    }
}
