//! Step 3: takes a permit of a replica, at once or after a wait.

use std::{borrow::Borrow, cell::Cell, rc::Rc};

use tailback_scaler::{clock::Nanos, ledger::Ledger};
use tokio::sync::Notify;

use super::{
    Pipeline,
    affinity::{count, granted},
    flow,
    retry_after::retry_after,
    stored_response::StoredResponse,
    upstream_request::UpstreamRequest,
};
use crate::{
    admission::{
        Granted, Held, NotQueued,
        balance::{self, Affinity},
    },
    api_keys::KeyUse,
    exchange::{Phase, StreamState, body::BufferReservation},
    models::ModelRef,
    overload::{self, Holder, Holding, Level, Shed, ShedKind},
    protocol::error::ProxyError,
    telemetry::metrics::Preference,
    upstream::{Permit, ReplicaRef},
};

/// The result of asking for a permit.
pub(super) enum Admitted {
    /// A permit.
    Permit(Permit),
    /// The pool has closed: after a reload, the model has another pool, or was removed.
    Moved,
}

/// Reasons to prefer or avoid certain replicas.
#[derive(Clone, Copy)]
pub(super) struct ReplicaHints<'a> {
    /// The request's affinity.
    pub affinity: Affinity<'a>,
    /// The stored response that the request is about. The replica that stores it has precedence
    /// over all other rules.
    pub stored: StoredResponse,
    /// A replica that has failed to answer the request.
    pub failed: Option<&'a ReplicaRef>,
    /// Its API key, if there are keys.
    pub key: Option<&'a KeyUse>,
    /// When it arrived: ejections are compared with this time.
    pub now: Nanos,
}

/// Takes a permit of one of the model's replicas, if possible not of the one that has failed.
/// While the request waits, `reservation` covers the buffered part of its body.
pub(super) async fn admit(
    pipeline: &Pipeline,
    state: &StreamState,
    model: &ModelRef,
    outgoing: &mut UpstreamRequest,
    reservation: &mut BufferReservation<'_>,
    hints: ReplicaHints<'_>,
) -> Result<Admitted, ProxyError> {
    let ReplicaHints {
        affinity,
        stored,
        failed,
        key,
        now,
    } = hints;
    let mut awaited = None;
    if let Some(id) = stored.replica().filter(|_| failed.is_none())
        && let Some(replica) = model.pool.replicas().iter().find(|r| r.replica.id() == id)
    {
        let is_taken = match stored {
            // A request that cancels a response must not wait for the end of that response.
            StoredResponse::Kept(_) => replica.replica.take_beyond(),
            _ => !model.pool.shared().has_waiters() && replica.replica.try_take(),
        };
        model.pool.shared().serve_overlooked();
        if is_taken {
            reservation.clear();
            let permit = Permit::taken(model.pool.clone(), replica.clone());
            return Ok(Admitted::Permit(permit));
        }
        awaited = Some(id);
    }
    // A new request must not overtake the held ones.
    if awaited.is_none() && !model.pool.shared().has_waiters() {
        let replicas = model.pool.replicas();
        let other = failed.and_then(|failed| balance::take_other(&replicas, failed.borrow(), now));
        if let Some(i) = &other {
            granted(model, affinity, &replicas[*i].replica, Preference::Spilled);
        }
        let taken = other.or_else(|| {
            let taken = model.balancer.take(&replicas, affinity, now)?;
            count(model, affinity, taken);
            Some(taken.position)
        });
        model.pool.shared().serve_overlooked();
        if let Some(i) = taken {
            reservation.clear();
            let permit = Permit::taken(model.pool.clone(), replicas[i].clone());
            return Ok(Admitted::Permit(permit));
        }
    }
    if !outgoing.may_wait {
        let name = model.model.name().to_owned();
        return Err(match model.pool.shared().size() == 0 {
            true => ProxyError::Asleep { model: name },
            false => ProxyError::Busy { model: name },
        });
    }
    // Boxed, because it is rare, and its state would enlarge every request's future.
    let request = Held {
        awaited,
        ..flow::held(model, outgoing.headers(), key)
    };
    let admitted = Box::pin(hold(pipeline, state, model, outgoing, reservation, request)).await;
    if let Ok(Admitted::Permit(permit)) = &admitted {
        granted(model, affinity, &permit.replica().replica, Preference::Held);
    }
    reservation.clear();
    admitted
}

