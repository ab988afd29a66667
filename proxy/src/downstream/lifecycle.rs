//! What the process knows of all callers' connections: how many are open, and
//! whether they are to end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Shared by the workers, the admin pages and the server.
#[derive(Debug, Default)]
pub struct Lifecycle {
    connections: AtomicUsize,
    draining: AtomicBool,
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
