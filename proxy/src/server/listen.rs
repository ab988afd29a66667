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

use crate::{downstream::DataPlane, health::from_here};

/// A listener on `wanted`, with a free port in place of 0.
///
/// # Errors
/// If it cannot be listened on; says which `variable` sets another.
pub(super) fn bind(wanted: SocketAddr, variable: &str) -> Result<TcpListener> {
    TcpListener::bind(wanted)
        .with_context(|| format!("cannot listen on {wanted} (set another address with {variable})"))
}

/// Returns once `address` takes connections.
pub(super) fn wait_until_open(address: SocketAddr) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let start = Instant::now();
    while let Err(error) = TcpStream::connect(from_here(address)) {
        if start.elapsed() > PATIENCE {
            bail!("the server does not listen on {address}: {error}");
        }
        thread::sleep(Duration::from_millis(2));
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
