//! Connections to replicas. Each worker has its own.
//!
//! An HTTP/1.1 connection serves one request at a time, and is kept idle for the next. It has no
//! task of its own: the request that holds it drives it, which saves two task switches per request.
//! An HTTP/2 connection is shared by many requests and has a task; each request drives its own
//! stream.

mod connect;
mod connection_pool;
mod connector;
mod http1;
mod http2;
mod io;
mod lifetime;
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
