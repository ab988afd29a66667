//! HTTP/1.1 to callers: one request at a time, all within the connection's own task.
//!
//! A waiting connection has no buffer, and the future of a request exists only while the request
//! is answered.

use std::{
    future::{Future, poll_fn},
    ops::Range,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use pingora::{protocols::Stream, server::ShutdownWatch};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    Downstream, REST,
    drain::Drain,
    handler::{Handler, ResponseStream},
    io::WatchedIo,
    shedding::Shedding,
    tunnel::Tunnel,
};
use crate::{
    exchange::{
        Connection, LINGER, Phase, RequestBodyState, StreamState, Watchdog, body::Received,
    },
    http1::{
        Http1Body,
        server::{self, DeliveryError, Read, RequestHeadError, ServerLimits},
    },
    net::Transport,
    protocol::cors,
    status::Outcome,
};

/// How often the handler looks at new pieces of a body before other connections have their turn.
const TURNS: u32 = 32;

type ServerConnection = server::ServerConnection<WatchedIo>;

/// What all requests of a connection share.
struct Watch {
    state: Rc<StreamState>,
    watchdog: Watchdog,
    drain: Drain,
}

/// What must happen to a connection now.
#[derive(Clone, Copy, PartialEq)]
enum Due {
    /// It must be closed.
    End,
    /// The handler must notice that the deadline has passed, and answer with an error.
    Answer,
}

/// What follows after a request was answered.
enum Next {
    Request,
    /// The connection becomes a tunnel.
    Tunnel(Box<Tunnel>),
    /// Its end, in an orderly way.
    Close,
    /// The connection is closed, although more of the request may arrive.
    Linger,
    /// The connection is closed at once.
    Drop,
}

/// Serves one connection to its end.
pub(super) fn serve<H: Handler>(
    downstream: &Arc<Downstream<H>>,
    io: Transport<Stream>,
    connection: Rc<Connection>,
    shutdown: ShutdownWatch,
) -> impl Future<Output = ()> {
    // The first header block has begun to arrive.
    let state = Rc::new(StreamState::new(connection.clone(), Phase::Head));
    state.deadline.rest_after(REST);
    let io = WatchedIo::http1(io, state.clone(), downstream.settings.half_close);
    let limits = ServerLimits {
        header_fields: downstream.settings.limits.header_fields,
        header_bytes: downstream.settings.limits.header_bytes,
    };
    let http = ServerConnection::new(io, limits);
    let watch = Watch {
        watchdog: Watchdog::new(state.deadline.at(&connection)),
        drain: Drain::new(shutdown.clone()),
        state,
    };
    run(downstream.clone(), http, watch, shutdown)
}

async fn run<H: Handler>(
    downstream: Arc<Downstream<H>>,
    mut http: ServerConnection,
    mut watch: Watch,
    shutdown: ShutdownWatch,
) {
    loop {
        let next = match next_request(&downstream, &mut http, &mut watch).await {
            Ok(Some(request)) => {
                // In a box, which is given back: an idle connection needs no room for a request. It is
                // made there: it is too large to be moved.
                let room = Box::new_uninit();
                let answering =
                    Box::write(room, respond(&downstream, &mut http, &mut watch, request));
                Box::into_pin(answering).await
            }
            Ok(None) => Next::Close,
            Err(error) => match reject(&mut http, error).await {
                true => Next::Linger,
                false => Next::Drop,
            },
        };
        match next {
            Next::Request => {
                if !http.has_unread() && watch.state.phase() == Phase::Head {
                    // What came behind the answer was the rest of its request.
                    watch.state.enter(Phase::Idle);
                }
            }
            Next::Tunnel(tunnel) => {
                let (io, unread) = http.into_parts();
                let io = io.into_inner().unread(unread);
                let run = tunnel.run(io, &watch.state, shutdown, &downstream.lifecycle);
                return Box::pin(run).await;
            }
            Next::Close => {
                // On TLS, this sends the closing alert.
                let _ = timeout(LINGER, http.io().shutdown()).await;
                return;
            }
            Next::Linger => return Box::pin(linger(http.io())).await,
            Next::Drop => return,
        }
    }
}

