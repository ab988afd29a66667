//! Addresses to listen on, checked before anything is started.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::health::from_here;

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
