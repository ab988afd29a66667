//! How a connection begins: by TLS, if configured, and with the version of HTTP.

use std::{future::Future, io, rc::Rc, time::Duration};

use pingora::server::ShutdownWatch;
use tokio::time::{Instant, timeout};
use tokio_rustls::{LazyConfigAcceptor, rustls::server::Acceptor};

use super::{
    Downstream, drain,
    lifecycle::Lifecycle,
    opening_turn::{Opening, opening_turn},
};
use crate::{
    api_keys::sha256,
    exchange::{Connection, Scheme},
    net::{HttpVersion, Socket, Transport, detect, tls},
};

/// Opens a connection, and puts its bytes into `io`. `None`: it is to be closed. No request has begun yet,
/// so it gets no answer.
pub(super) async fn open<H>(
    downstream: &Downstream<H>,
    socket: Socket,
    shutdown: &ShutdownWatch,
    io: &mut Option<Transport<Socket>>,
) -> Option<Rc<Connection>> {
    let settings = &downstream.settings;
    let mut caller = Caller {
        shutdown,
        lifecycle: &downstream.lifecycle,
        left: settings.timeouts.header,
    };
    let peer = socket.peer();
    let connection =
        |version, scheme| Connection::new(settings.timeouts.clone(), peer, version, scheme);
    let (opened, connection) = match &settings.tls {
        None => {
            caller.does(socket.readable()).await?;
            opening_turn(Opening::Clear).await;
            let (io, version) = caller
                .does(detect::version(Transport::clear(socket)))
                .await?;
            (io, connection(version, Scheme::Http))
        }
        Some(tls) => caller.opens_tls(tls, socket, connection).await?,
    };
    *io = Some(opened);
    Some(Rc::new(connection))
}

/// What is waited for of a caller that opens a connection.
struct Caller<'a> {
    shutdown: &'a ShutdownWatch,
    lifecycle: &'a Lifecycle,
    /// The time that it has left. What it waits for its turn is not counted.
    left: Duration,
}

impl Caller<'_> {
    /// Waits for what the caller does next. `None`: it failed, or took too long.
    async fn does<T>(&mut self, what: impl Future<Output = io::Result<T>>) -> Option<T> {
        let begun = Instant::now();
        let done = tokio::select! {
            done = timeout(self.left, what) => done.ok()?.ok(),
            // While draining, a connection on which no request comes is closed after the linger time.
            () = drain::began(self.shutdown.clone(), || self.lifecycle.linger()) => None,
        };
        self.left = self.left.saturating_sub(begun.elapsed());
        done
    }

    /// The version of HTTP is agreed by ALPN, or else it is found by the first bytes.
    async fn opens_tls(
        &mut self,
        tls: &tls::Listener,
        socket: Socket,
        connection: impl Fn(HttpVersion, Scheme) -> Connection,
    ) -> Option<(Transport<Socket>, Connection)> {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), socket);
        let hello = self.does(hello).await?;
        opening_turn(Opening::Tls).await;
        let stream = self.does(hello.into_stream(tls.current())).await?;
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
            None => self.does(detect::version(io)).await?,
        };
        let mut connection = connection(version, Scheme::Https);
        connection.certificate = certificate;
        Some((io, connection))
    }
}
