//! Fair shares of a worker's time for large bodies, and for connections on which much arrives. After
//! each share, a body waits until the runtime has polled the sockets; then the next body in the queue
//! passes one share. So a small request waits for at most one share, not for one of each large body.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
};

use send_wrapper::SendWrapper;

/// Bytes of bodies that pass before a body has to wait.
pub(super) const SHARE: usize = 256 * 1024;

thread_local! {
    static WAITING: RefCell<VecDeque<Weak<dyn AsRef<FairShare>>>> = RefCell::default();
    /// Whether the task that grants shares is running.
    static GRANTING: Cell<bool> = const { Cell::new(false) };
}

/// How much more of its bodies one request may pass before it has to wait, or how much more may be
/// read from one connection.
#[derive(Debug)]
pub struct FairShare {
    /// In bytes.
    left: Cell<usize>,
    /// Woken at the next share. The request's body and the response's may belong to different
    /// tasks.
    wakers: RefCell<Vec<Waker>>,
}

impl Default for FairShare {
    fn default() -> Self {
        Self {
            left: Cell::new(SHARE),
            wakers: RefCell::default(),
        }
    }
}

impl FairShare {
    /// A share of which the first is so many bytes.
    #[must_use]
    pub fn with_first(bytes: usize) -> Self {
        let share = Self::default();
        share.left.set(bytes);
        share
    }

    /// Counts `bytes` that have passed, in either direction.
    pub fn spend(&self, bytes: usize) {
        self.left.set(self.left.get().saturating_sub(bytes));
    }

    /// Starts a full share at once, for a new request.
    pub fn renew(&self) {
        self.left.set(SHARE);
    }

    /// Ready while the share of `owner` lasts. Then pending until the next share is granted, even
    /// if polled again meanwhile.
    pub fn poll<T: AsRef<Self> + 'static>(owner: &Rc<T>, cx: &mut Context<'_>) -> Poll<()> {
        let share = (**owner).as_ref();
        if share.left.get() > 0 {
            return Poll::Ready(());
        }
        let mut wakers = share.wakers.borrow_mut();
        if wakers.is_empty() {
            let owner: Weak<T> = Rc::downgrade(owner);
            enqueue(owner);
        }
        if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn grant(&self) {
        self.renew();
        for waker in self.wakers.take() {
            waker.wake();
        }
    }
}

impl AsRef<FairShare> for FairShare {
    fn as_ref(&self) -> &Self {
        self
    }
}

fn enqueue(owner: Weak<dyn AsRef<FairShare>>) {
    WAITING.with_borrow_mut(|waiting| waiting.push_back(owner));
    if !GRANTING.replace(true) {
        // Workers do not steal tasks, so it stays on this thread.
        tokio::spawn(SendWrapper::new(grant_in_turn()));
    }
}

/// Grants one share at a time, until no body waits.
async fn grant_in_turn() {
    loop {
        // The runtime polls its sockets rarely while tasks are ready. A task that yields runs again
        // after that poll, and after the tasks that the poll has woken.
        tokio::task::yield_now().await;
        let Some(owner) = WAITING.with_borrow_mut(VecDeque::pop_front) else {
            GRANTING.set(false);
            return;
        };
        if let Some(owner) = owner.upgrade() {
            (*owner).as_ref().grant();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct Owner(FairShare);

    impl AsRef<FairShare> for Owner {
        fn as_ref(&self) -> &FairShare {
            &self.0
        }
    }

    fn owner() -> Rc<Owner> {
        Rc::new(Owner(FairShare::default()))
    }

    #[tokio::test]
    async fn large_bodies_take_turns_and_let_others_through() {
        let owners = [owner(), owner()];
        let cx = &mut Context::from_waker(Waker::noop());
        for owner in &owners {
            owner.0.spend(SHARE / 2);
            assert!(FairShare::poll(owner, cx).is_ready());
            owner.0.spend(SHARE);
        }
        let mut turns = Vec::new();
        while turns.len() < 6 {
            for (i, owner) in owners.iter().enumerate() {
                if FairShare::poll(owner, cx).is_ready() {
                    turns.push(i);
                    owner.0.spend(SHARE);
                    for _ in 0..16 {
                        assert!(FairShare::poll(owner, cx).is_pending());
                    }
                }
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(turns, [0, 1, 0, 1, 0, 1]);
    }

    #[tokio::test]
    async fn a_request_and_its_response_are_both_woken_at_their_share() {
        let owner = owner();
        owner.0.spend(SHARE);
        // The request's body and the response's, each in a task of its own.
        let tasks = tokio::task::LocalSet::new();
        for _ in 0..2 {
            let owner = owner.clone();
            tasks.spawn_local(std::future::poll_fn(move |cx| FairShare::poll(&owner, cx)));
        }
        let both = tokio::time::timeout(Duration::from_secs(10), tasks);
        both.await.expect("one was not woken");
    }
}
