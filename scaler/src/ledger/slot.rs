//! Which shard a thread writes: the lowest number that no living thread has.

use std::sync::atomic::{AtomicU64, Ordering};

/// One bit a number in use.
static TAKEN: AtomicU64 = AtomicU64::new(0);

struct Slot(Option<usize>);

thread_local! {
    static SLOT: Slot = Slot::claim();
}

/// The calling thread's number, below 64, its own while it lives. `None` if 64
/// threads have one, or if the thread is being torn down.
#[inline]
pub(super) fn of_this_thread() -> Option<usize> {
    SLOT.try_with(|slot| slot.0).ok().flatten()
}

impl Slot {
    fn claim() -> Self {
        let mut taken = TAKEN.load(Ordering::Relaxed);
        loop {
            let free = (!taken).trailing_zeros();
            if free == 64 {
                return Self(None);
            }
            // Acquire pairs with the release in `drop`: what the number's
            // former owner wrote to its shards is seen by the new one.
            match TAKEN.compare_exchange_weak(
                taken,
                taken | 1 << free,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Self(Some(free as usize)),
                Err(now) => taken = now,
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(number) = self.0 {
            TAKEN.fetch_and(!(1 << number), Ordering::Release);
        }
    }
}
