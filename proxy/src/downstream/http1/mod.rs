//! HTTP/1.1 to callers: one request at a time, all within the connection's own task.
//!
//! A waiting connection has no buffer, and the future of a request exists only while the request
//! is answered.

mod respond;
mod watch;

use std::{future::poll_fn, rc::Rc, task::Poll};

use bytes::Bytes;
use pingora::server::ShutdownWatch;
use tailback_scaler::clock::Nanos;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use self::{respond::respond, watch::Watch};
use super::{Downstream, REST, drain::Drain, handler::Handler, io::WatchedIo, tunnel::Tunnel};
use crate::{
    exchange::{Connection, LINGER, Phase, StreamState, Watchdog},
    http1::{
        Http1Body,
        server::{self, RequestHeadError, ServerLimits},
    },
    message::Request,
    net::{Socket, Transport},
};

type ServerConnection = server::ServerConnection<WatchedIo>;

/// What follows after a request was answered, or instead of one.
enum Next {
    Request,
    /// The connection rests.
    Rest,
    /// The connection becomes a tunnel.
    Tunnel(Box<Tunnel>),
    /// Its end, in an orderly way.
    Close,
    /// The connection is closed, although more of the request may arrive.
    Linger,
    /// The connection is closed at once.
    Drop,
}

/// Serves the connection of `io` to its end, or until it rests: then its bytes are in `io` again, and the
/// time is returned until which it may.
pub(super) async fn serve<H: Handler>(
    downstream: &Downstream<H>,
    io: &mut Option<Transport<Socket>>,
    connection: &Rc<Connection>,
    shutdown: &ShutdownWatch,
) -> Option<Nanos> {
    // The first header block has begun to arrive.
    let state = Rc::new(StreamState::new(connection.clone(), Phase::Head));
    state.deadline.rest_after(REST);
    let own = WatchedIo::http1(io.take()?, state.clone(), downstream.settings.half_close);
    let limits = ServerLimits {
        header_fields: downstream.settings.limits.header_fields,
        header_bytes: downstream.settings.limits.header_bytes,
    };
    let mut http = ServerConnection::new(own, limits);
    let mut watch = Watch {
        watchdog: Watchdog::new(state.deadline.at(connection)),
        drain: Drain::new(shutdown),
        state,
    };
    loop {
        let next = match next_request(downstream, &mut http, &mut watch).await {
            Ok(Ok(request)) => {
                // In a box, which is given back: an idle connection needs no room for a request. It is
                // made there: it is too large to be moved.
                let room = Box::new_uninit();
                let answering =
                    Box::write(room, respond(downstream, &mut http, &mut watch, request));
                Box::into_pin(answering).await
            }
            Ok(Err(instead)) => instead,
            Err(error) => match Box::pin(reject(&mut http, error)).await {
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
            Next::Rest => {
                *io = Some(http.into_parts().0.into_inner());
                return Some(watch.state.deadline.at(connection));
            }
            Next::Tunnel(tunnel) => {
                let (io, unread) = http.into_parts();
                let io = io.into_inner().unread(unread);
                let run = tunnel.run(io, &watch.state, shutdown.clone(), &downstream.lifecycle);
                Box::pin(run).await;
                return None;
            }
            Next::Close => {
                // On TLS, this sends the closing alert.
                let _ = Box::pin(timeout(LINGER, http.io().shutdown())).await;
                return None;
            }
            Next::Linger => {
                Box::pin(linger(http.io())).await;
                return None;
            }
            Next::Drop => return None,
        }
    }
}

/// Waits for a request, or for what comes instead: the caller has closed the connection, it has
/// been idle for a while, a deadline has passed, or memory is short.
async fn next_request<H>(
    downstream: &Downstream<H>,
    http: &mut ServerConnection,
    watch: &mut Watch,
) -> Result<Result<Request<Http1Body>, Next>, RequestHeadError> {
    if http.has_unread() {
        watch.state.received();
    }
    poll_fn(|cx| {
        watch.notice_drain(downstream, cx);
        if let Poll::Ready(request) = http.poll_request(cx) {
            return Poll::Ready(request.map(|request| request.ok_or(Next::Close)));
        }
        match watch.poll_due(downstream, cx) {
            Poll::Ready(_) => Poll::Ready(Ok(Err(Next::Close))),
            Poll::Pending if watch.state.is_to_rest() => Poll::Ready(Ok(Err(Next::Rest))),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
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
