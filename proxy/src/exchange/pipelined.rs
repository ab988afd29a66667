//! The requests of an HTTP/1.1 connection whose responses have not been sent completely. Callers
//! may send the next request before they have the response to the last one (pipelining).

use std::cell::Cell;

/// How many such requests there are, and the progress of their responses.
#[derive(Debug, Default)]
pub(super) struct Pipelined {
    /// Requests that were read and whose responses were not flushed completely.
    asked: Cell<u32>,
    /// Of these, requests whose responses were handed over to the last byte, but not flushed.
    handed_over: Cell<u32>,
    /// Whether the caller understands interim responses (1xx): not with HTTP/1.0.
    takes_interim: Cell<bool>,
}

impl Pipelined {
    /// The header of a request was read.
    pub(super) fn ask(&self, takes_interim: bool) {
        self.asked.set(self.asked.get().saturating_add(1));
        self.takes_interim.set(takes_interim);
    }

    /// A response was handed over to its last byte.
    pub(super) fn hand_over(&self) {
        self.handed_over
            .set(self.handed_over.get().saturating_add(1));
    }

    /// Everything handed over has been flushed.
    pub(super) fn flushed(&self) {
        let asked = self.asked.get();
        self.asked
            .set(asked.saturating_sub(self.handed_over.take()));
    }

    /// Whether there is any such request.
    pub(super) fn is_any(&self) -> bool {
        self.asked.get() > 0
    }

    /// Whether the responses of all requests were handed over.
    pub(super) fn are_handed_over(&self) -> bool {
        self.handed_over.get() >= self.asked.get()
    }

    /// Whether the caller understands interim responses.
    pub(super) fn takes_interim(&self) -> bool {
        self.takes_interim.get()
    }
}
