//! How somebody ends a request on the admin address.

use std::{
    cell::{Cell, RefCell},
    task::Waker,
};

/// Whether a request was ended, and what is woken then.
#[derive(Debug, Default)]
pub(super) struct Cancellation {
    is_cancelled: Cell<bool>,
    /// What carries the request out, on HTTP/2. On HTTP/1.1, the connection's task does.
    task: RefCell<Option<Waker>>,
}

impl Cancellation {
    /// The request runs in a task of its own, which `waker` wakes.
    pub(super) fn runs_in(&self, waker: &Waker) {
        self.task.replace(Some(waker.clone()));
    }

    /// Whether somebody has ended the request.
    pub(super) fn is_cancelled(&self) -> bool {
        self.is_cancelled.get()
    }

    /// The next request begins. Returns whether the one before was ended.
    pub(super) fn renew(&self) -> bool {
        self.is_cancelled.take()
    }

    /// Ends the request, and wakes its task. Returns whether it has one.
    pub(super) fn cancel(&self) -> bool {
        self.is_cancelled.set(true);
        let task = self.task.borrow();
        if let Some(task) = &*task {
            task.wake_by_ref();
        }
        task.is_some()
    }
}
