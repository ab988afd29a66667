//! Step 4: to a replica and back, again where that is safe.

use std::{rc::Rc, time::Duration};

use http::{Response, StatusCode, uri::Scheme};
use tailback_scaler::clock::Nanos;

use super::{
    Pipeline,
    admit::{Admitted, admit},
    upstream_request::{Keep, UpstreamRequest},
};
use crate::{
    exchange::{
        Exchange, Phase, RequestBodyState, StreamState,
        body::{BufferReservation, Received},
    },
    models::{ModelRef, worker},
    protocol::error::ProxyError,
    upstream::{Choice, ConnectError, PooledConnection, SendError, Wanted, connect},
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
/// `reservation`: the room for what is in memory of the body.
pub(super) async fn forward(
    pipeline: &Pipeline,
    state: &Rc<StreamState>,
    exchange: &mut Exchange,
    model: &ModelRef,
    now: Nanos,
    outgoing: &mut UpstreamRequest,
    mut reservation: BufferReservation<'_>,
) -> Result<(Response<Received>, PooledConnection), ProxyError> {
    let mut model = model.clone();
    let (mut unreachable, mut returned, mut choice) = (0, 0, Choice::Any);
    outgoing.read_early(state, &mut reservation).await?;
    loop {
        let permit = match admit(pipeline, state, &model, outgoing, &mut reservation, now).await? {
            Admitted::Permit(permit) => permit,
            Admitted::Moved => {
                if pipeline.lifecycle.is_stopping() {
                    return Err(ProxyError::ShuttingDown);
                }
                model = moved(pipeline, &model)?;
                continue;
            }
        };
        exchange.give(permit.replica().handle());
        let connector = &model.model.connector;
        let scheme = match connector.is_secure() {
            true => Scheme::HTTPS,
            false => Scheme::HTTP,
        };
        let name = || model.model.name().to_owned();
        outgoing.read_body(state, &mut reservation).await?;
        // Also without a body: from here on, it is the replica that is waited for.
        state.enter(Phase::Response);
        let wanted = Wanted {
            api: state.api.get(),
            upgrade: state.upgrade.borrow().is_some(),
            choice,
            timeout: state.deadline.limits().connect,
        };
        let connecting = connect(connector, &pipeline.connect, &permit, wanted);
        let mut upstream = match connecting.await {
            Ok(upstream) => upstream,
            Err(ConnectError::NoGrpc) => return Err(ProxyError::NoGrpc { model: name() }),
            Err(ConnectError::NoHttp2) => return Err(ProxyError::WrongProtocol { model: name() }),
            Err(error) => {
                let replica = &permit.replica().replica;
                tracing::debug!(%replica, %error, "cannot connect");
                replica.eject(Nanos::now() + SHUN);
                drop(permit);
                unreachable += 1;
                if unreachable == ATTEMPTS {
                    return Err(ProxyError::Unreachable { model: name() });
                }
                if unreachable > 1 {
                    tokio::time::sleep(FIRST_WAIT * (1 << (unreachable - 2))).await;
                }
                pipeline.connect.metrics.retries.increment(1);
                continue;
            }
        };
        let keep = if upstream.may_be_unprocessed() {
            Keep::Copy
        } else {
            Keep::Nothing
        };
        let (policy, api) = (&model.model.config.server.host_header, state.api.get());
        let host = (policy, permit.authority(api));
        let request = outgoing.request(state, &upstream, &scheme, host, keep);
        let error = match upstream.send(request).await {
            Ok(response) if is_unasked_switch(&response, state) => {
                return Err(ProxyError::UpstreamReset { model: name() });
            }
            Ok(response) => {
                let pooled = PooledConnection::new(permit, upstream);
                return Ok((response, pooled));
            }
            Err(error) => error,
        };
        if let Some(fault) = state.body.get().fault() {
            return Err(ProxyError::Unnamed(fault));
        }
        returned += 1;
        choice = Choice::NewConnection;
        match error {
            SendError::NotSent(_) if returned > RETURNS => {
                return Err(ProxyError::Unreachable { model: name() });
            }
            SendError::NotSent(request) => outgoing.take_back(*request),
            _ if state.body.get() == RequestBodyState::Broken(None) => {
                return Err(ProxyError::CallerGone);
            }
            SendError::Unprocessed(left) => {
                if let Some(body) = left {
                    outgoing.rewind(*body);
                }
                if !outgoing.is_replayable() || returned > RETURNS {
                    return Err(ProxyError::UpstreamReset { model: name() });
                }
            }
            SendError::HeaderTooLarge => {
                return Err(ProxyError::UpstreamHeader { model: name() });
            }
            SendError::Broken => return Err(ProxyError::UpstreamReset { model: name() }),
        }
        pipeline.connect.metrics.retries.increment(1);
    }
}

/// The model as a reload has made it, with another pool.
fn moved(pipeline: &Pipeline, before: &ModelRef) -> Result<ModelRef, ProxyError> {
    let name = before.model.name();
    let model = worker::table(&pipeline.routes).model(name).cloned();
    model
        .filter(|model| !Rc::ptr_eq(&model.pool, &before.pool))
        .ok_or_else(|| ProxyError::Unreachable {
            model: name.to_owned(),
        })
}

/// Another protocol, though nobody asked for one.
fn is_unasked_switch(response: &Response<Received>, state: &StreamState) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS && state.upgrade.borrow().is_none()
}
