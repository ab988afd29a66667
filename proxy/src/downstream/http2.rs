//! HTTP/2 to callers. Each stream has its own state; all of them run within the connection's task,
//! so that the end of the connection ends its requests at once.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::Poll,
};

use bytes::Bytes;
use futures_util::{Stream as _, stream::FuturesUnordered};
use h2::{
    Reason, RecvStream, SendStream,
    server::{Builder, SendResponse},
};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header::EXPECT};
use pingora::{protocols::Stream, server::ShutdownWatch};

use super::{
    Downstream, REST,
    drain::Drain,
    handler::{Handler, ResponseStream},
    io::WatchedIo,
    receive_window::{self, ReceiveWindow},
    shedding::Shedding,
};
use crate::{
    exchange::{
        Connection, Deadline, LINGER, Phase, StreamState, Watchdog,
        body::{BodyForwarder, ForwardError, Received},
    },
    net::{
        Cork, Transport, date,
        keep_alive::{CALLER_SILENCE, Pinger},
    },
    protocol::{ProxyError, cors},
    status::{GrpcCode, write_status},
};

/// Most open streams on a connection.
const STREAMS: u32 = 100;
/// Most bytes buffered for sending on a stream.
const SEND_BUFFER: usize = 64 * 1024;
/// The connection is closed after this many streams that the caller reset before they were accepted
/// (rapid reset, CVE-2023-44487), or that were reset for protocol errors.
const RESETS: usize = 20;
const ERRORS: usize = 128;

/// Serves one connection to its end.
pub(super) async fn serve<H: Handler>(
    downstream: Arc<Downstream<H>>,
    io: Transport<Stream>,
    connection: Rc<Connection>,
    shutdown: ShutdownWatch,
) {
    let io = Cork::new(WatchedIo::http2(io, connection.clone()));
    let served = io.run(speak(downstream, io.clone(), connection, shutdown));
    // On an error, dropping the future ends all requests of the connection.
    let _ = served.await;
}

