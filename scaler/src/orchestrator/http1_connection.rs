//! A connection for one request by HTTP/1.1.

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Connects to `authority`. The connection ends after the response, or when the sender is dropped.
///
/// # Errors
/// Why the connection failed.
pub(super) async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>, String> {
    let io = TcpStream::connect(authority)
        .await
        .map_err(|error| format!("cannot connect to {authority}: {error}"))?;
    let (sender, connection) = http1::handshake(TokioIo::new(io))
        .await
        .map_err(no_response)?;
    // An error of the connection is also the error of the request.
    tokio::spawn(connection);
    Ok(sender)
}

/// The message for a request that got no response.
pub(super) fn no_response(error: hyper::Error) -> String {
    format!("no response: {error}")
}
