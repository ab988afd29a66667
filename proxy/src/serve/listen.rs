//! Addresses to listen on, checked before anything is started.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use pingora_core::{apps::ServerApp, protocols::Stream, server::ShutdownWatch};

use crate::downstream::DataPlane;

/// The address that `wanted` stands for, with a free port in place of 0.
///
/// # Errors
/// If it cannot be listened on.
pub(super) fn check(wanted: SocketAddr, variable: &str) -> Result<SocketAddr> {
    // Closed again at once: the server opens it with its own options.
    let listener = TcpListener::bind(wanted).with_context(|| {
        format!("cannot listen on {wanted} (set another address with {variable})")
    })?;
    Ok(listener.local_addr()?)
}

/// Returns once all of `addresses` take connections.
pub(super) fn wait_until_open(addresses: &[SocketAddr]) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let start = Instant::now();
    for &address in addresses {
        let mut reachable = address;
        if address.ip().is_unspecified() {
            reachable.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        while let Err(error) = TcpStream::connect(reachable) {
            if start.elapsed() > PATIENCE {
                bail!("the server does not listen on {address}: {error}");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(())
}

/// pingora wants to own its application; others hold on to the data plane too.
pub(super) struct Shared(pub Arc<DataPlane>);

#[async_trait]
impl ServerApp for Shared {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        self.0.process_new(stream, shutdown).await
    }
}
