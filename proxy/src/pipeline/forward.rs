//! Step 4: sends the request to a replica until there is a response, with retries where they are
//! safe or configured.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::StatusCode;
use http_body::Body;
use tailback_config::RetryCause;
use tailback_scaler::{clock::Nanos, replica::health::Failure};

use super::{
    Pipeline,
    admit::{Admitted, ReplicaHints, admit},
    affinity,
    replay::{Replays, Verdict, cause_of},
    replica_answer::ReplicaAnswer,
    stored_response::StoredResponse,
    upstream_request::UpstreamRequest,
};
use crate::{
    exchange::{
        Exchange, Phase, ReplicaHandle, RequestBodyState, StreamState,
        body::{BufferReservation, Received},
    },
    message::Response,
    models::{ModelRef, worker},
    overload::Level,
    protocol::error::ProxyError,
    status::RetryReason,
    upstream::{Choice, ConnectError, PooledConnection, ReplicaRef, SendError, Wanted, connect},
};

/// Awaits `body`, which is read from the caller. Returns `true` if it was pending more than once.
/// On HTTP/1.1, even a body that has arrived is pending once, because the first poll requests it.
async fn waited<T>(mut body: Pin<&mut impl Future<Output = T>>) -> (T, bool) {
    let mut pending = 0_u32;
    poll_fn(|cx| {
        let polled = body.as_mut().poll(cx);
        pending = pending.saturating_add(u32::from(polled.is_pending()));
        polled.map(|output| (output, pending > 1))
    })
    .await
}

/// Sends the request, and returns the header of a replica's response, with the connection, which
/// must be given back after the response's body. `reservation` covers the buffered part of the
/// request's body.
pub(super) async fn forward(
    pipeline: &Pipeline,
    state: &Rc<StreamState>,
    exchange: &mut Exchange,
    model: &ModelRef,
    (now, stored): (Nanos, StoredResponse),
    outgoing: &mut UpstreamRequest,
    mut reservation: BufferReservation<'_>,
) -> Result<(Response<Received>, PooledConnection), ProxyError> {
    let mut model = model.clone();
    let mut replays = Replays::default();
    let mut failed: Option<ReplicaRef> = None;
    if let Some(budget) = &model.retry_budget {
        budget.deposit();
    }
    let affinity = {
        let early = pin!(async {
            outgoing.read_early(state, &mut reservation).await?;
            affinity::read(&model, outgoing, state, &mut reservation).await
        });
        let (affinity, was_wait) = waited(early).await;
        exchange.ready(if was_wait { Nanos::now() } else { now });
        affinity?
    };
    loop {
        exchange.asks();
        let admitted = admit(
            pipeline,
            state,
            &model,
            outgoing,
            &mut reservation,
            ReplicaHints {
                affinity: affinity.get(),
                stored,
                failed: failed.as_ref(),
                key: exchange.key(),
                now,
            },
        );
        let admitted = admitted.await;
        exchange.admitted(state.phase() == Phase::Held);
        let permit = match admitted? {
            Admitted::Permit(permit) => permit,
            Admitted::Moved => {
                if pipeline.lifecycle.is_stopping() {
                    return Err(ProxyError::ShuttingDown);
                }
                model = moved(pipeline, &model)?;
                continue;
            }
        };
        if let Some(parent) = exchange.give(permit.replica().handle()) {
            outgoing.set_trace_parent(parent);
        }
        let connector = &model.model.connector;
        let scheme = connector.scheme();
        let name = || model.model.name().to_owned();
        outgoing.read_body(state, &mut reservation).await?;
        // Also for requests without a body: from here on, the replica is waited for.
        state.enter(Phase::Response);
        let wanted = Wanted {
            method: state.api.get().method_type(),
            upgrade: state.upgrade.borrow().is_some(),
            choice: match outgoing.is_streamed() {
                _ if replays.any() => Choice::NewConnection,
                true => Choice::Busy,
                false => Choice::Any,
            },
            timeout: state.deadline.limits().connect,
        };
        let connecting = connect(connector, &pipeline.connect, &permit, wanted);
        let mut upstream = match connecting.await {
            Ok(upstream) => upstream,
            Err(ConnectError::NoGrpc) => return Err(ProxyError::NoGrpc { model: name() }),
            Err(ConnectError::NoHttp2) => return Err(ProxyError::WrongProtocol { model: name() }),
            Err(error) => {
                let replica = permit.replica();
                tracing::debug!(replica = %replica.replica, %error, "cannot connect");
                replica.failed(Failure::Connect);
                failed = Some(replica.clone());
                drop(permit);
                let Some(wait) = replays.after_unreachable() else {
                    return Err(ProxyError::Unreachable { model: name() });
                };
                again_after(exchange, RetryReason::Connect, wait).await;
                continue;
            }
        };
        let policy = &model.model.config.server.host_header;
        let method = state.api.get().method_type();
        let body = outgoing.body(state, !pipeline.overload.is_at(Level::Scarce));
        let sending = {
            let upgrade = state.upgrade.borrow();
            let head = outgoing.head(upgrade.as_ref(), policy, permit.authority(method));
            upstream.send(head, &scheme, body)
        };
        let retry = model.model.config.retry.value.as_ref();
        let retry = retry.zip(model.retry_budget.as_ref());
        match sending.await {
            Ok(response) if is_unasked_switch(&response, state) => {
                return Err(ProxyError::UpstreamReset { model: name() });
            }
            Ok(response) => {
                exchange.responded(response.status());
                let pooled = PooledConnection::new(permit, upstream);
                pooled.replica().replica.health().responded();
                let answer = ReplicaAnswer::of(&response, method);
                // The result of a probe does not count for the replica's health.
                if outgoing.may_wait {
                    answer.note(pooled.replica());
                }
                if let (ReplicaAnswer::BackOff(_), Some(cause)) =
                    (answer, cause_of(&response, method))
                    && outgoing.is_replayable()
                    && other_takes_requests(&model, pooled.replica())
                    && replays.after_back_off()
                {
                    failed = Some(pooled.replica().clone());
                    discard(response.into_body(), pooled, state);
                    if !outgoing.rewind() {
                        return Err(ProxyError::UpstreamReset { model: name() });
                    }
                    again(exchange, RetryReason::Cause(cause));
                    continue;
                }
                let cause = retry.and_then(|_| cause_of(&response, method));
                let Some(cause) = cause.filter(|_| outgoing.is_replayable()) else {
                    return Ok((response, pooled));
                };
                match replays.after(cause, outgoing.method(), retry, Nanos::now()) {
                    Verdict::Again(wait) => {
                        failed = Some(pooled.replica().clone());
                        discard(response.into_body(), pooled, state);
                        if !outgoing.rewind() {
                            return Err(ProxyError::UpstreamReset { model: name() });
                        }
                        again_after(exchange, RetryReason::Cause(cause), wait).await;
                    }
                    Verdict::OverBudget => {
                        exchange.retry_refused();
                        return Ok((response, pooled));
                    }
                    Verdict::No => return Ok((response, pooled)),
                }
            }
            Err(error) => {
                failed = Some(permit.replica().clone());
                // Returns the unsent rest of the body.
                drop((upstream, permit));
                if let Some(fault) = state.body.get().fault() {
                    return Err(ProxyError::Unnamed(fault));
                }
                if state.body.get() == RequestBodyState::Broken(None) {
                    return Err(ProxyError::CallerGone);
                }
                let is_replayable = outgoing.rewind();
                match error {
                    SendError::NotSent | SendError::Unprocessed
                        if is_replayable && replays.after_return() =>
                    {
                        failed = None;
                        again(exchange, RetryReason::Unprocessed);
                        continue;
                    }
                    SendError::HeaderTooLarge => {
                        return Err(ProxyError::UpstreamHeader { model: name() });
                    }
                    SendError::NotSent => {
                        return Err(ProxyError::Unreachable { model: name() });
                    }
                    SendError::Unprocessed => {}
                    SendError::Broken => exchange.replica_failed(Failure::Reset),
                }
                let lost = || ProxyError::UpstreamReset { model: name() };
                if !is_replayable {
                    return Err(lost());
                }
                match replays.after(RetryCause::Reset, outgoing.method(), retry, Nanos::now()) {
                    Verdict::Again(wait) => {
                        let reason = RetryReason::Cause(RetryCause::Reset);
                        again_after(exchange, reason, wait).await;
                    }
                    Verdict::OverBudget => {
                        exchange.retry_refused();
                        return Err(lost());
                    }
                    Verdict::No => return Err(lost()),
                }
            }
        }
    }
}

