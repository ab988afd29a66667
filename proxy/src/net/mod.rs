//! Connections below HTTP: clear-text or TLS streams, write coalescing, HTTP version detection, and
//! keep-alive.

mod coalesce;
pub(crate) mod date;
pub(crate) mod detect;
mod digits;
pub(crate) mod keep_alive;
#[cfg(any(test, feature = "simulation"))]
pub mod simulated;
mod socket;
pub mod tls;
mod transport;
mod unacknowledged;

pub(crate) use self::{
    digits::digits,
    socket::Socket,
    transport::Transport,
    unacknowledged::{acknowledged, unacknowledged},
};

/// The HTTP version spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1: one request at a time.
    Http1,
    /// HTTP/2: concurrent streams.
    Http2,
}
