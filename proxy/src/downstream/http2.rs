//! HTTP/2 to callers. Each stream has its own state; all of them run within the connection's task,
//! so that the end of the connection ends its requests at once.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::Poll,
};

use futures_util::{Stream as _, stream::FuturesUnordered};
use http::{Method, StatusCode, header::EXPECT};
use pingora::server::ShutdownWatch;
use tokio::time::timeout;

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
    http2::{Http2Limits, Http2Server, Reason, ReceiveStream, SendStream},
    message::{HeaderMap, Request, Trailers},
    net::{
        Socket, Transport, date,
        keep_alive::{CALLER_SILENCE, Pinger, Silence},
    },
    protocol::{ProxyError, cors},
    status::{GrpcCode, write_status},
};

/// Most open streams on a connection.
const STREAMS: u32 = 100;
/// The connection is closed after this many streams that the caller reset before they were accepted
/// (rapid reset, CVE-2023-44487), or that were reset for protocol errors.
const RESETS: usize = 20;
const ERRORS: usize = 128;

/// Serves the connection of `io` to its end.
pub(super) async fn serve<H: Handler>(
    downstream: &Arc<Downstream<H>>,
    io: &mut Option<Transport<Socket>>,
    connection: Rc<Connection>,
    shutdown: &ShutdownWatch,
) {
    let Some(io) = io.take() else {
        return;
    };
    let limits = &downstream.settings.limits;
    let (stream_window, window) = receive_window::first(&downstream.settings.overload);
    let limits = Http2Limits {
        streams: STREAMS,
        stream_window,
        window,
        header_bytes: limits.header_bytes,
        header_fields: limits.header_fields,
        early_resets: RESETS,
        errors: ERRORS,
    };
    let mut http = Http2Server::new(WatchedIo::http2(io, connection.clone()), limits);
    let mut pinger = Pinger::new(CALLER_SILENCE, connection.received_bytes.clone());
    // There only while there are streams: even empty, it takes the memory of one of them.
    let mut streams: Option<FuturesUnordered<_>> = None;
    // Deadline of the connection while no stream is open. The first request must arrive within the
    // header timeout.
    let idle = Deadline::new(Phase::Head, &connection);
    idle.rest_after(REST);
    let footprint = &connection.footprint;
    let mut window = ReceiveWindow::new(downstream.settings.unread_bytes.reserve());
    let mut watchdog = Watchdog::new(idle.at(&connection));
    let mut drain = Drain::new(shutdown);

    let is_closed = poll_fn(|cx| {
        http.begin(cx);
        let polled = 'poll: {
            if drain.begins(cx, &downstream.lifecycle, &connection) {
                http.go_away();
                idle.enter(Phase::Idle);
            }
            loop {
                while let Some(running) = &mut streams
                    && let Poll::Ready(Some(())) = Pin::new(running).poll_next(cx)
                {
                    idle.enter(Phase::Idle);
                }
                match http.poll_accept(cx) {
                    Poll::Ready(Some((request, respond))) => {
                        footprint.resting.set(false);
                        let has_body = !request.body().is_end();
                        let running = streams.get_or_insert_default();
                        running.push(stream(downstream, connection.clone(), request, respond));
                        if has_body {
                            window.make_room(running.len(), &mut http);
                        }
                    }
                    Poll::Ready(None) => break 'poll Poll::Ready(true),
                    Poll::Pending => break,
                }
            }
            let shedding = Shedding::of(&connection, &downstream.settings.overload);
            if shedding == Shedding::Cut {
                break 'poll Poll::Ready(false);
            }
            if streams.as_ref().is_some_and(|running| !running.is_empty()) {
                // If the caller's host no longer answers, the connection ends with all its requests.
                match pinger.poll(cx) {
                    Poll::Ready(Silence::Ask) => http.ping(),
                    Poll::Ready(Silence::GiveUp) => break 'poll Poll::Ready(false),
                    Poll::Pending => {}
                }
                break 'poll Poll::Pending;
            }
            if shedding != Shedding::Close {
                if watchdog.poll(cx, || idle.at(&connection)).is_pending() {
                    break 'poll Poll::Pending;
                }
                if connection.is_closing() {
                    break 'poll Poll::Ready(true);
                }
                if idle.phase() == Phase::Idle && idle.postpone(connection.timeouts().keep_alive) {
                    footprint.resting.set(true);
                    http.rest();
                    streams = None;
                    let _ = watchdog.poll(cx, || idle.at(&connection));
                    break 'poll Poll::Pending;
                }
            }
            // GOAWAY is sent before the connection closes.
            connection.close_after_this();
            http.go_away();
            idle.enter(Phase::Idle);
            let _ = watchdog.poll(cx, || idle.at(&connection));
            cx.waker().wake_by_ref();
            Poll::Pending
        };
        // What the streams and the connection have to say goes out together.
        match http.poll_write(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(false),
            Poll::Ready(Ok(())) | Poll::Pending => polled,
        }
    })
    .await;
    // Ends all requests of the connection.
    drop(streams);
    if is_closed {
        let _ = timeout(LINGER, poll_fn(|cx| http.poll_close(cx))).await;
    }
}

/// Serves one request. Dropping the future ends request and response.
async fn stream<H: Handler>(
    downstream: &Downstream<H>,
    connection: Rc<Connection>,
    request: Request<ReceiveStream>,
    mut respond: SendStream,
) {
    let state = Rc::new(StreamState::new(connection, Phase::Body));
    let mut watchdog = Watchdog::new(state.deadline.at(state.connection()));
    if request.headers().contains_key(EXPECT) {
        let _ = respond.send_head(StatusCode::CONTINUE, &HeaderMap::new(), false);
    }
    let cors = downstream.settings.cors.as_ref();
    let origin = cors.and_then(|cors| cors.allowed(request.headers()));
    let (parts, body) = request.into_parts();
    let bare = parts.method == Method::HEAD;
    let body = match body.is_end() {
        true => Received::None,
        false => Received::http2(body, Some(state.clone())),
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
    date::stamp(&mut parts.headers);
    if let Some(origin) = origin {
        cors::allow(&mut parts.headers, origin);
    }
    let all = bare || http_body::Body::is_end_stream(&body);
    let is_sent = match respond.send_head(parts.status, &parts.headers, all) {
        Ok(()) if all => {
            body.complete();
            drop(body);
            true
        }
        Ok(()) => send(&state, BodyForwarder::new(respond, body), watchdog).await,
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
fn break_off(state: &StreamState, stream: &mut SendStream, reason: Reason) {
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
        let mut trailers = Trailers::new();
        write_status(&mut trailers, status, &message);
        if stream.send_trailers(&trailers).is_ok() {
            return;
        }
    }
    stream.reset(reason);
}
