//! Callers' connections: pingora accepts them on its listeners and workers,
//! HTTP/1.1 or HTTP/2 is spoken on them, and timers see to it that none lasts
//! without progress: one a connection, or one a stream.

mod date;
mod drain;
mod http1;
mod http2;
mod io;
mod notsent_lowat;
mod tunnel;

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use pingora_core::{apps::ServerApp, protocols::Stream, server::ShutdownWatch};
use send_wrapper::SendWrapper;
use tailback_config::{Limits, Timeouts};
use tailback_scaler::status::StatusStore;
use tokio_rustls::TlsAcceptor;

pub use self::tunnel::Tunnel;
use crate::{
    exchange::{Connection, LINGER, Scheme, body::BufferBudget},
    models::{SharedRoutes, worker},
    net::{HttpVersion, Transport, detect, tls},
    protocol::cors::Cors,
    telemetry::{access_log::AccessLog, metrics::ProxyMetrics},
};

/// The data plane: one for all workers.
pub struct DataPlane {
    /// What is served.
    pub tables: Arc<SharedRoutes>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How large things may be.
    pub limits: Limits,
    /// For what has been read of waiting requests' bodies.
    pub buffer_budget: BufferBudget,
    /// Most connections at once.
    pub max_connections: usize,
    /// Which pages of other origins may call; `None`: none.
    pub cors: Option<Cors>,
    /// How callers are spoken to by TLS; `None`: in clear text.
    pub tls: Option<Arc<tls::Listener>>,
    /// Where finished requests are logged, if anywhere.
    pub access_log: Option<AccessLog>,
    /// What the scaler knows of each model: looked at only for what fails.
    pub status: StatusStore,
    /// Handles.
    pub metrics: ProxyMetrics,
    /// Open connections.
    pub connections: AtomicUsize,
    /// Set before the shutdown is signalled: connections end with the request
    /// they have.
    pub draining: AtomicBool,
    /// Set when the time of the shutdown is over, before the pools are closed: held requests
    /// are answered.
    pub stopping: AtomicBool,
}

#[async_trait]
impl ServerApp for DataPlane {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let Some(_open) = Open::admit(self) else {
            refuse(stream, self.tls.is_some()).await;
            return None;
        };
        notsent_lowat::bound(&stream);
        worker::keep_swept(&self.tables);
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
async fn serve(plane: Arc<DataPlane>, stream: Stream, shutdown: ShutdownWatch) {
    let peer = stream
        .get_socket_digest()
        .and_then(|digest| digest.peer_addr()?.as_inet().copied());
    // Until a header block has begun, there is nothing to answer.
    let opening = tokio::time::timeout(plane.timeouts.header, open(&plane, stream));
    let (io, version, scheme) = tokio::select! {
        opened = opening => match opened {
            Ok(Ok(opened)) => opened,
            _ => return,
        },
        () = drained(&plane, shutdown.clone()) => return,
    };
    let timeouts = plane.timeouts.clone();
    let connection = Rc::new(Connection::new(timeouts, peer, version, scheme));
    match version {
        HttpVersion::Http1 => http1::serve(plane, io, connection, shutdown).await,
        HttpVersion::Http2 => http2::serve(plane, io, connection, shutdown).await,
    }
}

/// The handshake, if there is one, and what is spoken after it: as agreed there
/// (ALPN), or as the first bytes tell.
async fn open(
    plane: &DataPlane,
    stream: Stream,
) -> std::io::Result<(Transport<Stream>, HttpVersion, Scheme)> {
    let Some(tls) = &plane.tls else {
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

/// While draining, who has sent nothing after a moment is not waited for.
async fn drained(plane: &DataPlane, mut shutdown: ShutdownWatch) {
    let _ = shutdown.wait_for(|&draining| draining).await;
    debug_assert!(plane.draining.load(Ordering::Relaxed));
    tokio::time::sleep(LINGER).await;
}
