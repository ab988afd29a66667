//! A limit on the memory for buffered bodies of requests that wait for more of their body or for a
//! replica, of all models together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The limit, and how much of it is reserved.
#[derive(Debug)]
pub struct BufferBudget {
    most: usize,
    taken: AtomicUsize,
}

/// A part of the budget, empty at first. Dropping it returns the bytes.
#[derive(Debug)]
#[must_use = "dropping it gives it back"]
pub struct BufferReservation<'a> {
    budget: &'a BufferBudget,
    bytes: usize,
}

impl BufferBudget {
    /// A budget of `most` bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            taken: AtomicUsize::new(0),
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
    /// Grows the reservation to at least `bytes`. Returns `false`, and changes nothing, if the
    /// budget does not have as much left.
    #[must_use]
    pub fn cover(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return true;
        }
        let before = self.budget.taken.fetch_add(more, Ordering::Relaxed);
        let fits = before.saturating_add(more) <= self.budget.most;
        if fits {
            self.bytes = bytes;
        } else {
            self.budget.taken.fetch_sub(more, Ordering::Relaxed);
        }
        fits
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
        let budget = BufferBudget::new(10);
        let mut one = budget.reserve();
        assert!(one.cover(4) && one.cover(6));
        let mut other = budget.reserve();
        assert!(!other.cover(5));
        assert!(other.cover(4), "what was refused is not taken");
        assert!(one.cover(3) && !one.cover(7));
        assert!(budget.reserve().cover(0), "who has nothing needs no budget");
        drop(one);
        assert!(other.cover(10));
        other.clear();
        assert!(!budget.reserve().cover(usize::MAX));
        assert!(budget.reserve().cover(10));
    }
}
