//! Step 4: to a replica and back, again where that is safe.

use std::{rc::Rc, time::Duration};

use http::{Response, StatusCode, uri::Scheme};
use tailback_scaler::clock::Nanos;

use super::{
    admit::{Admitted, admit},
    outgoing::{Keep, Outgoing},
};
use crate::{
    admit::Part,
    answer::Failure,
    body::Received,
    downstream::{Call, DataPlane, Exchange, Phase},
    upstream::{Choice, DialError, Lease, SendError},
    worker::{self, ModelRef},
};

/// A replica that cannot be reached is avoided for this long.
const SHUN: Duration = Duration::from_secs(1);
/// How often a replica is looked for that can be reached. Waits between, from
/// the second on, are 20 ms, 40 ms, …: long enough to see a crashed one replaced
/// in the pool by none, where the request is held.
const ATTEMPTS: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(20);
/// How often a request may come back because no replica processed it. On
/// HTTP/1.1, where that is a guess, the second time is on a new connection, so
/// that what kills one replica is not handed to all.
const RETURNS: u32 = 3;

/// The head of a replica's response, and what to give back when its body has ended.
/// `part`: the room for what is in memory of the body.
pub(super) async fn forward(
    plane: &DataPlane,
    call: &Rc<Call>,
    exchange: &mut Exchange,
    model: &ModelRef,
    now: Nanos,
    outgoing: &mut Outgoing,
    mut part: Part<'_>,
) -> Result<(Response<Received>, Lease), Failure> {
    let mut model = model.clone();
    let (mut unreachable, mut returned, mut choice) = (0, 0, Choice::Any);
    outgoing.read_early(call, &mut part).await?;
    loop {
        let slot = match admit(call, &model, outgoing, &mut part, now).await? {
            Admitted::Slot(slot) => slot,
            Admitted::Moved => {
                model = moved(plane, &model)?;
                continue;
            }
        };
        exchange.give(&slot);
        let dial = &model.model.dial;
        let scheme = match dial.is_secure() {
            true => Scheme::HTTPS,
            false => Scheme::HTTP,
        };
        let name = || model.model.name().to_owned();
        outgoing.read_body(call, &mut part).await?;
        // Also without a body: from here on, it is the replica that is waited for.
        call.enter(Phase::Response);
        let mut upstream = match dial.connect(plane, &slot, call, choice).await {
            Ok(upstream) => upstream,
            Err(DialError::NoGrpc) => return Err(Failure::NoGrpc { model: name() }),
            Err(DialError::NoHttp2) => return Err(Failure::WrongProtocol { model: name() }),
            Err(error) => {
                let replica = &slot.replica().replica;
                tracing::debug!(%replica, %error, "cannot connect");
                replica.eject(Nanos::now() + SHUN);
                drop(slot);
                unreachable += 1;
                if unreachable == ATTEMPTS {
                    return Err(Failure::Unreachable { model: name() });
                }
                if unreachable > 1 {
                    tokio::time::sleep(FIRST_WAIT * (1 << (unreachable - 2))).await;
                }
                plane.metrics.retries.increment(1);
                continue;
            }
        };
        let keep = if upstream.may_be_unprocessed() {
            Keep::Copy
        } else {
            Keep::Nothing
        };
        let request = outgoing.request(call, &upstream, &scheme, keep);
        let error = match upstream.send(request).await {
            Ok(response) if is_unasked_switch(&response, call) => {
                return Err(Failure::UpstreamReset { model: name() });
            }
            Ok(response) => {
                let lease = Lease::new(slot, upstream);
                return Ok((response, lease));
            }
            Err(error) => error,
        };
        if let Some(fault) = call.body_fault.get() {
            return Err(Failure::Unnamed(fault));
        }
        returned += 1;
        choice = Choice::Fresh;
        match error {
            SendError::NotSent(_) if returned > RETURNS => {
                return Err(Failure::Unreachable { model: name() });
            }
            SendError::NotSent(request) => outgoing.take_back(*request),
            _ if call.body_broken.get() => return Err(Failure::CallerGone),
            SendError::Unprocessed(left) => {
                if let Some(body) = left {
                    outgoing.rewind(*body);
                }
                if !outgoing.is_replayable() || returned > RETURNS {
                    return Err(Failure::UpstreamReset { model: name() });
                }
            }
            SendError::Broken => return Err(Failure::UpstreamReset { model: name() }),
        }
        plane.metrics.retries.increment(1);
    }
}

/// The model as a reload has made it, with another pool.
fn moved(plane: &DataPlane, before: &ModelRef) -> Result<ModelRef, Failure> {
    let name = before.model.name();
    let model = worker::table(&plane.tables).model(name).cloned();
    model
        .filter(|model| !Rc::ptr_eq(&model.pool, &before.pool))
        .ok_or_else(|| Failure::Unreachable {
            model: name.to_owned(),
        })
}

/// Another protocol, though nobody asked for one.
fn is_unasked_switch(response: &Response<Received>, call: &Call) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS && call.upgrade.borrow().is_none()
}
