//! The atomics of the lock-free parts: the real ones, or loom's when the
//! crate is built with `--cfg tailback_loom` to have every interleaving checked.

#[cfg(tailback_loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering},
};
#[cfg(not(tailback_loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering},
};

/// Lets other threads run while a reader spins: a hint to the core, or to loom's scheduler.
pub(crate) fn spin() {
    #[cfg(tailback_loom)]
    loom::thread::yield_now();
    #[cfg(not(tailback_loom))]
    std::hint::spin_loop();
}
