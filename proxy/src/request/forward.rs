//! Step 4: to a replica and back, again where that is safe.

use std::{rc::Rc, time::Duration};

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use tailback_scaler::clock::Nanos;

use super::{
    admit::admit,
    outgoing::{Keep, Outgoing},
};
use crate::{
    answer::Failure,
    downstream::{Connection, DataPlane},
    upstream::{Lease, SendError, Slot, Upstream},
    worker::ModelRef,
};

/// A replica that cannot be reached is avoided for this long.
const SHUN: Duration = Duration::from_secs(1);
/// How often a replica is looked for that can be reached. Waits between, from
/// the second on, are 20 ms, 40 ms, …: long enough to see a crashed one replaced
/// in the pool by none, where the request is held.
const ATTEMPTS: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(20);

/// The head of a replica's response, the request's id, and what to give back
/// when the body has ended.
pub(super) async fn forward(
    plane: &DataPlane,
    state: &Rc<Connection>,
    model: &ModelRef,
    now: Nanos,
    request: Request<Incoming>,
) -> Result<(Response<Incoming>, HeaderValue, Lease), Failure> {
    let mut outgoing = Outgoing::new(request, &state.peer);
    let mut unreachable = 0;
    loop {
        let slot = admit(state, model, now).await?;
        outgoing.read_body(state).await?;
        let Some(mut upstream) = connect(plane, &slot).await else {
            drop(slot);
            unreachable += 1;
            if unreachable == ATTEMPTS {
                return Err(Failure::Unreachable {
                    model: model.model.name().to_owned(),
                });
            }
            if unreachable > 1 {
                tokio::time::sleep(FIRST_WAIT * (1 << (unreachable - 2))).await;
            }
            plane.metrics.retries.increment(1);
            continue;
        };
        let keep = if upstream.is_reused() {
            Keep::Copy
        } else {
            Keep::Nothing
        };
        let error = match upstream.send(outgoing.request(state, keep)).await {
            Ok(response) => {
                let lease = Lease::new(slot, upstream);
                return Ok((response, outgoing.request_id, lease));
            }
            Err(error) => error,
        };
        match error {
            SendError::NotSent(request) => outgoing.take_back(*request),
            _ if state.body_broken.get() => return Err(Failure::CallerGone),
            // Each of these uses up an idle connection: it ends.
            SendError::Stale if outgoing.is_replayable() => {}
            SendError::Stale | SendError::Broken => {
                return Err(Failure::UpstreamReset {
                    model: model.model.name().to_owned(),
                });
            }
        }
        plane.metrics.retries.increment(1);
    }
}

/// An idle connection to the slot's replica, or a new one.
async fn connect(plane: &DataPlane, slot: &Slot) -> Option<Upstream> {
    let replica = slot.replica();
    if let Some(upstream) = replica.idle.take() {
        return Some(upstream);
    }
    let authority = replica.replica.authority();
    match Upstream::open(authority, plane.timeouts.connect, &plane.limits).await {
        Ok(upstream) => {
            plane.metrics.connects.increment(1);
            Some(upstream)
        }
        Err(error) => {
            plane.metrics.connects_failed.increment(1);
            tracing::debug!(replica = %replica.replica, %error, "cannot connect");
            replica.replica.shun(Nanos::now() + SHUN);
            None
        }
    }
}
