//! Connections of callers. pingora accepts them on its workers; HTTP/1.1 or HTTP/2 runs on them. A
//! deadline per connection, and per stream on HTTP/2, closes those that make no progress.

mod drain;
#[cfg(test)]
mod fixtures;
mod half_close;
mod handler;
mod http1;
mod http2;
mod io;
mod lifecycle;
mod notsent_lowat;
mod opening;
mod opening_turn;
mod receive_window;
mod rest;
mod shedding;
mod tunnel;

use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;
use futures_util::FutureExt;
use pingora::{apps::ServerApp, protocols::Stream, server::ShutdownWatch};
use send_wrapper::SendWrapper;
use tailback_config::{HalfClose, Limits, Timeouts};

pub use self::{
    handler::{Handler, ResponseStream},
    lifecycle::Lifecycle,
    tunnel::Tunnel,
};
use crate::{
    exchange::body::BufferBudget,
    net::{HttpVersion, Socket, tls},
    overload::{self, Level, Overload, Shed},
    protocol::cors::Cors,
    telemetry::metrics::DownstreamMetrics,
};

/// How long a connection is idle before it rests: it keeps nothing that it can do without, and may be closed
/// while memory is short.
const REST: Duration = Duration::from_secs(5);

/// The service for downstream connections, one instance for all workers.
pub struct Downstream<H> {
    /// Answers requests.
    pub handler: H,
    /// Timeouts and limits.
    pub settings: DownstreamSettings,
    /// Metrics of connections.
    pub metrics: DownstreamMetrics,
    /// Open connections, and whether the process drains.
    pub lifecycle: Arc<Lifecycle>,
}

/// Settings of all downstream connections.
pub struct DownstreamSettings {
    /// Timeouts.
    pub timeouts: Arc<Timeouts>,
    /// Size limits.
    pub limits: Limits,
    /// Most connections at once.
    pub max_connections: usize,
    /// The budget for bytes that callers have sent by HTTP/2 and that were not read yet.
    pub unread_bytes: BufferBudget,
    /// The overload manager.
    pub overload: Arc<Overload>,
    /// Worker threads.
    pub workers: usize,
    /// How a request is treated whose caller has closed its sending side, on HTTP/1.1.
    pub half_close: HalfClose,
    /// Which other origins' pages may send requests. `None`: none.
    pub cors: Option<Arc<Cors>>,
    /// The listener's TLS configuration. `None`: clear text.
    pub tls: Option<Arc<tls::Listener>>,
}

#[async_trait]
impl<H: Handler> ServerApp for Downstream<H> {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        match Socket::accepted(stream) {
            Ok(socket) => self.spawn(socket, shutdown.clone()),
            Err(error) => tracing::warn!(%error, "cannot serve a caller's connection"),
        }
        None
    }
}

impl<H: Handler> Downstream<H> {
    /// Serves a connection of a caller in a task of its own.
    pub(crate) fn spawn(self: &Arc<Self>, socket: Socket, shutdown: ShutdownWatch) {
        // Workers do not steal tasks: the connection stays on this thread, and its state needs no
        // synchronisation. SendWrapper checks that at run time.
        tokio::spawn(SendWrapper::new(serve(self.clone(), socket, shutdown)));
    }
}

/// Serves a connection to its end, unless it is one too many.
// Not an `async fn`, which would hold its arguments twice.
#[expect(clippy::manual_async_fn)]
fn serve<H: Handler>(
    downstream: Arc<Downstream<H>>,
    socket: Socket,
    shutdown: ShutdownWatch,
) -> impl Future<Output = ()> {
    async move {
        let settings = &downstream.settings;
        overload::keep_shedding(&settings.overload, settings.workers);
        let _open = match Open::admit(&downstream) {
            Ok(open) => open,
            Err(answer) => {
                return Box::pin(reject(socket, answer, settings.tls.is_some())).await;
            }
        };
        notsent_lowat::bound(&socket);
        downstream.handler.accepted();
        let mut io = None;
        // What is in a box here is given back when it is done.
        let opened = Box::pin(opening::open(&downstream, socket, &shutdown, &mut io)).await;
        let Some(connection) = opened else {
            return;
        };
        poll_fn(|cx| {
            // The waker of the whole task: nothing within has one of its own here.
            connection.footprint.runs_in(cx.waker());
            Poll::Ready(())
        })
        .await;
        let _registered = overload::register(connection.clone());
        if connection.version == HttpVersion::Http2 {
            let serving = http2::serve(&downstream, &mut io, connection, &shutdown);
            return Box::pin(serving).await;
        }
        while let Some(until) =
            Box::pin(http1::serve(&downstream, &mut io, &connection, &shutdown)).await
        {
            let shared = (&*downstream.lifecycle, &*downstream.settings.overload);
            rest::wait(&mut io, until, shared, &connection, &shutdown).await;
        }
    }
}

/// An open connection, counted until it is dropped.
struct Open<'a> {
    lifecycle: &'a Lifecycle,
    metrics: &'a DownstreamMetrics,
}

impl<'a> Open<'a> {
    /// # Errors
    /// The message for a caller whose connection is beyond the limit.
    fn admit<H>(downstream: &'a Downstream<H>) -> Result<Self, &'static str> {
        let Downstream {
            lifecycle, metrics, ..
        } = downstream;
        let before = lifecycle.opened();
        metrics.connections.increment(1.0);
        let open = Self { lifecycle, metrics };
        if downstream.settings.overload.is_at(Level::Exhausted) {
            downstream.settings.overload.count(Shed::Connection);
            return Err("{\"error\":\"the memory of this proxy is exhausted; try again later\"}\n");
        }
        if before < downstream.settings.max_connections {
            return Ok(open);
        }
        metrics.connections_refused.increment(1);
        Err("{\"error\":\"too many connections; try again later\"}\n")
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.lifecycle.closed();
        self.metrics.connections.decrement(1.0);
    }
}

/// Answers 503 with `body` and closes, because there are too many connections. A TLS connection is
/// closed without an answer.
async fn reject(mut socket: Socket, body: &str, encrypted: bool) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    if !encrypted {
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\nconnection: close\r\nretry-after: 1\r\n\r\n{body}"
        );
        let out = socket.write_all(answer.as_bytes());
        let _ = tokio::time::timeout(Duration::from_secs(1), out).await;
        // Reads what has arrived: closing a socket with unread bytes causes a reset, by which the
        // caller could lose the answer (RFC 9112, 9.6).
        let mut come = [0; 4096];
        let _ = socket.read(&mut come).now_or_never();
    }
    let _ = socket.shutdown().await;
}
