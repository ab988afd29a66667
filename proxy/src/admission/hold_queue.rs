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

/// What a request that is to be held says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// The one replica that it waits for; `None`: any.
    pub awaited: Option<ReplicaId>,
    /// Its class and tenant.
    pub flow: Flow,
    /// A hash that stands for its model, if its model has classes or tenants: of a full queue, a request of
    /// the same model may then have to go for it, and its time in service is measured.
    pub ranked: Option<u64>,
}

/// What a held request gets in the end.
#[derive(Debug)]
pub enum Granted {
    /// A permit of this replica, which must be released with [`Pool::release`].
    Permit(Arc<Replica>, Option<InService>),
    /// Nothing: what it waited for does not come, for this reason.
    Refused(Arc<str>),
    /// Nothing: it had to go for another request, as the queue was full.
    Shed,
    /// Nothing: the pool has closed.
    Closed,
}

/// A request's time in service, which its tenant is charged for when it ends.
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

    /// Sends a waiter of the same model away, so that `held` can wait. `false`: none has to go.
    pub(super) fn shed_for(&mut self, held: &Held) -> bool {
        if held.ranked.is_none() {
            return false;
        }
        let is_of_model = |waiter: &Waiter| waiter.ranked == held.ranked;
        match self.waiters.shed(held.flow, is_of_model) {
            Some(waiter) => {
                // It may have left just now: then there is room as well.
                let _ = waiter.grant.send(Granted::Shed);
                true
            }
            None => false,
        }
    }

    /// Tells all waiters why they wait in vain.
    pub(super) fn fail_all(&mut self, why: &Arc<str>) {
        let take_all = |_: &Waiter| Offer::Taken(());
        while let Some((waiter, (), _)) = self.waiters.next(take_all) {
            // Fails only if that one has just left.
            let _ = waiter.grant.send(Granted::Refused(why.clone()));
        }
    }

    /// Charges a tenant for a request that has ended.
    pub(super) fn settle(&mut self, ended: InService, now: Nanos) {
        self.waiters.settle(ended.charge, now.since(ended.since));
    }

    /// Passes the permits that `take` gets on, each to the waiter whose turn it is. `take` gets the
    /// replica that a waiter waits for, if there is one. Those that wait for one that is full let
    /// others pass. Returns hosts of replicas that have free slots again, for which others wait.
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

/// A held request's place in the queue. Dropping it leaves the queue, and releases the permit if
/// one was granted meanwhile.
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

    /// Waits for the end of the wait.
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
