//! The turns of large bodies: one of them passes a share each time that the
//! runtime has asked which sockets are ready, in the order in which they came to
//! wait. So whoever else is ready waits for one share, not for one of each body.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::{Rc, Weak},
};

use send_wrapper::SendWrapper;

use super::StreamState;

thread_local! {
    static WAITING: RefCell<VecDeque<Weak<StreamState>>> = RefCell::default();
    /// Somebody lets them through.
    static OPEN: Cell<bool> = const { Cell::new(false) };
}

/// Has `call` wait for its turn, which it is told by [`StreamState::begin_share`].
pub(super) fn wait(state: &Rc<StreamState>) {
    WAITING.with_borrow_mut(|waiting| waiting.push_back(Rc::downgrade(state)));
    if !OPEN.replace(true) {
        // Workers do not steal: it stays on this thread.
        tokio::spawn(SendWrapper::new(let_through()));
    }
}

/// Lets one through at a time, until none waits.
async fn let_through() {
    loop {
        // As long as a task is awake, the runtime asks for ready sockets only now
        // and then; who yields goes on after it has asked, and after those that
        // are ready.
        tokio::task::yield_now().await;
        let Some(state) = WAITING.with_borrow_mut(VecDeque::pop_front) else {
            OPEN.set(false);
            return;
        };
        if let Some(state) = state.upgrade() {
            state.begin_share();
        }
    }
}
