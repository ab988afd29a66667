//! HTTP/1.1 to callers, by hyper: one request at a time, all within the connection's own task.
//!
//! hyper's buffers and the future of a request are there only while they are needed: a connection
//! that has been idle for a while [rests](rest) without them.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, Version, header::CONNECTION};
use http_body::Body as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use pingora::{protocols::Stream, server::ShutdownWatch};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

use super::{
    Downstream, REST,
    drain::Drain,
    handler::{Handler, ResponseStream},
    io::WatchedIo,
    shared_body::BodySlot,
    shedding::Shedding,
    tunnel::Tunnel,
};
use crate::{
    exchange::body::{Received, body_waker},
    exchange::{Connection, LINGER, Phase, RequestBodyState, StreamState, Watchdog},
    net::{HYPER_HEADER_FIELDS, Transport},
    protocol::cors,
    status::Outcome,
};

/// Bytes that are read when a resting connection wakes.
const FIRST: usize = 1024;

/// What a connection has in common over its requests, awake or at rest.
struct Watch {
    state: Rc<StreamState>,
    watchdog: Watchdog,
    drain: Drain,
}

/// How a connection's requests came to an end.
enum End {
    /// The connection is idle, and goes on.
    Idle(WatchedIo),
    /// It becomes a tunnel.
    Tunnel(Tunnel, Transport<Stream>),
    /// The response is out, though more of its request may come.
    Left(WatchedIo),
    Closed,
}

/// Serves one connection to its end.
pub(super) async fn serve<H: Handler>(
    downstream: Arc<Downstream<H>>,
    io: Transport<Stream>,
    connection: Rc<Connection>,
    shutdown: ShutdownWatch,
) {
    // The first header block has begun to arrive.
    let state = Rc::new(StreamState::new(connection.clone(), Phase::Head));
    state.deadline.rest_after(REST);
    let mut io = WatchedIo::http1(io, state.clone(), downstream.settings.half_close);
    let mut watch = Watch {
        watchdog: Watchdog::new(state.deadline.at(&connection)),
        drain: Drain::new(shutdown.clone()),
        state,
    };
    loop {
        // In boxes, which are given back.
        match Box::pin(answer(&downstream, io, &mut watch)).await {
            End::Idle(idle) => match rest(&downstream, idle, &mut watch).await {
                Some(woken) => io = woken,
                None => return,
            },
            End::Tunnel(tunnel, io) => {
                let run = tunnel.run(io, &watch.state, shutdown, &downstream.lifecycle);
                return Box::pin(run).await;
            }
            End::Left(io) => return Box::pin(linger(io)).await,
            End::Closed => return,
        }
    }
}

