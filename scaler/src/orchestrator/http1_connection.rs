//! A connection for one request by HTTP/1.1.

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Connects to `authority`. The connection ends with the response, or with the sender.
///
/// # Errors
/// Why there is none.
pub(super) async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>, String> {
    let io = TcpStream::connect(authority)
        .await
        .map_err(|error| format!("cannot connect to {authority}: {error}"))?;
    let (sender, connection) = http1::handshake(TokioIo::new(io))
        .await
        .map_err(no_response)?;
    // Its errors are the response's.
    tokio::spawn(connection);
    Ok(sender)
}

/// What is said where a request on it has no response.
pub(super) fn no_response(error: hyper::Error) -> String {
    format!("no response: {error}")
}
