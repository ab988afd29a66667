//! The queue of a pool's held requests.

use std::{collections::VecDeque, sync::Arc};

use tailback_scaler::replica::{Replica, ReplicaId};
use tokio::sync::oneshot;

use super::Pool;

type Grants = oneshot::Receiver<Result<Arc<Replica>, Arc<str>>>;

#[derive(Debug)]
struct Waiter {
    id: u64,
    /// The one replica that it waits for; `None`: any.
    awaited: Option<ReplicaId>,
    grant: oneshot::Sender<Result<Arc<Replica>, Arc<str>>>,
}

/// How a wait has ended.
#[derive(Clone, Debug)]
pub enum Granted {
    /// With a permit of this replica, which must be released with [`Pool::release`].
    Permit(Arc<Replica>),
    /// Without one: what the request waited for does not come, for this reason.
    Refused(Arc<str>),
    /// Without one: the pool has closed.
    Closed,
}

/// First come, first served. Ids increase along the queue.
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

    pub(super) fn join(&mut self, awaited: Option<ReplicaId>) -> (u64, Grants) {
        let id = self.next_id;
        self.next_id += 1;
        let (grant, granted) = oneshot::channel();
        self.waiters.push_back(Waiter { id, awaited, grant });
        (id, granted)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Drops all waiters, and refuses new ones.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.waiters.clear();
    }

    pub(super) fn leave(&mut self, id: u64) {
        if let Ok(place) = self.waiters.binary_search_by_key(&id, |waiter| waiter.id) {
            self.waiters.remove(place);
        }
    }

    /// Passes the permits that `take` gets on, first come, first served. `take` gets the replica
    /// that a waiter waits for, if there is one. Those that wait for one that is full let others
    /// pass.
    pub(super) fn serve(&mut self, take: impl Fn(Option<ReplicaId>) -> Option<Arc<Replica>>) {
        let mut place = 0;
        while let Some(waiter) = self.waiters.get(place) {
            match (take(waiter.awaited), waiter.awaited) {
                (Some(replica), _) => {
                    let waiter = self.waiters.remove(place);
                    // A waiter that has just left does not take it.
                    let unsent = waiter.map(|waiter| waiter.grant.send(Ok(replica)));
                    if let Some(Err(Ok(unwanted))) = unsent {
                        unwanted.release();
                    }
                }
                (None, Some(_)) => place += 1,
                (None, None) => break,
            }
        }
    }

    /// Tells all waiters why they wait in vain.
    pub(super) fn refuse(&mut self, why: &Arc<str>) {
        for waiter in self.waiters.drain(..) {
            // Fails only if that one has just left.
            let _ = waiter.grant.send(Err(why.clone()));
        }
    }
}

/// A held request's place in the queue. Dropping it leaves the queue, and releases the permit if
/// one was granted meanwhile.
#[derive(Debug)]
#[must_use = "dropping it leaves the queue"]
pub struct Ticket {
    pool: Arc<Pool>,
    id: u64,
    granted: Grants,
}

impl Ticket {
    pub(super) fn new(pool: Arc<Pool>, id: u64, granted: Grants) -> Self {
        Self { pool, id, granted }
    }

    /// Waits for the end of the wait.
    pub async fn granted(mut self) -> Granted {
        match (&mut self.granted).await {
            Ok(Ok(replica)) => Granted::Permit(replica),
            Ok(Err(why)) => Granted::Refused(why),
            Err(_) => Granted::Closed,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.granted.close();
        // A permit was granted, but `granted` did not return it.
        match self.granted.try_recv() {
            Ok(Ok(replica)) => self.pool.release(&replica),
            Ok(Err(_)) | Err(_) => self.pool.leave(self.id),
        }
    }
}
