//! Connections to replicas, of one worker alone.
//!
//! On HTTP/1.1 a connection serves one request at a time and is kept idle for
//! the next; it has no task of its own: whoever holds it drives it from the
//! request's own task, which saves two task switches a request. On HTTP/2 a
//! connection is shared by many requests and has a task; each request drives
//! its own stream.

mod connect;
mod connection_pool;
mod connector;
mod http1;
mod http2;
mod io;
mod permit;
mod pooled_connection;
mod replica;
mod send_error;
mod upstream_stream;

pub use self::{
    connect::{ConnectOptions, Wanted, connect},
    connection_pool::{Choice, ConnectionPool, SWEEP},
    connector::{ConnectError, Connector},
    http1::Http1,
    http2::Http2,
    permit::Permit,
    pooled_connection::PooledConnection,
    replica::{ReplicaRef, WorkerPool, WorkerReplica},
    send_error::SendError,
    upstream_stream::Upstream,
};
