//! What tells replicas apart: their numbers, and their devices.

/// A replica's number in this process, from 1. No later replica gets the same, before 2^32 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub u32);

impl ReplicaId {
    /// The next one.
    pub(super) fn next() -> Self {
        // Not loom's: it is not part of what is checked there.
        static LAST: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        Self(
            LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
                .wrapping_add(1),
        )
    }
}

/// The names of the devices that a replica runs on; empty: it takes none.
pub type Devices = Vec<String>;