/// Waits for a request. `None`: the caller has closed the connection, a deadline has passed, or
/// memory is short.
async fn next_request<H>(
    downstream: &Downstream<H>,
    http: &mut ServerConnection,
    watch: &mut Watch,
) -> Result<Option<Request<Http1Body>>, RequestHeadError> {
    if http.has_unread() {
        watch.state.received();
    }
    poll_fn(|cx| {
        watch.notice_drain(downstream, cx);
        let resting = &watch.state.connection().footprint.resting;
        if let Poll::Ready(request) = http.poll_request(cx) {
            resting.set(false);
            return Poll::Ready(request);
        }
        if resting.get() && http.has_unread() {
            resting.set(false);
        }
        match watch.poll_due(downstream, cx) {
            Poll::Ready(_) => Poll::Ready(Ok(None)),
            Poll::Pending => {
                if watch.state.is_to_rest() {
                    watch.state.connection().footprint.resting.set(true);
                }
                Poll::Pending
            }
        }
    })
    .await
}

/// Answers a request.
async fn respond<H: Handler>(
    downstream: &Downstream<H>,
    http: &mut ServerConnection,
    watch: &mut Watch,
    request: Request<Http1Body>,
) -> Next {
    let state = watch.state.clone();
    let body = match request.body().is_end() {
        true => RequestBodyState::Ended,
        false => RequestBodyState::Unread,
    };
    state.ask(body, request.version() == Version::HTTP_11);
    let cors = downstream.settings.cors.as_ref();
    let origin = cors.and_then(|cors| cors.allowed(request.headers()));
    let answer = {
        // Pinned here, because `await` would move it, which is expensive for its size.
        let handler = &downstream.handler;
        let mut handling = pin!(handler.handle(&state, request.map(Received::Http1)));
        poll_fn(|cx| poll_answer(downstream, http, watch, handling.as_mut(), cx)).await
    };
    let Some(mut answer) = answer else {
        return Next::Drop;
    };
    if let Some(origin) = origin {
        cors::allow(answer.headers_mut(), origin);
    }
    if state.connection().is_closing() {
        http.close_after_this();
    }
    let tunnel = match answer.status() {
        StatusCode::SWITCHING_PROTOCOLS => answer.body_mut().take_tunnel().map(Box::new),
        _ => None,
    };
    let (head, body) = answer.into_parts();
    // Its values share the memory of what was read with it: it is given back once it is written.
    let mut head = Some(head);
    let mut body = Some(body);
    let sent = poll_fn(|cx| {
        if let Some(head) = head.take()
            && let Some(mut unsent) = body.take_if(|body| !http.begin(&head, body, cx))
        {
            // A HEAD's, for example.
            unsent.complete();
        }
        poll_sent(downstream, http, watch, &mut body, cx)
    });
    match sent.await {
        Some(true) => {}
        // The response was sent as far as its body was available.
        Some(false) if state.body.get() != RequestBodyState::Ended => return Next::Linger,
        Some(false) | None => return Next::Drop,
    }
    match tunnel {
        Some(tunnel) => Next::Tunnel(tunnel),
        None if http.is_ready() => Next::Request,
        None if state.body.get() != RequestBodyState::Ended || http.has_unread() => Next::Linger,
        None => Next::Close,
    }
}

