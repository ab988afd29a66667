//! Round robin: one replica after the other, whatever they have in flight. Each gets the same
//! number of requests, which is even only where all take about as long.

use std::{borrow::Borrow, cell::Cell};

use tailback_scaler::{clock::Nanos, replica::Replica};

use super::{Affinity, Strategy, Taken, load::has_turn};

/// The next replica in turn that has room.
#[derive(Debug)]
pub struct RoundRobin {
    /// The position of the next replica, modulo their number.
    next: Cell<usize>,
}

impl Default for RoundRobin {
    /// Begins at a random position, so that workers that start together begin with different
    /// replicas.
    fn default() -> Self {
        Self {
            next: Cell::new(fastrand::usize(..)),
        }
    }
}

impl Strategy for RoundRobin {
    fn take<R: Borrow<Replica>>(
        &self,
        replicas: &[R],
        _: Affinity<'_>,
        now: Nanos,
    ) -> Option<Taken> {
        let first = self.next.get() % replicas.len();
        let in_turn = || (first..replicas.len()).chain(0..first);
        let of = |i: usize| replicas[i].borrow();
        let healthy = |i: usize| !of(i).is_ejected(now);
        let taken = in_turn()
            .find(|&i| healthy(i) && has_turn(of(i).weight()) && of(i).try_take())
            // Replicas in slow start that were skipped.
            .or_else(|| in_turn().find(|&i| healthy(i) && of(i).try_take()))
            .or_else(|| in_turn().find(|&i| of(i).try_take()))?;
        self.next.set(taken + 1);
        Some(Taken::any(taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_turn_and_full_ones_are_passed_over() {
        let replicas = [3, 1, 3].map(|limit| Replica::new("m", "h:1", Some(limit)));
        let strategy = RoundRobin { next: Cell::new(0) };
        let order: Vec<_> = (0..7)
            .filter_map(|_| strategy.take(&replicas.each_ref(), Affinity::None, Nanos(0)))
            .map(|taken| taken.position)
            .collect();
        assert_eq!(order, [0, 1, 2, 0, 2, 0, 2]);
    }
}
