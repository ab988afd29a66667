//! The requests of an HTTP/1.1 connection whose answers are not all out: callers may send the next
//! request before they have the answer to the last one (pipelining).

use std::cell::Cell;

/// How many requests there are, and how far their answers have come.
#[derive(Debug, Default)]
pub(super) struct Pipelined {
    /// Requests whose heads were read, and whose answers are not all out.
    asked: Cell<u32>,
    /// Of those, answers that were handed over to their last bytes, and not flushed.
    handed_over: Cell<u32>,
    /// Whether the caller reads interim answers (1xx): not by HTTP/1.0.
    takes_interim: Cell<bool>,
}

impl Pipelined {
    /// The head of a request was read.
    pub(super) fn ask(&self, takes_interim: bool) {
        self.asked.set(self.asked.get().saturating_add(1));
        self.takes_interim.set(takes_interim);
    }

    /// An answer was handed over to its last byte.
    pub(super) fn hand_over(&self) {
        self.handed_over
            .set(self.handed_over.get().saturating_add(1));
    }

    /// What was handed over has been flushed.
    pub(super) fn flushed(&self) {
        let asked = self.asked.get();
        self.asked
            .set(asked.saturating_sub(self.handed_over.take()));
    }

    /// Whether there is any.
    pub(super) fn is_any(&self) -> bool {
        self.asked.get() > 0
    }

    /// Whether the answers of all were handed over.
    pub(super) fn are_handed_over(&self) -> bool {
        self.handed_over.get() >= self.asked.get()
    }

    /// Whether the caller reads interim answers.
    pub(super) fn takes_interim(&self) -> bool {
        self.takes_interim.get()
    }
}
