//! How a request gets its connection to a replica.

use std::time::Duration;

use tailback_config::Limits;

use super::{
    connection_pool::Choice,
    connector::{ConnectError, Connector},
    permit::Permit,
    upstream_stream::Upstream,
};
use crate::{status::MethodType, telemetry::metrics::UpstreamMetrics};

/// Settings of connections, the same for all replicas.
#[derive(Debug)]
pub struct ConnectOptions {
    /// Limits on the heads of messages.
    pub limits: Limits,
    /// Counters of connections opened and failed.
    pub metrics: UpstreamMetrics,
}

/// What a request requires of its connection.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// REST or gRPC.
    pub method: MethodType,
    /// Whether the request asks for a protocol upgrade (RFC 9110, 7.8).
    pub upgrade: bool,
    /// Which pooled connections may carry it.
    pub choice: Choice,
    /// How long opening a new connection may take, handshakes included.
    pub timeout: Duration,
}

/// Returns a connection, or a stream of one, to the permit's replica: a pooled one, as far as
/// `wanted.choice` allows, or a new one.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect(
    connector: &Connector,
    options: &ConnectOptions,
    permit: &Permit,
    wanted: Wanted,
) -> Result<Upstream, ConnectError> {
    let Wanted {
        choice, timeout, ..
    } = wanted;
    let offer = connector.offer(wanted.method, wanted.upgrade)?;
    let (pool, authority) = permit.pool(wanted.method);
    if let Some(upstream) = pool.ready(offer, choice) {
        return Ok(upstream);
    }
    // Boxed, because it is rare, and its state would enlarge every request's future.
    let opening = pool.open(
        connector,
        offer,
        choice,
        (authority, permit.authority(wanted.method)),
        timeout,
        &options.limits,
    );
    let opened = Box::pin(opening).await;
    match &opened {
        Ok(_) => options.metrics.connects.increment(1),
        Err(_) => options.metrics.connects_failed.increment(1),
    }
    opened
}
