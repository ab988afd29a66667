//! Cancelling a request through the admin address.

use std::{
    cell::{Cell, RefCell},
    task::Waker,
};

/// Whether a request was cancelled, and the task to wake then.
#[derive(Debug, Default)]
pub(super) struct Cancellation {
    is_cancelled: Cell<bool>,
    /// The request's task on HTTP/2. On HTTP/1.1 it is the connection's task.
    task: RefCell<Option<Waker>>,
}

impl Cancellation {
    /// The request runs in its own task, which `waker` wakes.
    pub(super) fn runs_in(&self, waker: &Waker) {
        self.task.replace(Some(waker.clone()));
    }

    /// Whether the request was cancelled.
    pub(super) fn is_cancelled(&self) -> bool {
        self.is_cancelled.get()
    }

    /// Resets the state for the next request. Returns whether the previous one was cancelled.
    pub(super) fn renew(&self) -> bool {
        self.is_cancelled.take()
    }

    /// Cancels the request and wakes its task. Returns whether it has one.
    pub(super) fn cancel(&self) -> bool {
        self.is_cancelled.set(true);
        let task = self.task.borrow();
        if let Some(task) = &*task {
            task.wake_by_ref();
        }
        task.is_some()
    }
}