/// Ready with the answer of `handling`. `None`: the connection must be dropped.
fn poll_answer<H: Handler>(
    downstream: &Downstream<H>,
    http: &mut ServerConnection,
    watch: &mut Watch,
    mut handling: Pin<&mut impl Future<Output = Response<H::Body>>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Response<H::Body>>> {
    watch.notice_drain(downstream, cx);
    // First, so that a caller that has left after its request is noticed before it is answered.
    if http.poll_read(cx) == Poll::Ready(Read::Closed) {
        return Poll::Ready(None);
    }
    let mut turns = 0..TURNS;
    loop {
        if let Poll::Ready(answer) = handling.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        if !ready!(poll_beside(downstream, http, watch, &mut turns, cx)) {
            return Poll::Ready(None);
        }
    }
}

/// Ready when the response was sent, with whether it is complete. `None`: the connection must be
/// dropped.
fn poll_sent<H: Handler>(
    downstream: &Downstream<H>,
    http: &mut ServerConnection,
    watch: &mut Watch,
    body: &mut Option<H::Body>,
    cx: &mut Context<'_>,
) -> Poll<Option<bool>> {
    watch.notice_drain(downstream, cx);
    let mut turns = 0..TURNS;
    loop {
        match http.poll_send(body, cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(Some(true)),
            Poll::Ready(Err(DeliveryError::Body(_) | DeliveryError::Length)) => {
                return Poll::Ready(Some(false));
            }
            Poll::Ready(Err(DeliveryError::Io(_))) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        if watch.state.connection().write_blocked.get()
            && let Some(body) = body
        {
            // The body is not polled for more now. The request's body must go on meanwhile, or the
            // two sides could wait for each other.
            body.drive(cx);
        }
        if !ready!(poll_beside(downstream, http, watch, &mut turns, cx)) {
            return Poll::Ready(None);
        }
    }
}

/// What goes on beside the answer to a request. Ready with whether the request can make progress now;
/// `false`: the connection must be dropped. `turns`: how often it still may in this poll.
fn poll_beside<H>(
    downstream: &Downstream<H>,
    http: &mut ServerConnection,
    watch: &mut Watch,
    turns: &mut Range<u32>,
    cx: &mut Context<'_>,
) -> Poll<bool> {
    match http.poll_read(cx) {
        Poll::Ready(Read::Body) if turns.next().is_some() => return Poll::Ready(true),
        Poll::Ready(Read::Body) => cx.waker().wake_by_ref(),
        Poll::Ready(Read::Closed) => return Poll::Ready(false),
        Poll::Pending => {}
    }
    let due = watch.poll_due(downstream, cx);
    due.map(|due| due == Due::Answer)
}

impl Watch {
    /// If draining has begun, the connection takes no further request.
    fn notice_drain<H>(&mut self, downstream: &Downstream<H>, cx: &mut Context<'_>) {
        let connection = self.state.connection();
        if (self.drain).begins(cx, &downstream.lifecycle, connection) {
            self.state.deadline.linger();
        }
    }

    /// Ready when a deadline has passed, or memory is short. Must be called at the end of each
    /// poll.
    fn poll_due<H>(&mut self, downstream: &Downstream<H>, cx: &mut Context<'_>) -> Poll<Due> {
        let state = &self.state;
        let connection = state.connection();
        match Shedding::of(connection, &downstream.settings.overload) {
            Shedding::Nothing => {}
            Shedding::Cut => {
                connection.undelivered(Outcome::CallerSlow);
                return Poll::Ready(Due::End);
            }
            Shedding::Close => return Poll::Ready(Due::End),
        }
        if state.deadline.is_expired() {
            // The handler should have answered, and has not.
            return Poll::Ready(Due::End);
        }
        state
            .poll_expired(&mut self.watchdog, cx)
            .map(|()| match state.phase() {
                // There is no request to answer, or it is too late to answer it.
                Phase::Idle | Phase::Head => Due::End,
                Phase::FirstByte | Phase::Streaming => {
                    connection.undelivered(state.blame());
                    Due::End
                }
                Phase::Held | Phase::Body | Phase::Response => Due::Answer,
            })
    }
}

/// Answers a header that cannot be read. Returns whether the caller has taken that.
async fn reject(http: &mut ServerConnection, error: RequestHeadError) -> bool {
    let json = serde_json::json!({ "error": error.to_string() });
    http.reject(error.status(), Bytes::from(format!("{json}\n")));
    let flushed = timeout(LINGER, poll_fn(|cx| http.poll_flush(cx))).await;
    matches!(flushed, Ok(Ok(())))
}

/// Reads and drops bytes that the caller still sends after its response was sent, for a moment.
/// Closing a socket with unread bytes causes a reset, by which the caller could lose the response
/// (RFC 9112, 9.6).
async fn linger(io: &mut WatchedIo) {
    let mut dropped = vec![0; 16 * 1024];
    let all = async {
        // Sends FIN.
        let _ = io.shutdown().await;
        while matches!(io.read(&mut dropped).await, Ok(1..)) {}
    };
    let _ = timeout(LINGER, all).await;
}
