//! The queue of a pool's held requests.

use std::sync::Arc;

use tailback_scaler::{
    clock::Nanos,
    replica::{Replica, ReplicaId},
};
use tokio::sync::oneshot;

use super::{
    Pool,
    fair_queue::{Charge, FairQueue, Flow, Offer, WaiterId},
};

/// A request that is to be held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// The one replica that it waits for; `None`: any.
    pub awaited: Option<ReplicaId>,
    /// Its class and tenant.
    pub flow: Flow,
    /// A hash that identifies its model, if the model has classes or tenants. In a full queue,
    /// another request of this model may then be removed to make room, and its time in service is
    /// measured.
    pub ranked: Option<u64>,
}

/// The result of waiting.
#[derive(Debug)]
pub enum Granted {
    /// A permit of this replica, which must be released with [`Pool::release`].
    Permit(Arc<Replica>, Option<InService>),
    /// No permit: what it waited for will not come. With the reason.
    Refused(Arc<str>),
    /// No permit: it was removed from a full queue to make room for another.
    Shed,
    /// No permit: the pool has closed.
    Closed,
}

/// The measurement of a request's time in service, which is charged to its tenant at the end.
#[derive(Debug)]
pub struct InService {
    charge: Charge,
    since: Nanos,
}

#[derive(Debug)]
struct Waiter {
    awaited: Option<ReplicaId>,
    ranked: Option<u64>,
    grant: oneshot::Sender<Granted>,
}

/// Held requests, in the order of [`FairQueue`].
#[derive(Debug, Default)]
pub(super) struct HoldQueue {
    waiters: FairQueue<Waiter>,
    closed: bool,
}

impl HoldQueue {
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.waiters.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn join(&mut self, held: Held) -> (WaiterId, oneshot::Receiver<Granted>) {
        let (grant, granted) = oneshot::channel();
        let waiter = Waiter {
            awaited: held.awaited,
            ranked: held.ranked,
            grant,
        };
        (self.waiters.push(held.flow, waiter), granted)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Drops all waiters, and refuses new ones.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.waiters.clear();
    }

    pub(super) fn leave(&mut self, id: WaiterId) {
        self.waiters.remove(id);
    }

    /// Removes a waiter of the same model, to make room for `held`. `false`: none may be removed.
    pub(super) fn shed_for(&mut self, held: &Held) -> bool {
        if held.ranked.is_none() {
            return false;
        }
        let is_of_model = |waiter: &Waiter| waiter.ranked == held.ranked;
        match self.waiters.shed(held.flow, is_of_model) {
            Some(waiter) => {
                // It may have left just now, which makes room as well.
                let _ = waiter.grant.send(Granted::Shed);
                true
            }
            None => false,
        }
    }

    /// Ends the wait of all requests, with the reason `why`.
    pub(super) fn fail_all(&mut self, why: &Arc<str>) {
        let take_all = |_: &Waiter| Offer::Taken(());
        while let Some((waiter, (), _)) = self.waiters.next(take_all) {
            // Fails only if the waiter has just left.
            let _ = waiter.grant.send(Granted::Refused(why.clone()));
        }
    }

    /// Charges the tenant of a request that has ended.
    pub(super) fn settle(&mut self, ended: InService, now: Nanos) {
        self.waiters.settle(ended.charge, now.since(ended.since));
    }

    /// Grants permits from `take` to the waiters whose turn it is. `take` gets the replica that a
    /// waiter waits for, if it waits for a certain one; waiters for a full replica are skipped.
    /// Returns hosts that have free slots again and for which others wait.
    pub(super) fn serve(
        &mut self,
        take: impl Fn(Option<ReplicaId>) -> Option<Arc<Replica>>,
    ) -> Vec<Arc<Replica>> {
        let mut hosts = Vec::new();
        let offer = |waiter: &Waiter| match (take(waiter.awaited), waiter.awaited) {
            (Some(replica), _) => Offer::Taken(replica),
            (None, Some(_)) => Offer::Blocked,
            (None, None) => Offer::Exhausted,
        };
        while let Some((waiter, replica, charge)) = self.waiters.next(offer) {
            let in_service = waiter.ranked.map(|_| InService {
                charge,
                since: Nanos::now(),
            });
            let granted = Granted::Permit(replica, in_service);
            // A waiter that has just left does not take it.
            if let Err(Granted::Permit(unwanted, in_service)) = waiter.grant.send(granted) {
                hosts.extend(unwanted.release().cloned());
                if let Some(in_service) = in_service {
                    let now = in_service.since;
                    self.settle(in_service, now);
                }
            }
        }
        hosts
    }
}

/// A held request's place in the queue. Dropping it leaves the queue, and releases a permit that
/// was granted meanwhile.
#[derive(Debug)]
#[must_use = "dropping it leaves the queue"]
pub struct Ticket {
    pool: Arc<Pool>,
    id: WaiterId,
    granted: oneshot::Receiver<Granted>,
}

impl Ticket {
    pub(super) fn new(pool: Arc<Pool>, id: WaiterId, granted: oneshot::Receiver<Granted>) -> Self {
        Self { pool, id, granted }
    }

    /// Waits until the request is granted a permit or is refused.
    pub async fn granted(mut self) -> Granted {
        (&mut self.granted).await.unwrap_or(Granted::Closed)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.granted.close();
        match self.granted.try_recv() {
            // A permit was granted, but `granted` did not return it.
            Ok(Granted::Permit(replica, in_service)) => self.pool.release(&replica, in_service),
            Ok(Granted::Refused(_) | Granted::Shed | Granted::Closed) => {}
            Err(_) => self.pool.leave(self.id),
        }
    }
}
