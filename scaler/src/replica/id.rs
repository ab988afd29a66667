//! The identity of replicas: their numbers and devices.

/// A replica's number in this process, from 1. Numbers are reused only after 2^32 replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub u32);

impl ReplicaId {
    /// The next number.
    pub(super) fn next() -> Self {
        // An ordinary atomic, not loom's: loom need not check it.
        static LAST: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        Self(
            LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
                .wrapping_add(1),
        )
    }
}

/// The names of the devices that a replica runs on; empty: none.
pub type Devices = Vec<String>;
