//! Accepts connections until it is stopped, and then waits for the requests in flight.
//!
//! At the stop, the listener closes first, so that later clients are refused and can go
//! elsewhere. Idle connections close at once; a busy one closes after its response. There is no
//! time limit here: the sender of SIGTERM has one, and sends SIGKILL after it.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::io::Socket;
use crate::server::Server;

/// After a failed accept. The usual cause is a lack of file descriptors, which passes only when
/// connections close: trying again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` resolves, and returns when the last connection has closed.
pub async fn serve(listener: TcpListener, server: Arc<Server>, stop: impl Future<Output = ()>) {
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            // Takes finished tasks out of the set, which would otherwise keep them all.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, Arc::clone(&server), stopped.clone()));
                }
                Err(error) => {
                    eprintln!("sample-server: cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    stopping.send_replace(());
    while connections.join_next().await.is_some() {}
}

/// Serves one connection, request after request.
async fn converse(stream: TcpStream, server: Arc<Server>, mut stopped: watch::Receiver<()>) {
    // Responses are small and complete: Nagle's algorithm could only delay them. An error here
    // means that the connection is already gone, which hyper finds out too.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| async { Ok::<_, Infallible>(server.handle(request).await) });
    let connection = http1::Builder::new().serve_connection(Socket::new(stream), service);
    let mut connection = pin!(connection);
    // Errors are the client's doing (gone, or not speaking HTTP): nothing to be done about them.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
