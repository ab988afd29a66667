//! How a request gets a connection to its replica.

use std::time::Duration;

use tailback_config::Limits;

use super::{
    connection_pool::Choice,
    connector::{ConnectError, Connector},
    permit::Permit,
    upstream_stream::Upstream,
};
use crate::{status::MethodType, telemetry::metrics::UpstreamMetrics};

/// What holds for connections to all replicas.
#[derive(Debug)]
pub struct ConnectOptions {
    /// How large messages' heads may be.
    pub limits: Limits,
    /// Where connections are counted.
    pub metrics: UpstreamMetrics,
}

/// What a request wants of its connection.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The protocol that it speaks.
    pub method: MethodType,
    /// It asks to change the protocol (RFC 9110, 7.8).
    pub upgrade: bool,
    /// Which connections may carry it.
    pub choice: Choice,
    /// How long a new connection may take to be ready.
    pub timeout: Duration,
}

/// A connection, or a stream of one, to the permit's replica: one that is open, as far
/// as `wanted.choice` allows, or a new one.
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
    // Boxed: it is rare, and its room would be part of every request's.
    let opening = pool.open(
        connector,
        offer,
        choice,
        authority,
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