/// Runs HTTP/2 on `io`.
async fn speak<H: Handler>(
    downstream: Arc<Downstream<H>>,
    io: Cork<WatchedIo>,
    connection: Rc<Connection>,
    shutdown: ShutdownWatch,
) {
    let header_bytes = u32::try_from(downstream.settings.limits.header_bytes).unwrap_or(u32::MAX);
    let (stream_window, window) = receive_window::first(&downstream.settings.overload);
    let handshake = Builder::new()
        .max_concurrent_streams(STREAMS)
        .initial_window_size(stream_window)
        .initial_connection_window_size(window)
        .max_header_list_size(header_bytes)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(Some(ERRORS))
        .handshake::<_, Bytes>(io);
    let Ok(Ok(mut h2)) = tokio::time::timeout(downstream.settings.timeouts.header, handshake).await
    else {
        return;
    };
    let received_bytes = connection.received_bytes.clone();
    let mut pinger = (h2.ping_pong()).map(|ping| Pinger::new(ping, CALLER_SILENCE, received_bytes));
    let mut streams = FuturesUnordered::new();
    // Deadline of the connection while no stream is open. The first request must arrive within the
    // header timeout.
    let idle = Deadline::new(Phase::Head, &connection);
    idle.rest_after(REST);
    let footprint = &connection.footprint;
    let mut window = ReceiveWindow::new(downstream.settings.unread_bytes.reserve());
    let mut watchdog = Watchdog::new(idle.at(&connection));
    let mut drain = Drain::new(shutdown);

    poll_fn(|cx| {
        if drain.begins(cx, &downstream.lifecycle, &connection) {
            h2.graceful_shutdown();
            idle.enter(Phase::Idle);
        }
        loop {
            while let Poll::Ready(Some(())) = Pin::new(&mut streams).poll_next(cx) {
                idle.enter(Phase::Idle);
            }
            // Also sends what the streams have written.
            match h2.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    footprint.resting.set(false);
                    let has_body = !request.body().is_end_stream();
                    streams.push(stream(&downstream, connection.clone(), request, respond));
                    if has_body {
                        window.make_room(streams.len(), &mut h2);
                    }
                }
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        if connection.is_flooded.get() {
            return Poll::Ready(());
        }
        let shedding = Shedding::of(&connection, &downstream.settings.overload);
        if shedding == Shedding::Cut {
            return Poll::Ready(());
        }
        if !streams.is_empty() {
            // If the caller's host no longer answers, the connection ends with all its requests.
            let gone = pinger
                .as_mut()
                .is_some_and(|pinger| pinger.poll(cx).is_ready());
            return if gone { Poll::Ready(()) } else { Poll::Pending };
        }
        if shedding != Shedding::Close {
            if watchdog.poll(cx, || idle.at(&connection)).is_pending() {
                return Poll::Pending;
            }
            if connection.is_closing() {
                return Poll::Ready(());
            }
            if idle.phase() == Phase::Idle && idle.postpone(connection.timeouts().keep_alive) {
                footprint.resting.set(true);
                let _ = watchdog.poll(cx, || idle.at(&connection));
                return Poll::Pending;
            }
        }
        // GOAWAY is sent before the connection closes.
        connection.close_after_this();
        h2.graceful_shutdown();
        idle.enter(Phase::Idle);
        let _ = watchdog.poll(cx, || idle.at(&connection));
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    if connection.is_flooded.get() {
        drop(streams);
        h2.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        let out = poll_fn(|cx| h2.poll_closed(cx));
        let _ = tokio::time::timeout(LINGER, out).await;
    }
}

/// Serves one request. Dropping the future ends request and response.
async fn stream<H: Handler>(
    downstream: &Downstream<H>,
    connection: Rc<Connection>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let state = Rc::new(StreamState::new(connection, Phase::Body));
    let mut watchdog = Watchdog::new(state.deadline.at(state.connection()));
    if request.headers().len() > downstream.settings.limits.header_fields {
        if respond.send_response(too_many_fields(), true).is_ok() {
            state.unread.keep(request.into_body(), None);
            state.unread.discard().await;
        }
        return;
    }
    if request.headers().contains_key(EXPECT) {
        let mut go_on = Response::new(());
        *go_on.status_mut() = StatusCode::CONTINUE;
        let _ = respond.send_informational(go_on);
    }
    let cors = downstream.settings.cors.as_ref();
    let origin = cors.and_then(|cors| cors.allowed(request.headers()));
    let (parts, body) = request.into_parts();
    let bare = parts.method == Method::HEAD;
    let body = if body.is_end_stream() {
        Received::None
    } else {
        Received::http2(body, &parts.headers, Some(state.clone()))
    };
    poll_fn(|cx| {
        state.runs_in(cx.waker());
        Poll::Ready(())
    })
    .await;
    let answer = {
        let mut work = pin!(
            downstream
                .handler
                .handle(&state, Request::from_parts(parts, body))
        );
        poll_fn(|cx| {
            loop {
                // The caller has reset the stream: drop the request.
                if respond.poll_reset(cx).is_ready() {
                    return Poll::Ready(None);
                }
                if let Poll::Ready(answer) = work.as_mut().poll(cx) {
                    return Poll::Ready(Some(answer));
                }
                // The handler sees that the deadline has passed, and answers with an error.
                if state.poll_expired(&mut watchdog, cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    };
    let Some(answer) = answer else { return };
    let (mut parts, mut body) = answer.into_parts();
    parts.version = Version::HTTP_2;
    date::stamp(&mut parts.headers);
    if let Some(origin) = origin {
        cors::allow(&mut parts.headers, origin);
    }
    let all = bare || http_body::Body::is_end_stream(&body);
    let is_sent = match respond.send_response(Response::from_parts(parts, ()), all) {
        Ok(_) if all => {
            body.complete();
            drop(body);
            true
        }
        Ok(stream) => send(&state, BodyForwarder::new(stream, body), watchdog).await,
        Err(_) => false,
    };
    // A gRPC call is over once its status was sent; others, once the body was.
    if is_sent && !state.api.get().is_grpc() {
        state.unread.discard().await;
    }
}

/// Sends a response's body. Returns whether all of it was sent.
async fn send<B: ResponseStream>(
    state: &Rc<StreamState>,
    mut forwarder: BodyForwarder<B>,
    mut watchdog: Watchdog,
) -> bool {
    let footprint = &state.connection().footprint;
    let mut blocked = footprint.stream();
    let sent = poll_fn(|cx| {
        let before = forwarder.sent();
        let polled = forwarder.poll(cx);
        footprint.took((forwarder.sent() - before) as usize);
        if let Poll::Ready(sent) = polled {
            return Poll::Ready(Some(sent));
        }
        blocked.set(forwarder.is_blocked());
        if forwarder.is_blocked() {
            // The request's body must go on while the response is blocked, or the two sides could
            // wait for each other.
            forwarder.body().drive(cx);
        }
        if state.is_cancelled() {
            return Poll::Ready(None);
        }
        state.poll_expired(&mut watchdog, cx).map(|()| None)
    })
    .await;
    drop(blocked);
    match sent {
        Some(Ok(())) => {
            forwarder.body().complete();
            return true;
        }
        // The caller has reset the stream.
        Some(Err(ForwardError::Stream)) => {}
        Some(Err(ForwardError::Body(_))) => {
            break_off(state, forwarder.stream(), Reason::INTERNAL_ERROR)
        }
        None => break_off(state, forwarder.stream(), Reason::CANCEL),
    }
    false
}

/// Ends a response that cannot be completed: with a gRPC status in trailers, or by a reset.
fn break_off(state: &StreamState, stream: &mut SendStream<Bytes>, reason: Reason) {
    if state.api.get().is_grpc() {
        let broke_off = || "the answer broke off".to_owned();
        let (status, message) = match state.body.get().fault() {
            Some(fault) => (GrpcCode::InvalidArgument, fault.to_string()),
            None if state.is_cancelled() => {
                let why = ProxyError::Cancelled.message();
                (GrpcCode::Cancelled, why.into_owned())
            }
            None if state.deadline.is_past_callers_limit() => {
                (GrpcCode::DeadlineExceeded, broke_off())
            }
            None => (GrpcCode::Unavailable, broke_off()),
        };
        let mut trailers = HeaderMap::new();
        write_status(&mut trailers, status, &message);
        if stream.send_trailers(trailers).is_ok() {
            return;
        }
    }
    stream.send_reset(reason);
}

/// The same status as on HTTP/1.1.
fn too_many_fields() -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    response
}
