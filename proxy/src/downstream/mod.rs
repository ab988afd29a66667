//! Callers' connections: pingora accepts them on its listeners and workers,
//! HTTP/1.1 or HTTP/2 is spoken on them, and timers see to it that none lasts
//! without progress: one a connection, or one a stream.

mod date;
mod drain;
mod handler;
mod http1;
mod http2;
mod io;
mod lifecycle;
mod notsent_lowat;
mod shared_body;
mod tunnel;

use std::{rc::Rc, sync::Arc, time::Duration};

use async_trait::async_trait;
use pingora::{apps::ServerApp, protocols::Stream, server::ShutdownWatch};
use send_wrapper::SendWrapper;
use tailback_config::{Limits, Timeouts};
use tokio_rustls::TlsAcceptor;

pub use self::{
    handler::{Handler, ResponseStream},
    lifecycle::Lifecycle,
    tunnel::Tunnel,
};
use crate::{
    exchange::{Connection, Scheme},
    net::{HttpVersion, Transport, detect, tls},
    protocol::cors::Cors,
    telemetry::metrics::DownstreamMetrics,
};

/// The service for callers' connections: one for all workers.
pub struct Downstream<H> {
    /// What answers requests.
    pub handler: H,
    /// How long things may take, how large and how many they may be.
    pub settings: Settings,
    /// Handles.
    pub metrics: DownstreamMetrics,
    /// How many are open, and whether they are to end.
    pub lifecycle: Arc<Lifecycle>,
}

/// What holds for all callers' connections.
pub struct Settings {
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How large things may be.
    pub limits: Limits,
    /// Most connections at once.
    pub max_connections: usize,
    /// Which pages of other origins may call; `None`: none.
    pub cors: Option<Arc<Cors>>,
    /// How callers are spoken to by TLS; `None`: in clear text.
    pub tls: Option<Arc<tls::Listener>>,
}

#[async_trait]
impl<H: Handler> ServerApp for Downstream<H> {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let Some(_open) = Open::admit(self) else {
            refuse(stream, self.settings.tls.is_some()).await;
            return None;
        };
        notsent_lowat::bound(&stream);
        self.handler.accepted();
        // Workers do not steal: the connection stays on this thread, and what
        // belongs to it needs no synchronisation. The wrapper checks that.
        SendWrapper::new(serve(self.clone(), stream, shutdown.clone())).await;
        None
    }
}

/// One open connection, counted.
struct Open<'a> {
    lifecycle: &'a Lifecycle,
    metrics: &'a DownstreamMetrics,
}

impl<'a> Open<'a> {
    fn admit<H>(downstream: &'a Downstream<H>) -> Option<Self> {
        let Downstream {
            lifecycle, metrics, ..
        } = downstream;
        let before = lifecycle.opened();
        metrics.connections.increment(1.0);
        let open = Self { lifecycle, metrics };
        if before < downstream.settings.max_connections {
            return Some(open);
        }
        metrics.connections_refused.increment(1);
        None
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.lifecycle.closed();
        self.metrics.connections.decrement(1.0);
    }
}

/// Tells a caller that there are too many.
async fn refuse(mut stream: Stream, encrypted: bool) {
    use tokio::io::AsyncWriteExt;
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
        content-length: 50\r\nconnection: close\r\nretry-after: 1\r\n\r\n\
        {\"error\":\"too many connections; try again later\"}\n";
    if !encrypted {
        let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(ANSWER)).await;
    }
    let _ = stream.shutdown().await;
}

/// Serves one connection to its end.
async fn serve<H: Handler>(
    downstream: Arc<Downstream<H>>,
    stream: Stream,
    shutdown: ShutdownWatch,
) {
    let peer = stream
        .get_socket_digest()
        .and_then(|digest| digest.peer_addr()?.as_inet().copied());
    // Until a header block has begun, there is nothing to answer.
    let opening = tokio::time::timeout(
        downstream.settings.timeouts.header,
        open(&downstream.settings, stream),
    );
    let (io, version, scheme) = tokio::select! {
        opened = opening => match opened {
            Ok(Ok(opened)) => opened,
            _ => return,
        },
        // While draining, who has sent nothing after a moment is not waited for.
        () = drain::began(shutdown.clone(), || downstream.lifecycle.linger()) => return,
    };
    let timeouts = downstream.settings.timeouts.clone();
    let connection = Rc::new(Connection::new(timeouts, peer, version, scheme));
    match version {
        HttpVersion::Http1 => http1::serve(downstream, io, connection, shutdown).await,
        HttpVersion::Http2 => http2::serve(downstream, io, connection, shutdown).await,
    }
}

/// The handshake, if there is one, and what is spoken after it: as agreed there
/// (ALPN), or as the first bytes tell.
async fn open(
    settings: &Settings,
    stream: Stream,
) -> std::io::Result<(Transport<Stream>, HttpVersion, Scheme)> {
    let Some(tls) = &settings.tls else {
        let (io, version) = detect::version(Transport::clear(stream)).await?;
        return Ok((io, version, Scheme::Http));
    };
    let stream = TlsAcceptor::from(tls.current()).accept(stream).await?;
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
    Ok((io, version, Scheme::Https))
}
