//! The line of held requests of a pool.

use std::{collections::VecDeque, sync::Arc};

use tailback_scaler::replica::Replica;
use tokio::sync::oneshot;

use super::Pool;

#[derive(Debug)]
struct Waiter {
    id: u64,
    grant: oneshot::Sender<Arc<Replica>>,
}

/// First come, first served. Ids grow along it.
#[derive(Debug, Default)]
pub(super) struct HoldQueue {
    waiters: VecDeque<Waiter>,
    next_id: u64,
    closed: bool,
}

impl HoldQueue {
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.waiters.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub(super) fn join(&mut self) -> (u64, oneshot::Receiver<Arc<Replica>>) {
        let id = self.next_id;
        self.next_id += 1;
        let (grant, granted) = oneshot::channel();
        self.waiters.push_back(Waiter { id, grant });
        (id, granted)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Sends all away; nobody joins any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.waiters.clear();
    }

    pub(super) fn leave(&mut self, id: u64) {
        if let Ok(place) = self.waiters.binary_search_by_key(&id, |waiter| waiter.id) {
            self.waiters.remove(place);
        }
    }

    /// Hands a permit of `replica` to the first in line; returns it if that one
    /// has just left.
    pub(super) fn grant(&mut self, replica: Arc<Replica>) -> Result<(), Arc<Replica>> {
        match self.waiters.pop_front() {
            Some(waiter) => waiter.grant.send(replica),
            None => Err(replica),
        }
    }
}

/// A place in line. Dropping it leaves the line, and gives back the permit if one
/// was granted meanwhile.
#[derive(Debug)]
#[must_use = "dropping it leaves the queue"]
pub struct Ticket {
    pool: Arc<Pool>,
    id: u64,
    granted: oneshot::Receiver<Arc<Replica>>,
}

impl Ticket {
    pub(super) fn new(pool: Arc<Pool>, id: u64, granted: oneshot::Receiver<Arc<Replica>>) -> Self {
        Self { pool, id, granted }
    }

    /// Waits for a permit of the returned replica, to be given back with
    /// [`Pool::release`]. `None`: the pool has closed.
    pub async fn granted(mut self) -> Option<Arc<Replica>> {
        (&mut self.granted).await.ok()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.granted.close();
        // A permit that was granted and not taken out by `granted`.
        if let Ok(replica) = self.granted.try_recv() {
            self.pool.release(&replica);
        } else {
            self.pool.leave(self.id);
        }
    }
}
