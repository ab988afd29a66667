//! Makes the allocator give unused memory back to the system. Otherwise freed memory stays with
//! the process for some ten seconds.

use std::{ffi::CStr, ptr};

/// The unused pages of all arenas (`MALLCTL_ARENAS_ALL` is 4096).
const PURGE_ALL: &CStr = c"arena.4096.purge";
/// The cache of this thread.
const FLUSH_THREAD: &CStr = c"thread.tcache.flush";

/// Gives the unused pages of all arenas back to the system.
pub(super) fn purge() {
    order(PURGE_ALL);
}

/// Gives this thread's cached memory back to the arenas.
pub(super) fn flush_thread() {
    order(FLUSH_THREAD);
}

/// Best effort: with another allocator, jemalloc has nothing to give back.
fn order(name: &CStr) {
    // SAFETY: `mallctl` reads `name` up to its zero. Both commands take and return no value, which
    // the null pointers and the length 0 express (`man jemalloc`, "MALLCTL NAMESPACE").
    let _ = unsafe {
        tikv_jemalloc_sys::mallctl(
            name.as_ptr(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            0,
        )
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn orders_are_harmless_at_any_time() {
        for _ in 0..3 {
            super::flush_thread();
            super::purge();
        }
    }
}
