//! Connections below HTTP: bytes in clear or by TLS, how they are gathered before
//! they are sent, and how the first ones tell which HTTP follows.

mod coalesce;
pub(crate) mod cork;
pub(crate) mod detect;
pub(crate) mod keep_alive;
pub mod tls;
mod transport;
mod unacknowledged;

pub(crate) use self::{cork::Cork, transport::Transport, unacknowledged::unacknowledged};

/// Which HTTP is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1: one request after the other.
    Http1,
    /// HTTP/2: streams beside each other.
    Http2,
}

/// hyper's default for the most fields of a message. To set the same number
/// explicitly selects a slower path in hyper.
pub const HYPER_HEADER_FIELDS: usize = 100;
