//! Connections of callers. pingora accepts them on its workers; HTTP/1.1 or HTTP/2 runs on them. A
//! deadline per connection, and per stream on HTTP/2, closes those that make no progress.

mod drain;
mod half_close;
mod handler;
mod http1;
mod http2;
mod io;
mod lifecycle;
mod notsent_lowat;
mod receive_window;
mod shedding;
mod socket;
mod tunnel;

use std::{future::poll_fn, rc::Rc, sync::Arc, task::Poll, time::Duration};

use async_trait::async_trait;
use futures_util::FutureExt;
use pingora::{apps::ServerApp, protocols::Stream, server::ShutdownWatch};
use send_wrapper::SendWrapper;
use tailback_config::{HalfClose, Limits, Sha256, Timeouts};
use tokio_rustls::TlsAcceptor;

pub use self::{
    handler::{Handler, ResponseStream},
    lifecycle::Lifecycle,
    tunnel::Tunnel,
};
use crate::{
    api_keys::sha256,
    exchange::{Connection, Scheme, body::BufferBudget},
    net::{HttpVersion, Transport, detect, tls},
    overload::{self, Level, Overload, Shed},
    protocol::cors::Cors,
    telemetry::metrics::DownstreamMetrics,
};

/// How long a connection is idle before it rests: it keeps no buffers that it can do without, and may be
/// closed while memory is short.
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
        // Workers do not steal tasks: the connection stays on this thread, and its state needs no
        // synchronisation. SendWrapper checks that at run time. In a task of its own: pingora's, which
        // has accepted the connection, is given back.
        let accepted = accept(self.clone(), stream, shutdown.clone());
        tokio::spawn(SendWrapper::new(accepted));
        None
    }
}

/// Serves a connection, unless it is one too many.
async fn accept<H: Handler>(
    downstream: Arc<Downstream<H>>,
    stream: Stream,
    shutdown: ShutdownWatch,
) {
    let settings = &downstream.settings;
    overload::keep_shedding(&settings.overload, settings.workers);
    let _open = match Open::admit(&downstream) {
        Ok(open) => open,
        Err(answer) => {
            return Box::pin(reject(stream, answer, settings.tls.is_some())).await;
        }
    };
    notsent_lowat::bound(&stream);
    downstream.handler.accepted();
    serve(&downstream, stream, shutdown).await;
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
async fn reject(mut stream: Stream, body: &str, encrypted: bool) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    if !encrypted {
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\nconnection: close\r\nretry-after: 1\r\n\r\n{body}"
        );
        let out = stream.write_all(answer.as_bytes());
        let _ = tokio::time::timeout(Duration::from_secs(1), out).await;
        // Reads what has arrived: closing a socket with unread bytes causes a reset, by which the
        // caller could lose the answer (RFC 9112, 9.6).
        let mut come = [0; 4096];
        let _ = stream.read(&mut come).now_or_never();
    }
    let _ = stream.shutdown().await;
}

/// Serves one connection to its end.
async fn serve<H: Handler>(
    downstream: &Arc<Downstream<H>>,
    stream: Stream,
    shutdown: ShutdownWatch,
) {
    let peer = stream
        .get_socket_digest()
        .and_then(|digest| digest.peer_addr()?.as_inet().copied());
    // Boxed, so that its memory is freed afterwards.
    let opened = Box::pin(open_in_time(downstream, stream, shutdown.clone())).await;
    let Some((io, version, scheme, certificate)) = opened else {
        return;
    };
    let timeouts = downstream.settings.timeouts.clone();
    let mut connection = Connection::new(timeouts, peer, version, scheme);
    connection.certificate = certificate;
    let connection = Rc::new(connection);
    poll_fn(|cx| {
        // The waker of the whole task: nothing within has one of its own here.
        connection.footprint.runs_in(cx.waker());
        Poll::Ready(())
    })
    .await;
    let _registered = overload::register(connection.clone());
    match version {
        HttpVersion::Http1 => http1::serve(downstream, io, connection, shutdown).await,
        // In a box: HTTP/1.1 needs far less room.
        HttpVersion::Http2 => {
            Box::pin(http2::serve(downstream.clone(), io, connection, shutdown)).await;
        }
    }
}

/// A connection's bytes, its HTTP version and scheme, and the hash of the caller's certificate.
type Opened = (Transport<Stream>, HttpVersion, Scheme, Option<Sha256>);

/// [Opens](open) a connection. `None`: it is to be closed. No request has begun yet, so it gets no
/// answer.
async fn open_in_time<H: Handler>(
    downstream: &Downstream<H>,
    stream: Stream,
    shutdown: ShutdownWatch,
) -> Option<Opened> {
    let settings = &downstream.settings;
    let opening = tokio::time::timeout(settings.timeouts.header, open(settings, stream));
    tokio::select! {
        opened = opening => opened.ok()?.ok(),
        // While draining, a connection that has sent nothing is closed after the linger time.
        () = drain::began(shutdown, || downstream.lifecycle.linger()) => None,
    }
}

/// Accepts TLS, if configured, and determines the HTTP version: by ALPN, or else by the first
/// bytes.
async fn open(settings: &DownstreamSettings, stream: Stream) -> std::io::Result<Opened> {
    let Some(tls) = &settings.tls else {
        let (io, version) = detect::version(Transport::clear(stream)).await?;
        return Ok((io, version, Scheme::Http, None));
    };
    let stream = TlsAcceptor::from(tls.current()).accept(stream).await?;
    let chain = stream.get_ref().1.peer_certificates();
    let certificate = chain.and_then(|chain| Some(sha256(chain.first()?)));
    let agreed = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Some(HttpVersion::Http2),
        Some(b"http/1.1") => Some(HttpVersion::Http1),
        _ => None,
    };
    let io = Transport::tls(stream);
    let (io, version) = match agreed {
        Some(version) => (io, version),
        None => detect::version(io).await?,
    };
    Ok((io, version, Scheme::Https, certificate))
}
