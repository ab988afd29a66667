//! Callers' connections: pingora accepts them on its listeners and workers,
//! hyper speaks HTTP/1.1 on them, and one timer a connection sees to it that none
//! lasts without progress.

mod body;
mod exchange;
mod io;
mod state;

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;
use hyper::{server::conn::http1, service::service_fn};
use pingora_core::{apps::ServerApp, protocols::Stream, server::ShutdownWatch};
use send_wrapper::SendWrapper;
use tailback_config::{Limits, Timeouts};
use tailback_scaler::clock::Nanos;
use tokio::time::{Instant, sleep_until};

use self::io::WatchedIo;
pub use self::{
    body::{RequestBody, ResponseBody},
    exchange::Exchange,
    state::{Connection, Phase},
};
use crate::{metrics::ProxyMetrics, request, table::Tables};

/// While draining, an idle connection is closed after this: a caller that is
/// just sending its next request still gets an answer, with `connection: close`.
const LINGER: Duration = Duration::from_secs(1);

/// The data plane: one for all workers.
pub struct DataPlane {
    /// What is served.
    pub tables: Arc<Tables>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How large things may be.
    pub limits: Limits,
    /// Most connections at once.
    pub max_connections: usize,
    /// Handles.
    pub metrics: ProxyMetrics,
    /// Open connections.
    pub connections: AtomicUsize,
    /// Set before the shutdown is signalled: connections end with the request
    /// they have.
    pub draining: AtomicBool,
}

#[async_trait]
impl ServerApp for DataPlane {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let Some(_open) = Open::admit(self) else {
            refuse(stream).await;
            return None;
        };
        // Workers do not steal: the connection stays on this thread, and what
        // belongs to it needs no synchronisation. The wrapper checks that.
        SendWrapper::new(serve(self.clone(), stream, shutdown.clone())).await;
        None
    }
}

/// One open connection, counted.
struct Open<'a>(&'a DataPlane);

impl<'a> Open<'a> {
    fn admit(plane: &'a DataPlane) -> Option<Self> {
        let before = plane.connections.fetch_add(1, Ordering::Relaxed);
        plane.metrics.connections.increment(1.0);
        let open = Self(plane);
        if before < plane.max_connections {
            return Some(open);
        }
        plane.metrics.connections_refused.increment(1);
        None
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.connections.decrement(1.0);
    }
}

/// Tells a caller that there are too many.
async fn refuse(mut stream: Stream) {
    use tokio::io::AsyncWriteExt;
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
        content-length: 50\r\nconnection: close\r\nretry-after: 1\r\n\r\n\
        {\"error\":\"too many connections; try again later\"}\n";
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(ANSWER)).await;
    let _ = stream.shutdown().await;
}

/// Serves one connection to its end.
async fn serve(plane: Arc<DataPlane>, stream: Stream, mut shutdown: ShutdownWatch) {
    let peer = stream
        .get_socket_digest()
        .and_then(|digest| digest.peer_addr()?.as_inet().copied());
    let state = Rc::new(Connection::new(plane.timeouts.clone(), peer));
    let service = service_fn(|incoming| {
        let (plane, state) = (plane.clone(), state.clone());
        async move { Ok::<_, Infallible>(request::handle(&plane, &state, incoming).await) }
    });
    let mut http = pin!(
        http1::Builder::new()
            .max_headers(plane.limits.header_fields)
            .max_header_size(plane.limits.header_bytes)
            .serve_connection(WatchedIo::new(stream, state.clone()), service)
    );
    let mut timer_at = state.deadline();
    let mut timer = pin!(sleep_until(instant(timer_at)));
    let mut drain = pin!(shutdown.wait_for(|&draining| draining));
    let mut drain_awaited = false;

    poll_fn(|cx| {
        // One poll registers this task's waker, which stays the same; what it
        // is woken for is then seen in the flag, without the channel's lock.
        if !drain_awaited {
            drain_awaited = true;
            let _ = drain.as_mut().poll(cx);
        }
        if plane.draining.load(Ordering::Relaxed) && !state.is_closing() {
            state.close_after_this(LINGER);
        }
        loop {
            if http.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if state.take_expired() {
                // Nobody answered for it.
                return Poll::Ready(());
            }
            // A later deadline than the timer's is looked up when the timer
            // ends: a request's way touches no timer.
            let mut deadline = state.deadline();
            loop {
                if deadline < timer_at {
                    timer_at = deadline;
                    timer.as_mut().reset(instant(deadline));
                }
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                deadline = state.deadline();
                if deadline <= Nanos::now() {
                    break;
                }
                timer_at = Nanos(u64::MAX);
            }
            timer_at = Nanos(u64::MAX);
            state.expire();
            match state.phase() {
                // Nothing to answer, or too late for it.
                Phase::Idle | Phase::Head | Phase::Streaming => return Poll::Ready(()),
                // The request finds that its time is up, and answers that.
                Phase::Held | Phase::Body | Phase::Response => {}
            }
        }
    })
    .await;
}

fn instant(at: Nanos) -> Instant {
    // Far enough for any timer; more would overflow.
    const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
    Instant::now() + at.since(Nanos::now()).min(FAR)
}
