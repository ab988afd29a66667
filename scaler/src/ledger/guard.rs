//! RAII guards, which count each request out exactly once, however it ends.

use super::{Ledger, SpanRef};
use crate::clock::Nanos;

/// A request in flight. Dropping the guard counts the request out: after the last byte of its
/// response, after an error, when the caller disconnects, or on a panic.
#[derive(Debug)]
#[must_use = "dropping it completes the request"]
pub struct InFlight<L: AsRef<Ledger>>(Option<L>);

/// A request that waits for a replica. Dropping the guard ends the wait but not the request.
#[derive(Debug)]
#[must_use = "dropping it ends the wait"]
pub struct Held<L: AsRef<Ledger>>(L);

impl<L: AsRef<Ledger>> InFlight<L> {
    pub(super) fn new(ledger: L) -> Self {
        Self(Some(ledger))
    }

    /// The request's body is there at `now`, so the request can go to a replica. For a request
    /// that [arrived unready](Ledger::arrive_unready); `span` is the request's.
    #[inline]
    pub fn ready(&self, now: Nanos, span: impl FnOnce() -> Option<SpanRef>) {
        if let Some(ledger) = &self.0 {
            ledger.as_ref().ready(now, span);
        }
    }

    /// Counts the request out at `now`, if it [arrived unready](Ledger::arrive_unready) and its
    /// body has not come.
    pub fn leave_unready_at(mut self, now: Nanos) {
        if let Some(ledger) = self.0.take() {
            ledger.as_ref().leave_unready(now);
        }
    }

    /// Counts the request out at `now`. Saves a reading of the clock if the caller has one.
    pub fn complete_at(mut self, now: Nanos) {
        if let Some(ledger) = self.0.take() {
            ledger.as_ref().count_out(now);
        }
    }
}

impl<L: AsRef<Ledger>> Drop for InFlight<L> {
    fn drop(&mut self) {
        if let Some(ledger) = &self.0 {
            ledger.as_ref().count_out(Nanos::now());
        }
    }
}

impl<L: AsRef<Ledger>> Held<L> {
    pub(super) fn new(ledger: L) -> Self {
        Self(ledger)
    }
}

impl<L: AsRef<Ledger>> Drop for Held<L> {
    fn drop(&mut self) {
        self.0.as_ref().release_at(Nanos::now());
    }
}
