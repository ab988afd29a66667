//! State that all downstream connections share: how many are open, and whether the process drains.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use tailback_config::Timeouts;

use crate::exchange::LINGER;

/// See [`Lifecycle::linger`].
const HANDED_OVER_LINGER: Duration = Duration::from_secs(10);

/// Shared by the workers, the admin pages and the server.
#[derive(Debug, Default)]
pub struct Lifecycle {
    connections: AtomicUsize,
    draining: AtomicBool,
    handed_over: AtomicBool,
    stopping: AtomicBool,
}

impl Lifecycle {
    /// Counts a connection as opened. Returns how many were open before.
    pub(super) fn opened(&self) -> usize {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a connection as closed.
    pub(super) fn closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Number of open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Starts draining: each connection closes after its current request. Call it before signalling
    /// the shutdown.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Like [`drain`](Self::drain), after another process has taken over: idle connections are kept
    /// for longer.
    pub fn hand_over(&self) {
        self.handed_over.store(true, Ordering::SeqCst);
        self.drain();
    }

    /// How long an idle HTTP/1.1 connection is kept while draining, as its caller may be about to
    /// send a request.
    pub(super) fn linger(&self) -> Duration {
        match self.handed_over.load(Ordering::Relaxed) {
            true => HANDED_OVER_LINGER,
            false => LINGER,
        }
    }

    /// How long tunnels may go on while draining.
    pub(super) fn tunnel_drain(&self, timeouts: &Timeouts) -> Duration {
        match self.handed_over.load(Ordering::Relaxed) {
            true => timeouts.upgrade_drain,
            false => timeouts.tunnel_drain,
        }
    }

    /// Whether the process drains.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Ends the drain: held requests are answered with an error. Call it before the pools are
    /// closed.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Whether the drain's time is up.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}