/// A held request, for the overload manager.
#[derive(Debug)]
struct WaitingRequest {
    /// The number of buffered bytes of its body.
    body: Cell<usize>,
    is_to_go: Notify,
}

impl WaitingRequest {
    /// The approximate memory of a request without its body, in bytes.
    const ITSELF: u64 = 16 * 1024;
    /// A body of this many bytes counts as large.
    const LARGE: usize = 16 * 1024;

    /// A request with this many buffered bytes of its body.
    fn new(body: usize) -> Self {
        Self {
            body: Cell::new(body),
            is_to_go: Notify::new(),
        }
    }
}

impl Holder for WaitingRequest {
    fn holding(&self, number: u64) -> Option<Holding> {
        let body = self.body.get();
        let kind = match body >= Self::LARGE {
            true => ShedKind::LargeBody,
            false => ShedKind::Held,
        };
        Some(Holding {
            kind,
            bytes: Self::ITSELF + body as u64,
            number,
        })
    }

    fn shed(&self) {
        self.is_to_go.notify_one();
    }
}

/// Waits in the hold queue.
async fn hold(
    pipeline: &Pipeline,
    state: &StreamState,
    model: &ModelRef,
    outgoing: &mut UpstreamRequest,
    reservation: &mut BufferReservation<'_>,
    request: Held,
) -> Result<Admitted, ProxyError> {
    state.enter(Phase::Held);
    let hold = &model.model.config.hold;
    let limit = hold.queue.value;
    if model.model.config.replicas.max == 0 {
        let model = model.model.name().to_owned();
        return Err(ProxyError::SwitchedOff { model });
    }
    let overload = &pipeline.overload;
    if overload.is_at(Level::Exhausted) {
        overload.count(Shed::HeldRequest);
        return Err(ProxyError::MemoryShort);
    }
    reservation.cover(outgoing.buffered())?;
    let waiting = Rc::new(WaitingRequest::new(outgoing.buffered()));
    let _registered = overload::register(waiting.clone());
    let mut held = None;
    let is_full = || model.model.ledger.held() >= u64::from(limit);
    let joined = || held = Some(Ledger::hold(model.clone()));
    let full = || ProxyError::QueueFull {
        model: model.model.name().to_owned(),
        limit,
        retry_after: retry_after(&pipeline.status, &model.model),
    };
    let ticket = match model.pool.shared().join(request, is_full, joined) {
        Ok(ticket) => ticket,
        Err(NotQueued::Closed) => return Ok(Admitted::Moved),
        Err(NotQueued::Full) => return Err(full()),
    };
    let granted = tokio::time::timeout(hold.deadline.value, ticket.granted());
    let granted = tokio::select! {
        biased;
        granted = granted => granted,
        error = outgoing.read_ahead(reservation, |body| waiting.body.set(body)) => return Err(error),
        () = waiting.is_to_go.notified() => {
            overload.count(Shed::HeldRequest);
            return Err(ProxyError::MemoryShort);
        }
    };
    match granted {
        Ok(Granted::Permit(replica, in_service)) => {
            let replica = model.pool.own(&replica);
            let permit = Permit::granted(model.pool.clone(), replica, in_service);
            Ok(Admitted::Permit(permit))
        }
        Ok(Granted::Refused(why)) => Err(ProxyError::NotLoaded {
            model: model.model.name().to_owned(),
            why: why.to_string(),
            retry_after: retry_after(&pipeline.status, &model.model),
        }),
        Ok(Granted::Shed) => Err(full()),
        Ok(Granted::Closed) => Ok(Admitted::Moved),
        Err(_) => Err(ProxyError::HeldTooLong {
            model: model.model.name().to_owned(),
            seconds: hold.deadline.value.as_secs_f64(),
            retry_after: retry_after(&pipeline.status, &model.model),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_grows_while_its_request_is_held_is_large_once_it_is() {
        let waiting = WaitingRequest::new(100);
        let holding = || waiting.holding(7).map(|own| (own.kind, own.bytes));
        assert_eq!(
            holding(),
            Some((ShedKind::Held, WaitingRequest::ITSELF + 100))
        );
        waiting.body.set(60_000);
        assert_eq!(
            holding(),
            Some((ShedKind::LargeBody, WaitingRequest::ITSELF + 60_000))
        );
    }
}
