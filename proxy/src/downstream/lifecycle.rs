//! What the process knows of all callers' connections: how many are open, and
//! whether they are to end.

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
    /// Counts a connection in. Returns how many were open before.
    pub(super) fn opened(&self) -> usize {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a connection out.
    pub(super) fn closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// From now on, connections end with the request that they have. To be called
    /// before the shutdown is signalled.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// As [`drain`](Self::drain), where another process has taken over: callers need not hurry.
    pub fn hand_over(&self) {
        self.handed_over.store(true, Ordering::SeqCst);
        self.drain();
    }

    /// How long an idle connection of HTTP/1.1 is kept while draining. Its caller may be about to send
    /// a request; after a while without one it is not likelier to than at any other time.
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

    /// Whether the drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The time of the shutdown is over: held requests are answered. To be called
    /// before the pools are closed.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Whether the time of the shutdown is over.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}
