//! Power of two choices: of two replicas picked at random, the one with fewer
//! requests in flight (Mitzenmacher, "The Power of Two Choices in Randomized
//! Load Balancing", 2001). Nearly as even as the least busy of all, at the cost of a look at two.

use std::borrow::Borrow;

use tailback_scaler::{clock::Nanos, replica::Replica};

use super::{Affinity, LeastRequest, Strategy, Taken, load::load_of};

/// The less busy one of two. If it is ejected or has no room, the least busy one of all.
#[derive(Debug, Default)]
pub struct PowerOfTwo;

impl Strategy for PowerOfTwo {
    fn take<R: Borrow<Replica>>(
        &self,
        replicas: &[R],
        _: Affinity<'_>,
        now: Nanos,
    ) -> Option<Taken> {
        let (a, b) = two_of(replicas.len());
        let of = |i: usize| replicas[i].borrow();
        let less_busy = if load_of(of(b)) < load_of(of(a)) {
            b
        } else {
            a
        };
        if !of(less_busy).is_ejected(now) && of(less_busy).try_take() {
            return Some(Taken::any(less_busy));
        }
        LeastRequest.take(replicas, Affinity::None, now)
    }
}

/// Two different positions below `n`, which is at least 2.
fn two_of(n: usize) -> (usize, usize) {
    let a = fastrand::usize(..n);
    let b = fastrand::usize(..n - 1);
    (a, if b >= a { b + 1 } else { b })
}

#[cfg(test)]
mod tests {
    use super::two_of;

    #[test]
    fn the_two_differ_and_every_pair_comes_up() {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            let (a, b) = two_of(3);
            assert!(a != b && a < 3 && b < 3);
            seen.insert((a, b));
        }
        assert_eq!(seen.len(), 6);
    }
}