/// Waits, without any buffer, until the caller sends something, which is put back to be read once
/// more. `None`: it has closed the connection, or it is time to.
async fn rest<H>(
    downstream: &Downstream<H>,
    mut io: WatchedIo,
    watch: &mut Watch,
) -> Option<WatchedIo> {
    let state = &watch.state;
    let footprint = &state.connection().footprint;
    footprint.resting.set(true);
    let sent = poll_fn(|cx| {
        if (watch.drain).begins(cx, &downstream.lifecycle, state.connection()) {
            state.deadline.linger();
        }
        let mut first = [0; FIRST];
        let mut first = ReadBuf::new(&mut first);
        match Pin::new(&mut io).poll_read(cx, &mut first) {
            Poll::Ready(Ok(())) if !first.filled().is_empty() => {
                return Poll::Ready(Some(Bytes::copy_from_slice(first.filled())));
            }
            Poll::Ready(_) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        if Shedding::of(state.connection(), &downstream.settings.overload) != Shedding::Nothing {
            return Poll::Ready(None);
        }
        state.poll_expired(&mut watch.watchdog, cx).map(|()| None)
    })
    .await;
    footprint.resting.set(false);
    if sent.is_none() {
        // Says so on TLS, too.
        let _ = tokio::time::timeout(LINGER, io.shutdown()).await;
    }
    sent.map(|sent| io.unread(sent))
}

/// Answers requests, until the connection is idle for long or ends.
async fn answer<H: Handler>(
    downstream: &Arc<Downstream<H>>,
    io: WatchedIo,
    watch: &mut Watch,
) -> End {
    let Watch {
        state,
        watchdog,
        drain,
    } = watch;
    let state = &*state;
    let connection = state.connection();
    let on_its_way = BodySlot::new();
    let tunnel = RefCell::new(None);
    let service = service_fn(|request: http::Request<Incoming>| {
        let (downstream, state) = (downstream.clone(), state.clone());
        let (on_its_way, tunnel) = (&on_its_way, &tunnel);
        let body = match request.body().is_end_stream() {
            true => RequestBodyState::Ended,
            false => RequestBodyState::Unread,
        };
        state.ask(body, request.version() == Version::HTTP_11);
        async move {
            let cors = downstream.settings.cors.as_ref();
            let origin = cors.and_then(|cors| cors.allowed(request.headers()));
            let request = request.map(Received::Http1);
            // Pinned here: `await` alone would move it, which has a price at its size.
            let handling = pin!(downstream.handler.handle(&state, request));
            let mut answer = handling.await;
            if let Some(origin) = origin {
                cors::allow(answer.headers_mut(), origin);
            }
            if state.connection().is_closing() {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(CONNECTION, close);
            }
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                tunnel.replace(answer.body_mut().take_tunnel());
            }
            Ok::<_, Infallible>(answer.map(|body| on_its_way.share(body)))
        }
    });
    let io = TokioIo::new(io);
    let mut builder = http1::Builder::new();
    builder.max_header_size(downstream.settings.limits.header_bytes);
    if downstream.settings.limits.header_fields != HYPER_HEADER_FIELDS {
        builder.max_headers(downstream.settings.limits.header_fields);
    }
    let mut http = builder.serve_connection(io, service);
    let own = poll_fn(|cx| Poll::Ready(body_waker(cx.waker()))).await;
    let left = poll_fn(|cx| {
        if drain.begins(cx, &downstream.lifecycle, connection) {
            state.deadline.linger();
        }
        loop {
            if let Poll::Ready(ended) = Pin::new(&mut http).poll(&mut Context::from_waker(&own)) {
                // True also if the response's body failed: it was sent as far as it went.
                let is_out = ended.as_ref().map_or_else(hyper::Error::is_user, |()| true);
                let is_left = is_out && state.body.get() != RequestBodyState::Ended;
                return Poll::Ready(Some(is_left));
            }
            if Shedding::of(connection, &downstream.settings.overload) == Shedding::Cut {
                connection.undelivered(Outcome::CallerSlow);
                return Poll::Ready(Some(false));
            }
            if connection.write_blocked.get() {
                // hyper does not poll the response body while its write is blocked. The request's
                // body must go on meanwhile, or the two sides could wait for each other.
                on_its_way.drive(cx);
            }
            if state.deadline.is_expired() {
                // The deadline has passed, and the handler did not answer in time.
                return Poll::Ready(Some(false));
            }
            if state.poll_expired(watchdog, cx).is_pending() {
                return match state.is_to_rest() {
                    true => Poll::Ready(None),
                    false => Poll::Pending,
                };
            }
            match state.phase() {
                // No request to answer, or it is too late to answer it.
                Phase::Idle | Phase::Head => return Poll::Ready(Some(false)),
                Phase::FirstByte | Phase::Streaming => {
                    connection.undelivered(state.blame());
                    return Poll::Ready(Some(false));
                }
                // The handler sees that the deadline has passed, and answers with an error.
                Phase::Held | Phase::Body | Phase::Response => {}
            }
        }
    })
    .await;

    let parts = http.into_parts();
    let io = parts.io.into_inner();
    match (tunnel.take(), left) {
        (Some(tunnel), _) => End::Tunnel(tunnel, io.into_inner().unread(parts.read_buf)),
        (None, None) => End::Idle(io.unread(parts.read_buf)),
        (None, Some(true)) => End::Left(io),
        (None, Some(false)) => End::Closed,
    }
}

/// Reads and drops what the caller still sends after its response is out, for a moment. Closing a
/// socket with unread bytes causes a reset, by which the caller could lose the response (RFC 9112,
/// 9.6).
async fn linger(mut io: WatchedIo) {
    // Sends FIN.
    let _ = io.shutdown().await;
    let mut dropped = vec![0; 16 * 1024];
    let all = async { while matches!(io.read(&mut dropped).await, Ok(1..)) {} };
    let _ = tokio::time::timeout(LINGER, all).await;
}