/// Whether a replica other than `but` gets requests, and has not asked for a pause.
fn other_takes_requests(model: &ModelRef, but: &ReplicaRef) -> bool {
    let now = Nanos::now();
    let is_other = |replica: &ReplicaRef| {
        !Arc::ptr_eq(&replica.replica, &but.replica) && !replica.replica.is_ejected(now)
    };
    model.pool.replicas().iter().any(is_other)
}

/// Records the failed attempt, and counts an immediate retry.
fn again(exchange: &mut Exchange, reason: RetryReason) {
    exchange.give_up(reason);
    exchange.retry(reason);
}

/// Records the failed attempt, and waits for `wait` before the retry is counted, because the
/// caller may leave meanwhile.
async fn again_after(exchange: &mut Exchange, reason: RetryReason, wait: Duration) {
    exchange.give_up(reason);
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    exchange.retry(reason);
}

/// Drops a response that is not forwarded to the caller. If it has arrived completely, its
/// connection is kept for the next request.
fn discard(mut body: Received, mut pooled: PooledConnection, state: &StreamState) {
    /// Most pieces read of such a response: more than error pages have.
    const PIECES: usize = 16;
    if state.body.get() != RequestBodyState::Ended {
        return;
    }
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..PIECES {
        if body.is_end_stream() {
            return pooled.give_back();
        }
        match Pin::new(&mut body).poll_frame(&mut cx) {
            Poll::Ready(None) => return pooled.give_back(),
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(_))) => return,
            Poll::Pending => pooled.drive(&mut cx),
        }
    }
}

/// The model after a reload that gave it another pool.
fn moved(pipeline: &Pipeline, before: &ModelRef) -> Result<ModelRef, ProxyError> {
    let name = before.model.name();
    let model = worker::table(&pipeline.routes).model(name).cloned();
    model
        .filter(|model| !Rc::ptr_eq(&model.pool, &before.pool))
        .ok_or_else(|| ProxyError::Unreachable {
            model: name.to_owned(),
        })
}

/// Whether the replica switches protocols although the request did not ask for it.
fn is_unasked_switch(response: &Response<Received>, state: &StreamState) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS && state.upgrade.borrow().is_none()
}
