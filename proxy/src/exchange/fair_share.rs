//! Fair shares of a worker's time for large bodies, and for connections on which much arrives at once.
//! After each share, a body waits until the runtime has polled the sockets; then the next body in the
//! queue passes one share. So a small request waits for at most one share, not for one of each large
//! body. Connections wait in a queue of their own: on them, small requests wait as well.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    iter,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
};

use smallvec::SmallVec;

use super::rounds::in_each_round;

/// Bytes of bodies that pass before a body has to wait.
pub(super) const SHARE: usize = 256 * 1024;
/// Bytes that may come on a connection at once before it has to wait: many may begin at once.
const FIRST_OF_CONNECTION: usize = 16 * 1024;
/// As much as for a body, but for more connections at a time, so that each waits a shorter time.
const CONNECTIONS_AT_ONCE: usize = 4;
const SHARE_OF_CONNECTION: usize = SHARE / CONNECTIONS_AT_ONCE;

/// Those that wait, in turn.
#[derive(Default)]
struct Waiting {
    bodies: VecDeque<Weak<dyn AsRef<FairShare>>>,
    connections: VecDeque<Weak<dyn AsRef<FairShare>>>,
}

thread_local! {
    static WAITING: RefCell<Waiting> = RefCell::default();
    /// Whether the task that grants shares is running.
    static GRANTING: Cell<bool> = const { Cell::new(false) };
}

/// How much more of its bodies one request may pass before it has to wait, or how much more may be
/// read from one connection.
#[derive(Debug)]
pub struct FairShare {
    /// In bytes.
    left: Cell<usize>,
    kind: Kind,
    /// Woken at the next share. The request's body and the response's may belong to different
    /// tasks.
    wakers: RefCell<Vec<Waker>>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// The bodies of a request and of its response.
    Bodies,
    /// What arrives on a connection.
    Connection,
}

impl Kind {
    /// The bytes of a share.
    fn share(self) -> usize {
        match self {
            Self::Bodies => SHARE,
            Self::Connection => SHARE_OF_CONNECTION,
        }
    }
}

impl Default for FairShare {
    fn default() -> Self {
        Self::new(Kind::Bodies, SHARE)
    }
}

impl FairShare {
    /// The share of a connection, of what arrives on it.
    #[must_use]
    pub fn of_connection() -> Self {
        Self::new(Kind::Connection, FIRST_OF_CONNECTION)
    }

    fn new(kind: Kind, first: usize) -> Self {
        Self {
            left: Cell::new(first),
            kind,
            wakers: RefCell::default(),
        }
    }

    /// All that had arrived on the connection was read: only what comes at once has to wait.
    pub fn ran_dry(&self) {
        self.left.set(self.left.get().max(FIRST_OF_CONNECTION));
    }

    /// Counts `bytes` that have passed, in either direction.
    pub fn spend(&self, bytes: usize) {
        self.left.set(self.left.get().saturating_sub(bytes));
    }

    /// Starts a full share at once, for a new request.
    pub fn renew(&self) {
        self.left.set(self.kind.share());
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
            enqueue(owner, share.kind);
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

fn enqueue(owner: Weak<dyn AsRef<FairShare>>, kind: Kind) {
    WAITING.with_borrow_mut(|waiting| match kind {
        Kind::Bodies => waiting.bodies.push_back(owner),
        Kind::Connection => waiting.connections.push_back(owner),
    });
    in_each_round(&GRANTING, grant_in_turn);
}

/// Grants a share to one body and some connections. Returns whether there were any.
fn grant_in_turn() -> bool {
    let owners: SmallVec<[_; 1 + CONNECTIONS_AT_ONCE]> = WAITING.with_borrow_mut(|waiting| {
        let body = next(&mut waiting.bodies).into_iter();
        let connections = (0..CONNECTIONS_AT_ONCE).map_while(|_| next(&mut waiting.connections));
        body.chain(connections).collect()
    });
    for owner in &owners {
        (**owner).as_ref().grant();
    }
    !owners.is_empty()
}

/// The first in the queue that is still there.
fn next(queue: &mut VecDeque<Weak<dyn AsRef<FairShare>>>) -> Option<Rc<dyn AsRef<FairShare>>> {
    iter::from_fn(|| queue.pop_front()).find_map(|owner| owner.upgrade())
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

    #[tokio::test]
    async fn connections_wait_for_each_other_and_not_for_bodies() {
        let bodies: Vec<_> = (0..50).map(|_| owner()).collect();
        let connections: Vec<_> = (0..2 * CONNECTIONS_AT_ONCE)
            .map(|_| Rc::new(FairShare::of_connection()))
            .collect();
        let gone = Rc::new(FairShare::of_connection());
        let cx = &mut Context::from_waker(Waker::noop());
        for body in &bodies {
            body.0.spend(SHARE);
            assert!(FairShare::poll(body, cx).is_pending());
        }
        for connection in [&gone].into_iter().chain(&connections) {
            connection.spend(FIRST_OF_CONNECTION);
            assert!(FairShare::poll(connection, cx).is_pending());
        }
        // It takes nobody's turn.
        drop(gone);
        let mut ready = Vec::new();
        while ready.last() != Some(&connections.len()) {
            tokio::task::yield_now().await;
            let granted = connections.iter().filter(|share| share.left.get() > 0);
            ready.push(granted.count());
        }
        ready.retain(|count| *count > 0);
        ready.dedup();
        assert_eq!(ready, [CONNECTIONS_AT_ONCE, 2 * CONNECTIONS_AT_ONCE]);
        assert!(bodies.iter().filter(|body| body.0.left.get() > 0).count() < 10);
    }

    #[tokio::test]
    async fn a_connection_that_is_read_to_its_end_does_not_wait() {
        let connection = Rc::new(FairShare::of_connection());
        let cx = &mut Context::from_waker(Waker::noop());
        for _ in 0..1_000 {
            connection.spend(FIRST_OF_CONNECTION - 1);
            assert!(FairShare::poll(&connection, cx).is_ready());
            connection.ran_dry();
        }
    }
}
