//! HTTP/1.1 to callers, by hyper: one request at a time, all within the connection's own task.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
};

use http::{HeaderValue, StatusCode, Version, header::CONNECTION};
use http_body::Body as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use pingora::{protocols::Stream, server::ShutdownWatch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Downstream,
    drain::Drain,
    handler::{Handler, ResponseStream},
    io::WatchedIo,
    shared_body::BodySlot,
};
use crate::{
    exchange::body::Received,
    exchange::{Connection, LINGER, Phase, RequestBodyState, StreamState, Watchdog},
    net::{HYPER_HEADER_FIELDS, Transport},
    protocol::cors,
};

/// Serves one connection to its end.
pub(super) async fn serve<H: Handler>(
    downstream: Arc<Downstream<H>>,
    io: Transport<Stream>,
    connection: Rc<Connection>,
    shutdown: ShutdownWatch,
) {
    // The first header block has begun to arrive.
    let state = Rc::new(StreamState::new(connection.clone(), Phase::Head));
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
            let mut answer = downstream.handler.handle(&state, request).await;
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
    let io = TokioIo::new(WatchedIo::http1(
        io,
        state.clone(),
        downstream.settings.half_close,
    ));
    let mut builder = http1::Builder::new();
    builder.max_header_size(downstream.settings.limits.header_bytes);
    if downstream.settings.limits.header_fields != HYPER_HEADER_FIELDS {
        builder.max_headers(downstream.settings.limits.header_fields);
    }
    let mut http = builder.serve_connection(io, service);
    let mut watchdog = Watchdog::new(state.deadline.at(&connection));
    let mut drain = Drain::new(shutdown.clone());

    let left = poll_fn(|cx| {
        if drain.begins(cx, &downstream.lifecycle, &connection) {
            state.deadline.linger();
        }
        loop {
            if let Poll::Ready(ended) = Pin::new(&mut http).poll(cx) {
                // True also if the response's body failed: it was sent as far as it went.
                let is_out = ended.as_ref().map_or_else(hyper::Error::is_user, |()| true);
                return Poll::Ready(is_out && state.body.get() != RequestBodyState::Ended);
            }
            if connection.write_blocked.get() {
                // hyper does not poll the response body while its write is blocked. The request's
                // body must go on meanwhile, or the two sides could wait for each other.
                on_its_way.drive(cx);
            }
            if state.deadline.is_expired() {
                // The deadline has passed, and the handler did not answer in time.
                return Poll::Ready(false);
            }
            if state.poll_expired(&mut watchdog, cx).is_pending() {
                return Poll::Pending;
            }
            match state.phase() {
                // No request to answer, or it is too late to answer it.
                Phase::Idle | Phase::Head => return Poll::Ready(false),
                Phase::FirstByte | Phase::Streaming => {
                    connection.undelivered(state.blame());
                    return Poll::Ready(false);
                }
                // The handler sees that the deadline has passed, and answers with an error.
                Phase::Held | Phase::Body | Phase::Response => {}
            }
        }
    })
    .await;

    if let Some(tunnel) = tunnel.take() {
        let parts = http.into_parts();
        let io = parts.io.into_inner().into_inner().unread(parts.read_buf);
        tunnel
            .run(io, &state, shutdown, &downstream.lifecycle)
            .await;
    } else if left {
        linger(http.into_parts().io.into_inner()).await;
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
