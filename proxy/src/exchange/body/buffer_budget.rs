//! A limit on the memory for buffered bodies of all models' requests that wait for the rest of the
//! body or for a replica. It grants less while the memory of the process is short.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::overload::{Level, Overload, Shed};

/// Reservations of up to this many bytes are granted even while memory is short: small bodies that
/// arrive in several pieces.
const SMALL: usize = 8 * 1024;

/// The limit, and how much of it is reserved.
#[derive(Debug)]
pub struct BufferBudget {
    most: usize,
    taken: AtomicUsize,
    overload: Arc<Overload>,
    /// From this level on, only small reservations are granted.
    closes_at: Level,
    /// What is counted when memory pressure refuses a reservation.
    counts: Option<Shed>,
}

/// Why there is no memory for a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// The budget is used up.
    #[error("the budget for buffered bodies is used up")]
    Budget,
    /// The memory of the process is short.
    #[error("the memory of the process is short")]
    Memory,
}

/// A part of the budget, empty at first. Dropping it returns the bytes.
#[derive(Debug)]
#[must_use = "dropping it gives it back"]
pub struct BufferReservation<'a> {
    budget: &'a BufferBudget,
    bytes: usize,
}

impl BufferBudget {
    /// A budget of `most` bytes for bodies that wait.
    #[must_use]
    pub fn new(most: usize, overload: Arc<Overload>) -> Self {
        Self {
            most,
            taken: AtomicUsize::new(0),
            overload,
            closes_at: Level::Tight,
            counts: Some(Shed::Body),
        }
    }

    /// A budget of `most` bytes for memory that only improves speed: it grants nothing as soon as
    /// memory is short.
    #[must_use]
    pub fn of_surplus(most: usize, overload: Arc<Overload>) -> Self {
        Self {
            closes_at: Level::Scarce,
            counts: None,
            ..Self::new(most, overload)
        }
    }

    /// An empty reservation, which costs nothing.
    pub fn reserve(&self) -> BufferReservation<'_> {
        BufferReservation {
            budget: self,
            bytes: 0,
        }
    }
}

impl BufferReservation<'_> {
    /// Grows the reservation to at least `bytes`.
    ///
    /// # Errors
    /// If the budget has too little left. The reservation is then unchanged.
    pub fn cover(&mut self, bytes: usize) -> Result<(), Shortage> {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return Ok(());
        }
        let budget = self.budget;
        if bytes > SMALL && budget.overload.is_at(budget.closes_at) {
            if let Some(shed) = budget.counts {
                budget.overload.count(shed);
            }
            return Err(Shortage::Memory);
        }
        let before = self.budget.taken.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > self.budget.most {
            self.budget.taken.fetch_sub(more, Ordering::Relaxed);
            return Err(Shortage::Budget);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// The whole budget in bytes.
    #[must_use]
    pub fn most(&self) -> usize {
        self.budget.most
    }

    /// Returns all bytes: the request no longer waits.
    pub fn clear(&mut self) {
        if self.bytes > 0 {
            self.budget.taken.fetch_sub(self.bytes, Ordering::Relaxed);
            self.bytes = 0;
        }
    }
}

impl Drop for BufferReservation<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_do_not_exceed_the_budget_and_return_their_bytes() {
        let budget = BufferBudget::new(10, Arc::default());
        let mut one = budget.reserve();
        let fits =
            |reservation: &mut BufferReservation<'_>, bytes| reservation.cover(bytes).is_ok();
        assert!(fits(&mut one, 4) && fits(&mut one, 6));
        let mut other = budget.reserve();
        assert_eq!(other.cover(5), Err(Shortage::Budget));
        assert!(fits(&mut other, 4), "what was refused is not taken");
        assert!(fits(&mut one, 3) && !fits(&mut one, 7));
        assert!(
            fits(&mut budget.reserve(), 0),
            "who has nothing needs no budget"
        );
        drop(one);
        assert!(fits(&mut other, 10));
        other.clear();
        assert!(!fits(&mut budget.reserve(), usize::MAX));
        assert!(fits(&mut budget.reserve(), 10));
    }

    #[test]
    fn while_memory_is_short_only_small_bodies_may_wait_and_what_was_granted_stays() {
        let overload = Arc::new(Overload::new(100));
        let bodies = BufferBudget::new(1 << 20, overload.clone());
        let surplus = BufferBudget::of_surplus(1 << 20, overload.clone());
        let mut granted = bodies.reserve();
        assert_eq!(granted.cover(2 * SMALL), Ok(()));
        let tries = |budget: &BufferBudget| [SMALL, SMALL + 1].map(|n| budget.reserve().cover(n));
        for (used, of_bodies, of_surplus) in [
            (50, Ok(()), Ok(())),
            (85, Ok(()), Err(Shortage::Memory)),
            (90, Err(Shortage::Memory), Err(Shortage::Memory)),
            (50, Ok(()), Ok(())),
        ] {
            overload.looked(used);
            assert_eq!(tries(&bodies), [Ok(()), of_bodies], "at {used} %");
            assert_eq!(tries(&surplus), [Ok(()), of_surplus], "at {used} %");
            assert_eq!(granted.cover(2 * SMALL), Ok(()));
        }
    }
}
